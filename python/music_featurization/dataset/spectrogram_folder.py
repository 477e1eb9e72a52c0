"""The folder of spectrograms: which clips are done, have failed or are to do; making and checking spectrograms."""

import csv
import functools
import io
import os
import socket
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from music_featurization import command_line, file_tree, workers
from music_featurization.artifacts import (
    SETTINGS_FILE,
    STEP_1,
    Artifacts,
    PipelineError,
    read_json,
    remove_unfinished,
    require_same_settings,
    write_array,
    write_json,
    write_text,
)
from music_featurization.audio import decoding, spectrogram
from music_featurization.dataset import clip_names

LARGEST = 12.0  # log-mel: all of the power of an hour in one bin of one frame gives 11
SECONDS_MISSING = 1.0  # an excerpt shorter by this than its name says has lost its end
SECONDS_BETWEEN_LISTS = 1.0  # failures.csv is written again at most this often

Shard = tuple[int, int]  # (i, n): the i-th of n parts, 1 <= i <= n


def generate_missing(
    artifacts: Artifacts,
    *,
    jobs: int,
    time_limit: float = workers.TIME_LIMIT,
    dask: str | None = None,
    shard: Shard | None = None,
    retry_failed: bool = False,
) -> Counter:
    """Make every missing spectrogram, print what is done and what remains, and keep failures.csv up to date.

    Parameters
    ----------
    artifacts : Artifacts
    jobs, time_limit, dask
        As in `workers.run`.
    shard : (int, int), optional
        (i, n): the i-th of n parts only.
    retry_failed : bool
        Also try the clips that failed before.

    Returns
    -------
    collections.Counter
        Number of clips `done`, `failed` and `to do`.

    Raises
    ------
    PipelineError
        If there is no recording, or the spectrograms were made with other settings.
    """
    folder, clips_folder = artifacts.spectrograms, artifacts.mp3_files
    prepare(folder)
    remove_unfinished(folder)
    known = {} if retry_failed else read_failures(folder)
    skipped = file_tree.Skipped()
    counts, failures = count_pending(clips_folder, folder, known, shard, skipped)
    print("".join(f"{line}\n" for line in skipped.lines()), end="")
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


def _plan(counts: Counter, shard: Shard | None, failed_before: int) -> str:
    part = f" in shard {shard[0]} of {shard[1]}" if shard else ""
    failed = f", {failed_before} failed before (--retry-failed tries them again)" if failed_before else ""
    if unusable := counts["failed"] - failed_before:
        failed += f", {unusable} with names that cannot be used"
    return f"{counts.total()} clips{part}: {counts['done']} done, {counts['to do']} to do{failed}"


def _record(outcomes: Iterable, failures: dict[str, str], folder: Path, shard: Shard | None) -> None:
    """Collect the failures; write them now and then, in case the run is watched or killed."""
    written = time.monotonic()
    for clip, failure in outcomes:
        if failure:
            failures[clip] = failure
            if time.monotonic() - written > SECONDS_BETWEEN_LISTS:
                write_failures(folder, failures, shard)
                written = time.monotonic()


# Which clips and spectrograms there are


def list_clips(folder: Path, skipped: file_tree.Skipped | None = None) -> Iterator[str]:
    """List the recordings below a folder; see `file_tree.files`."""
    return file_tree.files(folder, decoding.FILE_ENDINGS, skipped)


def list_spectrograms(folder: Path) -> Iterator[str]:
    """List the spectrograms below a folder; see `file_tree.files`."""
    return file_tree.files(folder, (".npy",))


def spectrogram_name(clip: str) -> str:
    """Return the path of a clip's spectrogram, relative to the folder of spectrograms."""
    folder = clip.rpartition("/")[0]
    return f"{folder}/{clip_names.stem(clip)}.npy".lstrip("/")


def judge_names(folder: Path, skipped: file_tree.Skipped | None = None) -> Iterator[tuple[str, str | None]]:
    """As `list_clips`; with each clip the reason why a file of its name can have no spectrogram, or None."""
    earlier: dict[str, dict[str, str]] = {}  # clip by stem, for each folder above the clip
    for clip in list_clips(folder, skipped):
        within = clip[: clip.rfind("/") + 1]
        earlier = {above: clips for above, clips in earlier.items() if within.startswith(above)}
        namesake = earlier.setdefault(within, {}).setdefault(clip_names.stem(clip), clip)
        if printable(clip) != clip:
            yield clip, "the file name is not valid UTF-8, and CSV files are: rename it"
        elif namesake != clip:
            yield clip, f"{printable(namesake)} would give the same spectrogram: rename one of them"
        else:
            yield clip, None


def printable(clip: str) -> str:
    """Return a path as text that UTF-8 can encode: other bytes become `\\xNN`."""
    return os.fsencode(clip).decode("utf-8", "backslashreplace")


def in_shard(path: str, shard: Shard | None) -> bool:
    """Return whether a spectrogram belongs to a shard: by a checksum of its name, whichever other clips there are."""
    return shard is None or zlib.crc32(os.fsencode(path)) % shard[1] == shard[0] - 1


def count_pending(
    clips_folder: Path,
    folder: Path,
    known: dict[str, str],
    shard: Shard | None = None,
    skipped: file_tree.Skipped | None = None,
) -> tuple[Counter, dict[str, str]]:
    """Count the clips that are `done`, `failed` and `to do`; also return the reason by clip that failed.

    `known` are the reasons of clips that failed before; what is not listed is added to `skipped`.
    """
    counts, failures = Counter[str](), {}
    for clip, problem in judge_names(clips_folder, skipped):
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


def clips_to_do(clips_folder: Path, folder: Path, failures: frozenset[str], shard: Shard | None) -> Iterator[str]:
    """Yield the clips that `count_pending` counts as `to do`."""
    for clip in list_clips(clips_folder):
        path = spectrogram_name(clip)
        if in_shard(path, shard) and printable(clip) not in failures and not _exists(folder, path):
            yield clip


def _exists(folder: Path, path: str) -> bool:
    return os.path.exists(f"{folder}/{path}")  # a quarter of the time that pathlib takes, for each of many clips


# One spectrogram


def generate(clip: str, *, clips_folder: Path, folder: Path) -> str | None:
    """Make and save the spectrogram of a clip, a path relative to `clips_folder`; return why there is none, or None."""
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


def save(path: Path, log_mel: np.ndarray) -> None:
    """Write one spectrogram as a whole artifact, in the settings' dtype."""
    # Converted first, in its own memory order, and then turned: half of the bytes to move about.
    write_array(path, np.ascontiguousarray(log_mel.T.astype(spectrogram.SETTINGS["dtype"]).T))


def require_whole_excerpt(clip: str, seconds: float) -> None:
    """Raise UnreadableAudioError if an excerpt named as in MagnaTagATune is shorter than its name says."""
    name = clip_names.parse(clip)
    # Only `artist-album-NN-title-start-end`, at most a minute: "symphony-5-1808" says nothing of seconds.
    if name.start is None or name.end is None or name.song.count("-") < 3 or not 0 < name.end - name.start <= 60:
        return
    named = name.end - name.start
    if seconds < named - SECONDS_MISSING:
        raise decoding.UnreadableAudioError(f"truncated: the name says {named} seconds, {seconds:.1f} are there")


def problem_of(path: Path) -> str | None:
    """Return what is wrong with a spectrogram file (shape, dtype, range), or None."""
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


# The folder


def prepare(folder: Path) -> None:
    """Make the folder; raise a PipelineError if its spectrograms were made with other settings or unknown ones."""
    if (folder / SETTINGS_FILE).exists():
        require_our_settings(folder)
        return
    if folder.exists() and any(list_spectrograms(folder)):
        raise PipelineError(
            f"{folder} contains spectrograms, but no {SETTINGS_FILE} that says how they were made. "
            "Move them away, or give --overwrite to make them again."
        )
    write_json(folder / SETTINGS_FILE, spectrogram.SETTINGS)


def require_our_settings(folder: Path) -> None:
    """Raise a PipelineError if the spectrograms were made with other settings, or it is unknown with which."""
    require_same_settings(folder, read_json(folder / SETTINGS_FILE, STEP_1), spectrogram.SETTINGS)


def remove(folder: Path, shard: Shard | None = None) -> None:
    """Remove all .npy files of a folder, its settings and lists of failures; with a shard only the shard's files."""
    for path in list_spectrograms(folder) if folder.exists() else ():
        if in_shard(path, shard):
            (folder / path).unlink()
    for file in [folder / SETTINGS_FILE, *folder.glob("failures*.csv")] if shard is None else ():
        file.unlink(missing_ok=True)


def check(artifacts: Artifacts) -> Iterator[tuple[str, str | None]]:
    """Yield the path of every spectrogram, and what is wrong with it: None if nothing is.

    A spectrogram without a recording is wrong, unless there are no recordings at all.
    """
    clips = list_clips(artifacts.mp3_files) if artifacts.mp3_files.is_dir() else ()
    expected = set(map(spectrogram_name, clips))
    for path in list_spectrograms(artifacts.spectrograms):
        problem = problem_of(artifacts.spectrograms / path)
        gone = bool(expected) and path not in expected
        yield path, problem or ("its recording is missing" if gone else None)


# The clips that failed


def failures_file(folder: Path, shard: Shard | None = None) -> Path:
    """Return the list of a run's failures: each shard has its own, because shards run side by side."""
    return folder / ("failures.csv" if shard is None else f"failures-{shard[0]}-of-{shard[1]}.csv")


def read_failures(folder: Path) -> dict[str, str]:
    """Read the reason by clip from failures.csv and the lists of shards."""
    failures: dict[str, str] = {}
    for path in sorted(folder.glob("failures*.csv")):
        try:
            with open(path, encoding="utf-8", newline="") as file:
                failures.update((row[0], row[1]) for row in list(csv.reader(file))[1:] if len(row) >= 2)
        except (UnicodeDecodeError, csv.Error) as error:
            raise PipelineError(f"{path} is not a readable CSV ({error}). Delete it and run {STEP_1} again.") from error
    return failures


def write_failures(folder: Path, failures: dict[str, str], shard: Shard | None = None) -> None:
    """Write a list of failures (`mp3_path,error`), sorted; failures.csv replaces the lists of shards."""
    text = io.StringIO()
    # Python 3.11 leaves a "\r" in a name unquoted, and readers take it for the end of a line.
    quote_all = any("\r" in clip for clip in failures)
    rows = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    rows.writerow(["mp3_path", "error"])
    rows.writerows(sorted(failures.items()))
    write_text(failures_file(folder, shard), text.getvalue())
    if shard is None:
        for path in folder.glob("failures-*-of-*.csv"):
            path.unlink()
