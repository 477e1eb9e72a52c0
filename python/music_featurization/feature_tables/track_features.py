"""Features of whole tracks: cut into windows as long as the clips of MagnaTagATune, averaged over them.

Worker processes decode and make spectrograms, which are kept on disk until the network has seen them: memory does not
grow with the length of a track, and only the features of many tracks add up.
"""

import functools
import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from music_featurization import workers
from music_featurization.artifacts import PipelineError, write_json
from music_featurization.audio import decoding, spectrogram
from music_featurization.dataset import spectrogram_folder
from music_featurization.feature_tables import feature_table, table_run

WINDOW_SECONDS = 29.1  # the length of the clips that the network was trained on
SHORTEST_SECONDS = 3.0  # of a track, and of its remainder after the last whole window
TIME_LIMIT = 3600  # seconds per track: there are recordings of a day
FEWEST_AT_A_TIME = 64  # tracks; their spectrograms take about 150 MB of disk


def windows(
    path: str | os.PathLike,
    on_note: Callable[[str], None] | None = None,
    *,
    seconds: float = WINDOW_SECONDS,
    least: float = SHORTEST_SECONDS,
) -> Iterator[list[np.ndarray]]:
    """Cut a recording into windows.

    Parameters
    ----------
    path : path-like
    on_note : callable, optional
        Called with what is wrong with a recording that can be decoded in part.
    seconds : float
        Length of a window.
    least : float
        Seconds of a window at the end; what is shorter is left out.

    Yields
    ------
    list of numpy.ndarray of float32, shape (n,)
        Consecutive blocks of mono samples at 16,000 Hz, together one window, in the last window perhaps less.

    Raises
    ------
    decoding.UnreadableAudioError
        If the recording cannot be used, or is shorter than `least`.
    """
    whole, fewest = (round(length * decoding.SAMPLE_RATE) for length in (seconds, least))
    held, count, any_yet = [], 0, False
    for block in decoding.stream(path, strict=False, max_seconds=math.inf, on_note=on_note):
        while count + len(block) >= whole:
            yield [*held, block[: whole - count]]
            held, count, block, any_yet = [], 0, block[whole - count :], True
        if len(block):
            held.append(block)
            count += len(block)
    if count >= fewest:
        yield held
    elif not any_yet:
        raise decoding.UnreadableAudioError(f"shorter than {least:g} s: {count / decoding.SAMPLE_RATE:.1f} s")


def prepare(path: str, *, folder: Path) -> str | None:
    """In a worker: spectrograms of a track's windows, for the network.

    Parameters
    ----------
    path : str
        The recording.
    folder : Path
        Gets a folder for the track, see `prepared`.

    Returns
    -------
    str or None
        Why there are none; None if there are.

    Raises
    ------
    PipelineError
        If `folder` cannot be written: the track is not the reason.
    """
    try:
        path.encode()
        _prepare(path, prepared(folder, path))
    except UnicodeEncodeError:
        return "the file name is not valid UTF-8, and the tables are: rename it"
    except decoding.UnreadableAudioError as error:
        return str(error)
    except MemoryError:
        return "out of memory"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _prepare(path, folder):
    found = {"files": [], "start": [], "seconds": [], "decode": 0.0, "spectrogram": 0.0, "note": ""}
    began, start, notes = time.perf_counter(), 0.0, []
    for number, blocks in enumerate(windows(path, notes.append)):
        decoded = time.perf_counter()
        log_mel, seconds = spectrogram.log_mel(blocks), sum(map(len, blocks)) / decoding.SAMPLE_RATE
        if log_mel.max() > 0:  # the network knows nothing about silence
            _write(spectrogram_folder.save, folder / f"{number:06d}.npy", log_mel)
            for key, value in (("files", f"{number:06d}.npy"), ("start", start), ("seconds", seconds)):
                found[key].append(value)
        start += seconds
        found["decode"] += decoded - began
        began = time.perf_counter()
        found["spectrogram"] += began - decoded
    if not found["files"]:
        raise decoding.UnreadableAudioError("silent from beginning to end")
    _write(write_json, folder / "windows.json", {**found, "note": "; ".join(dict.fromkeys(notes))})


def _write(write, path, content):
    try:
        write(path, content)
    except OSError as error:
        raise PipelineError(
            f"{path.parent} cannot be written: {error.strerror}. Free some space or give another --out, and run the "
            "same command again; what was finished is kept."
        ) from error


def prepared(folder: Path, path: str) -> Path:
    """Folder of a track's spectrograms; its windows.json has `files`, `start` and `seconds` of each window."""
    return Path(folder) / hashlib.sha256(os.fsencode(path)).hexdigest()[:24]


def _read_prepared(folder, found):
    return [json.loads((prepared(folder, track.path) / "windows.json").read_text("utf-8")) for track in found]


def classify(network, found, folder, classes, model, by_window=False):
    """Rows of tracks whose spectrograms are prepared.

    Parameters
    ----------
    network : keras.Model
    found : sequence of tracks.Track
    folder : Path
        As given to `prepare`.
    classes : sequence of str
    model : str
        The network's fingerprint.
    by_window : bool
        One row per window instead of the mean over a track's windows.

    Returns
    -------
    FeatureTable
    """
    from music_featurization.network import prediction

    prepared_tracks = _read_prepared(folder, found)
    files = [
        prepared(folder, track.path) / name
        for track, windows_of in zip(found, prepared_tracks, strict=True)
        for name in windows_of["files"]
    ]
    probabilities, features = prediction.predict(network, files)
    counts = [len(windows_of["files"]) for windows_of in prepared_tracks]
    columns = {
        "recording": [track.name for track in found],
        "note": [windows_of["note"] for windows_of in prepared_tracks],
        "bytes": [track.bytes for track in found],
        "modified": [track.modified for track in found],
    }
    if by_window:
        columns = {name: np.repeat(np.array(values, dtype=object), counts) for name, values in columns.items()}
        for name in ("start", "seconds"):
            columns[name] = [round(number, 3) for windows_of in prepared_tracks for number in windows_of[name]]
    else:
        columns["seconds"] = [round(sum(windows_of["seconds"]), 3) for windows_of in prepared_tracks]
        ends = np.cumsum(counts)[:-1]
        probabilities, features = (
            np.stack([part.mean(axis=0) for part in np.split(array, ends)]) for array in (probabilities, features)
        )
    return rows(columns, probabilities, features, classes, model, folder)


def rows(columns, probabilities, features, classes, model, folder="."):
    """Make a table of tracks."""
    import pandas

    order = ["recording", "start", "seconds", "genre", "model", "note", "bytes", "modified"]
    genres = [classes[label] for label in probabilities.argmax(axis=1)]
    columns = {"note": "", "bytes": 0, "modified": "", "genre": genres, "model": model, **columns}
    frame = pandas.DataFrame({name: columns[name] for name in order if name in columns})
    numbers = {f"probability_{name}": column for name, column in zip(classes, probabilities.T, strict=True)}
    frame = frame.assign(**{name: column.astype(np.float32) for name, column in numbers.items()})
    return feature_table.FeatureTable(frame.astype({"bytes": np.int64}), features.astype(np.float32), Path(folder))


def in_batches(network, to_do, folder, classes, model, *, by_window=False, jobs, progress):
    """Rows of any number of tracks.

    Parameters
    ----------
    network, to_do, folder, classes, model, by_window
        As for `classify`; `folder` is emptied after every batch.
    jobs : int
        Worker processes. They and the network take turns, because each of them uses all cores.
    progress : callable
        Called with a text that says how far the batch is.

    Yields
    ------
    table : FeatureTable or None
        Rows of the tracks of a batch; None if none of them could be used.
    failures : dict of str to str
        Reason by name of the track, for the others of the batch.
    spent : dict of str to float
        Seconds by the clock: `decode`, `spectrogram`, `network`.
    """
    size = max(FEWEST_AT_A_TIME, 2 * workers.CLIPS_PER_TASK * jobs)
    for first in range(0, len(to_do), size):
        batch = to_do[first : first + size]
        make = functools.partial(prepare, folder=folder)
        began = time.perf_counter()
        outcomes = {}
        for path, failure in workers.run(make, [track.path for track in batch], jobs=jobs, time_limit=TIME_LIMIT):
            outcomes[path] = failure
            progress(f"{len(outcomes)} of the next {len(batch)} read")
        in_workers = time.perf_counter() - began
        failures = {track.name: outcomes[track.path] for track in batch if outcomes[track.path]}
        usable = [track for track in batch if not outcomes[track.path]]
        spent = _share(in_workers, folder, usable)
        began = time.perf_counter()
        table = classify(network, usable, folder, classes, model, by_window) if usable else None
        spent["network"] = time.perf_counter() - began
        shutil.rmtree(folder, ignore_errors=True)
        yield table, failures, spent


def _share(seconds, folder, usable):
    """The workers' time by the clock, split as their own clocks say."""
    made = _read_prepared(folder, usable)
    decode, spectrograms = (sum(of[key] for of in made) for key in ("decode", "spectrogram"))
    share = decode / (decode + spectrograms) if made else 1.0
    return {"decode": seconds * share, "spectrogram": seconds * (1 - share)}


def complete(out, tables, network, to_do, classes, model, *, by_window, jobs):
    """Make the rows of tracks, with a progress bar; each finished batch is kept beside the table.

    Parameters
    ----------
    out : Path
        The table.
    tables : list of FeatureTable
        The finished rows are added here.
    network, to_do, classes, model, by_window, jobs
        As for `in_batches`.

    Returns
    -------
    dict of str to str
        Reason by name of the track, of those that could not be used.
    """
    from tqdm import tqdm

    failures, spent, began = {}, Counter(), time.perf_counter()
    every = 0.2 if sys.stderr.isatty() else 30  # seconds; a log file wants few lines
    with tqdm(total=len(to_do), unit="track", mininterval=every, miniters=0) as bar:

        def progress(text):
            bar.set_postfix_str(text, refresh=False)
            bar.update(0)

        options = {"by_window": by_window, "jobs": jobs, "progress": progress}
        folder = table_run.spectrograms_folder(out)
        for table, failed, seconds in in_batches(network, to_do, folder, classes, model, **options):
            if table is not None:
                table = table._replace(folder=out.parent)
                table_run.keep_part(out, table)
                tables.append(table)
            failures.update(failed)
            spent.update(seconds)
            bar.update(len(failed) + (0 if table is None else table.rows["recording"].nunique()))
    if done := len(to_do) - len(failures):
        print(speed(done, time.perf_counter() - began, spent))
    return failures


def speed(tracks, seconds, spent):
    """One line: throughput, and what the time went into.

    Parameters
    ----------
    tracks : int
    seconds : float
        By the clock.
    spent : dict of str to float
        Sums of those of `in_batches`.

    Returns
    -------
    str
    """
    total = sum(spent.values())
    shares = ", ".join(f"{what} {part / total:.0%}" for what, part in spent.items())
    return f"{tracks} tracks in {seconds:.1f} s, {tracks / seconds:.2f} tracks/s ({shares})"
