"""The folder of spectrograms: which clips there are, which are done, which failed and why; making and checking one."""

import csv
import functools
import io
import os
import socket
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from music_featurization import command_line, file_tree, workers
from music_featurization.artifacts import (
    SETTINGS_FILE,
    STEP_1,
    PipelineError,
    read_json,
    remove_unfinished,
    replacing,
    require_same_settings,
    write_json,
    write_text,
)
from music_featurization.audio import decoding, spectrogram
from music_featurization.dataset import clip_names

LARGEST = 12.0  # log-mel: all of the power of an hour in one bin of one frame gives 11
SECONDS_MISSING = 1.0  # an excerpt shorter by this than its name says has lost its end
SECONDS_BETWEEN_LISTS = 1.0  # failures.csv is written again at most this often


def list_clips(folder: Path, left_out: file_tree.LeftOut | None = None) -> Iterator[str]:
    """List the recordings below a folder; see `file_tree.files`."""
    return file_tree.files(folder, decoding.FILE_ENDINGS, left_out)


def judge_names(folder: Path, left_out: file_tree.LeftOut | None = None) -> Iterator[tuple[str, str | None]]:
    """As `list_clips`, each clip with the reason why a file of its name can have no spectrogram, or None."""
    earlier = {}  # clip by stem, for each folder above the clip
    for clip in list_clips(folder, left_out):
        within = clip[: clip.rfind("/") + 1]
        earlier = {above: clips for above, clips in earlier.items() if within.startswith(above)}
        namesake = earlier.setdefault(within, {}).setdefault(clip_names.stem(clip), clip)
        if printable(clip) != clip:
            yield clip, "the file name is not valid UTF-8, and CSV files are: rename it"
        elif namesake != clip:
            yield clip, f"{printable(namesake)} would give the same spectrogram: rename one of them"
        else:
            yield clip, None


def list_spectrograms(folder: Path) -> Iterator[str]:
    """List the spectrograms below a folder, in the order of `list_clips`; see `file_tree.files`."""
    return file_tree.files(folder, (".npy",))


def spectrogram_name(clip):
    """Path of a clip's spectrogram, relative to the spectrograms' folder."""
    folder = clip.rpartition("/")[0]
    return f"{folder}/{clip_names.stem(clip)}.npy".lstrip("/")


def generate_missing(folder, clips_folder, *, jobs, time_limit, dask=None, shard=None, retry_failed=False):
    """Make every spectrogram that is missing, print what is done and what remains, keep failures.csv up to date.

    Parameters
    ----------
    folder, clips_folder : Path
        The spectrograms; the recordings.
    jobs, time_limit, dask
        As in `workers.run`.
    shard : tuple of int, optional
        (i, n): do the i-th of n parts only.
    retry_failed : bool
        Try the clips that failed before again.

    Returns
    -------
    collections.Counter
        Number of clips `done`, `failed` and `to do`.

    Raises
    ------
    PipelineError
        If there is no recording at all.
    """
    remove_unfinished(folder)
    known = {} if retry_failed else read_failures(folder)
    left_out = file_tree.LeftOut()
    counts, failures = count_pending(clips_folder, folder, known, shard, left_out)
    for line in left_out.lines():
        print(line)
    if not counts and not any(list_clips(clips_folder)):
        raise PipelineError(f"{clips_folder} contains no recording ({', '.join(decoding.FILE_ENDINGS)}).")
    print(_plan(counts, shard, failed_before=len(known.keys() & failures.keys())), flush=True)
    try:
        if counts["to do"]:
            to_do = clips_to_do(clips_folder, folder, frozenset(failures), shard)
            make = functools.partial(generate, clips_folder=clips_folder, folder=folder)
            outcomes = workers.run(make, to_do, jobs=jobs, time_limit=time_limit, dask=dask)
            _record(command_line.progress(outcomes, counts["to do"], "clip"), failures, folder, shard)
            remove_unfinished(folder)  # of workers that died
    finally:
        if clips_folder.exists():
            # Counted again: another run may have made some, and interrupted workers do not report what they finished.
            counts, failures = count_pending(clips_folder, folder, failures, shard)
        write_failures(folder, failures, shard)
        print(f"{counts['done']} done, {counts['failed']} failed, {counts['to do']} remain")
        if counts["failed"]:
            print(f"why they failed: {failures_file(folder, shard)}")
    return counts


def _plan(counts, shard, failed_before):
    part = f" in shard {shard[0]} of {shard[1]}" if shard else ""
    failed = f", {failed_before} failed before (--retry-failed tries them again)" if failed_before else ""
    if unusable := counts["failed"] - failed_before:
        failed += f", {unusable} with names that cannot be used"
    return f"{counts.total()} clips{part}: {counts['done']} done, {counts['to do']} to do{failed}"


def _record(outcomes, failures, folder, shard):
    """Keep the failures; write them down now and then, in case the run is watched or killed."""
    written = time.monotonic()
    for clip, failure in outcomes:
        if failure:
            failures[clip] = failure
            if time.monotonic() - written > SECONDS_BETWEEN_LISTS:
                write_failures(folder, failures, shard)
                written = time.monotonic()


def in_shard(path, shard):
    """Whether a spectrogram belongs to a shard.

    Parameters
    ----------
    path : str
        Relative to the spectrograms' folder.
    shard : tuple of int, or None
        (i, n), 1 <= i <= n; None stands for all.

    Returns
    -------
    bool
        By a checksum of the name, so that it does not matter which other clips there are.
    """
    return shard is None or zlib.crc32(os.fsencode(path)) % shard[1] == shard[0] - 1


def generate(clip, *, clips_folder, folder):
    """Make and save one spectrogram.

    Parameters
    ----------
    clip : str
        Path relative to `clips_folder`.
    clips_folder, folder : Path
        The recordings; the spectrograms.

    Returns
    -------
    str or None
        Why there is no spectrogram, or None if there is one.
    """
    try:
        log_mel = spectrogram.log_mel(decoding.stream(clips_folder / clip))
        require_whole_excerpt(clip, log_mel.shape[1] * spectrogram.HOP / decoding.SAMPLE_RATE)
    except decoding.UnreadableAudioError as error:
        return str(error)
    except MemoryError:
        return "out of memory"
    except OSError as error:
        if not clips_folder.exists():
            raise PipelineError(
                f"{clips_folder} has vanished on {socket.gethostname()}. Bring it back and run the same command again."
            ) from error
        return f"cannot be read: {error.strerror}"
    save(folder / spectrogram_name(clip), log_mel)
    return None


def save(path, log_mel):
    """Write one spectrogram as a whole artifact, in the settings' dtype."""
    content = io.BytesIO()
    # Converted first, in its own memory order, and then turned: half of the bytes to move about.
    np.save(content, np.ascontiguousarray(log_mel.T.astype(spectrogram.SETTINGS["dtype"]).T))
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())  # np.save to a file hides the reason when the disk is full


def require_whole_excerpt(clip, seconds):
    """Raise audio.UnreadableAudioError if an excerpt named as in MagnaTagATune is shorter than its name says."""
    name = clip_names.parse(clip)
    # Only `artist-album-NN-title-start-end`, at most a minute: "symphony-5-1808" says nothing of seconds.
    if name.start is None or name.song.count("-") < 3 or not 0 < name.end - name.start <= 60:
        return
    if seconds < name.end - name.start - SECONDS_MISSING:
        said = name.end - name.start
        raise decoding.UnreadableAudioError(f"truncated: the name says {said} seconds, {seconds:.1f} are there")


def prepare(folder):
    """Make the folder; refuse it if its spectrograms were made with other settings than `spectrogram.SETTINGS`."""
    settings_file = folder / SETTINGS_FILE
    if settings_file.exists():
        require_our_settings(folder)
        return
    if folder.exists() and any(list_spectrograms(folder)):
        raise PipelineError(
            f"{folder} holds spectrograms but no settings.json that says how they were made. "
            "Move them away, or give --overwrite to make them again."
        )
    write_json(settings_file, spectrogram.SETTINGS)


def require_our_settings(folder):
    """Raise a PipelineError if the folder's spectrograms were made with other settings, or it is unknown with which."""
    require_same_settings(folder, read_json(folder / SETTINGS_FILE, STEP_1), spectrogram.SETTINGS)


def remove(folder, shard=None):
    """Remove the spectrograms (of a shard), and what is known of failures and settings."""
    for path in list_spectrograms(folder) if folder.exists() else ():
        if in_shard(path, shard):
            (folder / path).unlink()
    for path in [folder / SETTINGS_FILE, *folder.glob("failures*.csv")] if shard is None else ():
        path.unlink(missing_ok=True)


def count_pending(clips_folder, folder, known, shard=None, left_out=None):
    """Count the clips by what is to be done with them.

    Parameters
    ----------
    clips_folder, folder : Path
        The recordings; the spectrograms.
    known : dict of str to str
        Reason by clip that failed before.
    shard : tuple of int, optional
    left_out : file_tree.LeftOut, optional
        What is not listed is added to it.

    Returns
    -------
    counts : collections.Counter
        `done`, `failed` and `to do`.
    failures : dict of str to str
        Reason by clip that failed, of the clips that are there.
    """
    counts, failures = Counter(), {}
    for clip, problem in judge_names(clips_folder, left_out):
        path = spectrogram_name(clip)
        if not in_shard(path, shard):
            continue
        if not problem and _exists(folder, path):
            counts["done"] += 1
        elif reason := problem or known.get(clip):
            counts["failed"] += 1
            failures[printable(clip)] = reason
        else:
            counts["to do"] += 1
    return counts, failures


def clips_to_do(clips_folder, folder, failures, shard=None):
    """Yield the clips that `count_pending` counts as `to do`; parameters as there, `failures` as returned."""
    for clip in list_clips(clips_folder):
        path = spectrogram_name(clip)
        if in_shard(path, shard) and printable(clip) not in failures and not _exists(folder, path):
            yield clip


def _exists(folder, path):
    return os.path.exists(f"{folder}/{path}")  # a quarter of the time that pathlib takes, for each of many clips


def read_failures(folder):
    """What could not be read, from failures.csv and those of shards.

    Parameters
    ----------
    folder : Path
        The spectrograms.

    Returns
    -------
    dict of str to str
        Reason by clip.
    """
    failures = {}
    for path in sorted(Path(folder).glob("failures*.csv")):
        try:
            with open(path, encoding="utf-8", newline="") as file:
                failures.update(row[:2] for row in _after_header(csv.reader(file)))
        except (UnicodeDecodeError, csv.Error) as error:
            raise PipelineError(f"{path} is not a readable CSV ({error}). Delete it and run {STEP_1} again.") from error
    return failures


def _after_header(rows):
    """Rows of two or more fields after the first row."""
    next(rows, None)
    return (row for row in rows if len(row) >= 2)


def failures_file(folder, shard=None):
    """Where the failures of a run stand: shards run side by side, so each has a file of its own."""
    return folder / ("failures.csv" if shard is None else f"failures-{shard[0]}-of-{shard[1]}.csv")


def write_failures(folder, failures, shard=None):
    """Write failures.csv (`mp3_path,error`), sorted.

    Parameters
    ----------
    folder : Path
    failures : dict of str to str
    shard : tuple of int, optional
    """
    text = io.StringIO()
    # Python 3.11 leaves a "\r" in a name unquoted, and readers take it for the end of a line.
    quoting = csv.QUOTE_ALL if any("\r" in clip for clip in failures) else csv.QUOTE_MINIMAL
    rows = csv.writer(text, lineterminator="\n", quoting=quoting)
    rows.writerow(["mp3_path", "error"])
    rows.writerows(sorted(failures.items()))
    write_text(failures_file(folder, shard), text.getvalue())
    if shard is None:
        for path in folder.glob("failures-*-of-*.csv"):
            path.unlink()  # now in failures.csv


def printable(clip):
    """A path as text that UTF-8 can hold: bytes that it cannot are written as `\\xNN`."""
    return os.fsencode(clip).decode("utf-8", "backslashreplace")


def check(folder):
    """Verify every spectrogram of a folder.

    Parameters
    ----------
    folder : Path

    Yields
    ------
    path : str
        Relative to `folder`.
    problem : str or None
        What is wrong with it; None if nothing is.
    """
    for path in list_spectrograms(folder):
        yield path, problem_of(folder / path)


def problem_of(path):
    """What is wrong with a spectrogram file (shape, dtype, range), or None."""
    dtype = spectrogram.SETTINGS["dtype"]
    try:
        with open(path, "rb") as file:
            content = np.lib.format.read_array(file, allow_pickle=False)
            left_over = file.read(1)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        return f"not a readable .npy file ({error})"
    if left_over:
        return "more bytes than the array has"
    if content.dtype != dtype:
        return f"dtype {content.dtype} instead of {dtype}"
    if content.ndim != 2 or content.shape[0] != spectrogram.N_MELS or content.shape[1] == 0:
        return f"shape {content.shape} instead of ({spectrogram.N_MELS}, frames)"
    if not np.isfinite(content).all():
        return "values that are not finite"
    if content.min() < 0 or content.max() > LARGEST:
        return f"values from {content.min():g} to {content.max():g} instead of 0 to {LARGEST:g}"
    return None
