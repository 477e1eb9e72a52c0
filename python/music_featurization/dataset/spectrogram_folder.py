"""Make and check the spectrograms; list which clips are done, have failed or are to do."""

import csv
import functools
import io
import os
import socket
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
from music_featurization.file_tree import printable

RECORDING_MISSING = "its recording is missing"  # of a spectrogram, as `check` says
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
    overwrite: bool = False,
) -> Counter:
    """Make every missing spectrogram, print what is done and what remains, and keep failures.csv up to date.

    Parameters
    ----------
    jobs, time_limit, dask
        As in `workers.run`.
    shard : (int, int), optional
        (i, n): the i-th of n parts only.
    retry_failed : bool
        Also try the clips that failed before.
    overwrite : bool
        Make all spectrograms again; remove the embeddings too, which are made from them.

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
    _require_clips(clips_folder)
    if shard or not overwrite:  # a shard keeps the settings: refuse other ones before anything is removed
        prepare(folder)
    if overwrite:
        remove(folder, shard)
        remove(artifacts.embeddings, shard)
        prepare(folder)
    remove_unfinished(folder)
    earlier_failures = {} if retry_failed else read_failures(folder)
    skipped = file_tree.Skipped()
    counts, failures = count_states(clips_folder, folder, earlier_failures, shard, skipped)
    print("".join(f"{line}\n" for line in skipped.lines()), end="")
    print(_plan(counts, shard, failed_before=len(earlier_failures.keys() & failures.keys())), flush=True)
    try:
        if counts["to do"]:
            states = judge_clips(clips_folder, folder, failures.copy(), shard)
            to_do = (clip for clip, state, _ in states if state == "to do")
            make = functools.partial(generate, clips_folder=clips_folder, folder=folder)
            outcomes = workers.run(make, to_do, jobs=jobs, time_limit=time_limit, dask=dask)
            _record(command_line.progress(outcomes, counts["to do"], "clip"), failures, folder, shard)
            remove_unfinished(folder)  # of workers that died
    finally:
        if clips_folder.exists():
            # Counted again: another run may have made some, and interrupted workers do not report what they finished.
            counts, failures = count_states(clips_folder, folder, failures, shard)
        write_failures(folder, failures, shard)
        print(f"{counts['done']} done, {counts['failed']} failed, {counts['to do']} remain")
        if counts["failed"]:
            print(f"why they failed: {failures_file(folder, shard)}")
    return counts


def _require_clips(clips_folder: Path) -> None:
    if not clips_folder.is_dir():
        raise PipelineError(
            f"{clips_folder} does not exist. Put MagnaTagATune's folders 0-9 and a-f there (README, 'The data set'), "
            "or run `make demo` to try everything on music that the project composes itself."
        )
    skipped = file_tree.Skipped()
    if not any(list_clips(clips_folder, skipped)):
        endings, why = ", ".join(decoding.FILE_ENDINGS), "".join(f" {line}." for line in skipped.lines())
        raise PipelineError(f"{clips_folder} contains no recording ({endings}).{why} Put some there.")


def _plan(counts: Counter, shard: Shard | None, failed_before: int) -> str:
    part = f" in shard {shard[0]} of {shard[1]}" if shard else ""
    failed = f", {failed_before} failed before (--retry-failed tries them again)" if failed_before else ""
    if unusable := counts["failed"] - failed_before:
        failed += f", {unusable} with names that cannot be used"
    return (
        f"{command_line.plural(counts.total(), 'clip')}{part}: {counts['done']} done, {counts['to do']} to do{failed}"
    )


def _record(outcomes: Iterable, failures: dict[str, str], folder: Path, shard: Shard | None) -> None:
    """Collect the failures, and write them once a second, so that they are known while it runs and if it is killed."""
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
    """List the spectrograms below a folder, which may be missing; see `file_tree.files`."""
    return file_tree.files(folder, (".npy",)) if folder.is_dir() else iter(())


def spectrogram_name(clip: str) -> str:
    """Return the path of a clip's spectrogram, relative to the folder of spectrograms."""
    folder = clip.rpartition("/")[0]
    return f"{folder}/{clip_names.stem(clip)}.npy".lstrip("/")


def in_shard(path: str, shard: Shard | None) -> bool:
    """Return whether a path belongs to a shard: by a checksum of the path, independent of other clips."""
    return shard is None or zlib.crc32(os.fsencode(path)) % shard[1] == shard[0] - 1


def judge_clips(
    clips_folder: Path,
    folder: Path,
    failures: Mapping[str, str],
    shard: Shard | None = None,
    skipped: file_tree.Skipped | None = None,
) -> Iterator[tuple[str, str, str]]:
    """Yield every clip, its state (`done`, `failed` or `to do`), and the reason if it failed, otherwise "".

    A clip has failed if its name cannot be used, or if it is in `failures` and has no spectrogram.
    """
    earlier: dict[str, dict[str, str]] = {}  # clip by stem, for each folder above the clip
    for clip in list_clips(clips_folder, skipped):
        place, path = clip[: clip.rfind("/") + 1], spectrogram_name(clip)
        earlier = {above: clips for above, clips in earlier.items() if place.startswith(above)}
        namesake = earlier.setdefault(place, {}).setdefault(clip_names.stem(clip), clip)
        if not in_shard(path, shard):
            continue
        if printable(clip) != clip:
            yield clip, "failed", "the file name is not valid UTF-8, and CSV files are: rename it"
        elif namesake != clip:
            yield clip, "failed", f"{printable(namesake)} would give the same spectrogram: rename one of them"
        elif os.path.exists(f"{folder}/{path}"):  # a quarter of the time that pathlib takes, for each of many clips
            yield clip, "done", ""
        elif clip in failures:
            yield clip, "failed", failures[clip]
        else:
            yield clip, "to do", ""


def count_states(
    clips_folder: Path,
    folder: Path,
    earlier_failures: Mapping[str, str],
    shard: Shard | None = None,
    skipped: file_tree.Skipped | None = None,
) -> tuple[Counter, dict[str, str]]:
    """Count the clips in each state of `judge_clips`, and return the reason by name of each that failed."""
    counts, failures = Counter[str](), {}
    for clip, state, reason in judge_clips(clips_folder, folder, earlier_failures, shard, skipped):
        counts[state] += 1
        if reason:
            failures[printable(clip)] = reason
    return counts, failures


# One spectrogram


def generate(clip: str, *, clips_folder: Path, folder: Path) -> str | None:
    """Make and save the spectrogram of a clip, relative to `clips_folder`; return the reason if it fails."""
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
                f"{clips_folder} has vanished on {socket.gethostname()}. Restore it and run the same command again."
            ) from error
        return f"cannot be read: {error.strerror}"
    save(folder / spectrogram_name(clip), log_mel)
    return None


def save(path: Path, log_mel: np.ndarray) -> None:
    """Write one spectrogram in the settings' dtype."""
    # Convert in the array's own memory order, then transpose: this moves half of the bytes.
    write_array(path, np.ascontiguousarray(log_mel.T.astype(spectrogram.SETTINGS["dtype"]).T))


def require_whole_excerpt(clip: str, seconds: float) -> None:
    """Raise UnreadableAudioError if an excerpt named as in MagnaTagATune is shorter than its name says."""
    name = clip_names.parse(clip)
    # Only `artist-album-NN-title-start-end`, at most a minute: the numbers in "symphony-5-1808" are not seconds.
    if name.seconds is None or name.song.count("-") < 3 or not 0 < name.seconds <= 60:
        return
    if seconds < name.seconds - SECONDS_MISSING:
        raise decoding.UnreadableAudioError(f"truncated: the name says {name.seconds} seconds, {seconds:.1f} are there")


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
    """Make the folder; raise a PipelineError if it contains spectrograms made with other or unknown settings."""
    if (folder / SETTINGS_FILE).exists():
        require_our_settings(folder)
        return
    if any(list_spectrograms(folder)):
        raise PipelineError(
            f"{folder} contains spectrograms, but no {SETTINGS_FILE} that says how they were made. "
            "Move them away, or give --overwrite to make them again."
        )
    write_json(folder / SETTINGS_FILE, spectrogram.SETTINGS)


def require_our_settings(folder: Path) -> None:
    """Raise a PipelineError if the spectrograms were made with other or unknown settings."""
    require_same_settings(folder, read_json(folder / SETTINGS_FILE, STEP_1), spectrogram.SETTINGS)


def remove(folder: Path, shard: Shard | None = None) -> None:
    """Remove all .npy files of a folder, its settings and lists of failures; with a shard only the shard's files."""
    for path in list_spectrograms(folder):
        if in_shard(path, shard):
            (folder / path).unlink(missing_ok=True)  # another shard's run may remove it too
    for file in [folder / SETTINGS_FILE, *folder.glob("failures*.csv")] if shard is None else ():
        file.unlink(missing_ok=True)


def check(artifacts: Artifacts) -> Iterator[tuple[str, str | None]]:
    """Yield the path of every spectrogram, and what is wrong with it, or None.

    A missing recording (RECORDING_MISSING) is wrong, unless there are no recordings at all.
    """
    clips = list_clips(artifacts.mp3_files) if artifacts.mp3_files.is_dir() else ()
    expected = set(map(spectrogram_name, clips))
    for path in list_spectrograms(artifacts.spectrograms):
        orphan = bool(expected) and path not in expected
        yield path, RECORDING_MISSING if orphan else problem_of(artifacts.spectrograms / path)


# The clips that failed


def failures_file(folder: Path, shard: Shard | None = None) -> Path:
    """Return the list of failures: each shard has its own, because shards run at the same time."""
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
