"""Features of whole tracks: cut into windows as long as the clips of MagnaTagATune, averaged over them.

Worker processes decode and make spectrograms, which lie on disk until the network has seen them: memory does not grow
with the length of a track, and of many tracks only the features add up.
"""

import errno
import functools
import hashlib
import json
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np

from music_featurization import workers
from music_featurization.artifacts import PipelineError, write_json
from music_featurization.audio import decoding, spectrogram
from music_featurization.dataset import spectrogram_folder
from music_featurization.features import track_table
from music_featurization.network import checkpoints

WINDOW_SECONDS = 29.1  # the length of the clips that the network was trained on
SHORTEST_SECONDS = 3.0  # of a track, and of what is left of it after the last whole window
TIME_LIMIT = 3600  # seconds per track: there are recordings of a day
FEWEST_AT_A_TIME = 64  # tracks; their spectrograms take about 150 MB of disk
NOT_THE_TRACKS_FAULT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # the run ends, nothing is said of the track


def list_tracks(paths):
    """Recordings among files and folders.

    Parameters
    ----------
    paths : sequence of path-like
        A folder stands for the recordings below it (`audio.FILE_ENDINGS`); a file is taken whatever its name.

    Returns
    -------
    list of str
        Paths as given, normalised, each once.

    Raises
    ------
    PipelineError
        If a path does not exist or a folder holds no recording.
    """
    tracks = []
    for path in map(os.fspath, paths):
        if os.path.isdir(path):
            below = [os.path.join(path, clip) for clip in spectrogram_folder.list_clips(path)]
            if not below:
                raise PipelineError(
                    f"{path} holds no recording ({', '.join(decoding.FILE_ENDINGS)}). A file with another "
                    "ending can be given by its name."
                )
            tracks += below
        elif os.path.isfile(path):
            tracks.append(path)
        else:
            raise PipelineError(f"{path} does not exist. Give recordings, or folders that hold some.")
    return list(dict.fromkeys(map(os.path.normpath, tracks)))


def read_classes(model_file):
    """Classes of a network, which must be one for spectrograms like ours.

    Parameters
    ----------
    model_file : Path

    Returns
    -------
    tuple of str

    Raises
    ------
    PipelineError
        If the file is missing or unreadable, does not say its classes, or was trained on other spectrograms.
    """
    about = checkpoints.read_about(model_file)
    if "classes" not in about:
        raise PipelineError(f"{model_file} does not say its classes. Give a --model made by python/1-training.py.")
    ours = spectrogram.SETTINGS
    made = about.get("spectrogram_settings", ours)
    differing = sorted(key for key in {**made, **ours} if made.get(key) != ours.get(key))
    if differing:
        theirs, here = (", ".join(f"{key} = {of.get(key)}" for key in differing) for of in (made, ours))
        raise PipelineError(f"{model_file} was trained on spectrograms with {theirs}; those of tracks have {here}.")
    return tuple(about["classes"])


def windows(path):
    """Cut a recording into windows.

    Parameters
    ----------
    path : path-like

    Yields
    ------
    list of numpy.ndarray of float32, shape (n,)
        Consecutive blocks of mono samples at 22,050 Hz, together 29.1 s, in the last window perhaps less. Under 3 s at
        the end are left out.

    Raises
    ------
    audio.UnreadableAudioError
        If the recording cannot be used, or is shorter than 3 s.
    """
    whole, least = (round(seconds * decoding.SAMPLE_RATE) for seconds in (WINDOW_SECONDS, SHORTEST_SECONDS))
    held, count, any_yet = [], 0, False
    for block in decoding.stream(path, max_seconds=math.inf):
        while count + len(block) >= whole:
            yield [*held, block[: whole - count]]
            held, count, block, any_yet = [], 0, block[whole - count :], True
        if len(block):
            held.append(block)
            count += len(block)
    if count >= least:
        yield held
    elif not any_yet:
        raise decoding.UnreadableAudioError(
            f"shorter than {SHORTEST_SECONDS:g} s: {count / decoding.SAMPLE_RATE:.1f} s"
        )


def prepare(track, *, folder):
    """In a worker: spectrograms of a track's windows, for the network.

    Parameters
    ----------
    track : str
    folder : Path
        Gets a folder for the track, see `prepared`.

    Returns
    -------
    str or None
        Why there are none; None if there are.
    """
    try:
        track.encode()
        _prepare(track, prepared(folder, track))
    except UnicodeEncodeError:
        return "the file name is not valid UTF-8, and the tables are: rename it"
    except decoding.UnreadableAudioError as error:
        return str(error)
    except MemoryError:
        return "out of memory"
    except OSError as error:
        if error.errno in NOT_THE_TRACKS_FAULT:
            raise
        return f"cannot be read: {error.strerror}"


def _prepare(track, folder):
    found = {"files": [], "start": [], "seconds": [], "decode": 0.0, "spectrogram": 0.0}
    began, start = time.perf_counter(), 0.0
    for number, blocks in enumerate(windows(track)):
        decoded = time.perf_counter()
        log_mel, seconds = spectrogram.log_mel(blocks), sum(map(len, blocks)) / decoding.SAMPLE_RATE
        if log_mel.max() > 0:  # of silence the network knows nothing
            spectrogram_folder.save(folder / f"{number:06d}.npy", log_mel)
            for key, value in (("files", f"{number:06d}.npy"), ("start", start), ("seconds", seconds)):
                found[key].append(value)
        start += seconds
        found["decode"] += decoded - began
        began = time.perf_counter()
        found["spectrogram"] += began - decoded
    if not found["files"]:
        raise decoding.UnreadableAudioError("silent from beginning to end")
    write_json(folder / "windows.json", found)


def prepared(folder, track):
    """Folder of a track's spectrograms; its windows.json has `files`, `start` and `seconds` of each window."""
    return Path(folder) / hashlib.sha256(os.fsencode(track)).hexdigest()[:24]


def classify(network, tracks, folder, classes, model, by_window=False):
    """Rows of tracks whose spectrograms are prepared.

    Parameters
    ----------
    network : keras.Model
    tracks : sequence of str
    folder : Path
        As given to `prepare`.
    classes : sequence of str
    model : str
        The network's fingerprint.
    by_window : bool
        One row per window instead of the mean over a track's windows.

    Returns
    -------
    pandas.DataFrame
        See `track_table.rows`.
    """
    from music_featurization.network import prediction

    found = [json.loads((prepared(folder, track) / "windows.json").read_text()) for track in tracks]
    files = [prepared(folder, track) / name for track, of in zip(tracks, found, strict=True) for name in of["files"]]
    probabilities, features = prediction.predict(network, files)
    counts = [len(of["files"]) for of in found]
    if by_window:
        leading = {
            "path": np.repeat(np.array(tracks, dtype=object), counts),
            "start": [round(start, 3) for of in found for start in of["start"]],
            "seconds": [round(seconds, 3) for of in found for seconds in of["seconds"]],
        }
        return track_table.rows(leading, probabilities, features, classes, model)
    ends = np.cumsum(counts)[:-1]
    mean = [np.stack([part.mean(axis=0) for part in np.split(of, ends)]) for of in (probabilities, features)]
    leading = {"path": tracks, "seconds": [round(sum(of["seconds"]), 3) for of in found]}
    return track_table.rows(leading, *mean, classes, model)


def in_batches(network, tracks, folder, classes, model, *, by_window=False, jobs, progress):
    """Rows of any number of tracks.

    Parameters
    ----------
    network, tracks, folder, classes, model, by_window
        As for `classify`; `folder` is emptied after every batch.
    jobs : int
        Worker processes. They and the network take turns, because each of them uses all cores.
    progress : callable
        Called with a text that says how far the batch is.

    Yields
    ------
    table : pandas.DataFrame or None
        Rows of the tracks of a batch; None if none of them could be used.
    failures : dict of str to str
        Reason by track, for the others of the batch.
    spent : dict of str to float
        Seconds by the clock: `decode`, `spectrogram`, `network`.
    """
    size = max(FEWEST_AT_A_TIME, 2 * workers.CLIPS_PER_TASK * jobs)
    for first in range(0, len(tracks), size):
        batch = tracks[first : first + size]
        make = functools.partial(prepare, folder=folder)
        began = time.perf_counter()
        outcomes = {}
        for track, failure in workers.run(make, batch, jobs=jobs, time_limit=TIME_LIMIT):
            outcomes[track] = failure
            progress(f"{len(outcomes)} of the next {len(batch)} read")
        in_workers = time.perf_counter() - began
        failures = {track: outcomes[track] for track in batch if outcomes[track]}
        usable = [track for track in batch if not outcomes[track]]
        spent = _share(in_workers, folder, usable)
        began = time.perf_counter()
        table = classify(network, usable, folder, classes, model, by_window) if usable else None
        spent["network"] = time.perf_counter() - began
        shutil.rmtree(folder, ignore_errors=True)
        yield table, failures, spent


def _share(seconds, folder, tracks):
    """The workers' time by the clock, split as their own clocks say."""
    found = [json.loads((prepared(folder, track) / "windows.json").read_text()) for track in tracks]
    decode, spectrograms = (sum(of[key] for of in found) for key in ("decode", "spectrogram"))
    share = decode / (decode + spectrograms) if found else 1.0
    return {"decode": seconds * share, "spectrogram": seconds * (1 - share)}


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
