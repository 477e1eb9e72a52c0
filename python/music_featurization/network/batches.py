"""Clips from disk to batches, read by threads ahead of the network and shuffled by seed.

Only a few batches are in memory at any time, so the size of a data set is bounded by the disk alone.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from music_featurization.artifacts import STEP_1, TRAINING, PipelineError
from music_featurization.audio.spectrogram import N_MELS
from music_featurization.network.front_end import EMBEDDING

PREFETCHED = 4  # batches
Result = TypeVar("Result")


def load_clip(path: Path) -> np.ndarray:
    """Read one spectrogram.

    Returns
    -------
    numpy.ndarray, float32, shape (96, frames)

    Raises
    ------
    PipelineError
        If the file is missing, is no .npy file of that shape, or contains NaN or infinity.
    """
    advice = f"Delete it and run {STEP_1} again."
    found = _load(path, "spectrogram", advice)
    if len(found) != N_MELS:
        raise PipelineError(f"{path} has the shape {found.shape}, not ({N_MELS}, frames). {advice}")
    return found


def load_embedding(path: Path) -> np.ndarray:
    """Read the embeddings of one clip: float32, shape (windows, 1608). Raises as `load_clip`."""
    advice = f"Delete it and run {TRAINING} again."
    found = _load(path, "file of embeddings", advice)
    if found.shape[1] != EMBEDDING:
        raise PipelineError(f"{path} has the shape {found.shape}, not (windows, {EMBEDDING}). {advice}")
    return found


def _load(path: Path, what: str, advice: str) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False, mmap_mode="r")  # mapped: a header may claim any size
        if not isinstance(found, np.ndarray) or found.ndim != 2 or 0 in found.shape or found.dtype.kind != "f":
            raise ValueError("not an array of real numbers with two dimensions")
        found = np.array(found, np.float32)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise PipelineError(f"{path} is not a readable {what} ({error}). {advice}") from error
    if not np.isfinite(found).all():
        raise PipelineError(f"{path} contains NaN or infinity. {advice}")
    return found


def repeated(clip: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Repeat a clip from its beginning until it has the given length along an axis."""
    return np.take(clip, np.arange(length) % clip.shape[axis], axis=axis)


def training_batches(
    paths: Sequence[Path],
    labels: Sequence[int],
    n_classes: int,
    *,
    load: Callable[[Path], np.ndarray],
    time_axis: int,
    batch_size: int,
    seed: int,
    epoch: int,
    threads: int = 2,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the shuffled batches of one epoch.

    Parameters
    ----------
    paths, labels
        File and label of every clip.
    load : callable
        Reads one file.
    time_axis : int
        Axis of a clip along which clips differ in length; in a batch they are repeated to the length of the longest.
    batch_size : int
        The last batch may be smaller.
    seed, epoch : int
        Together they decide everything random, so an epoch can be repeated alone.
    threads : int
        Batches that are made at the same time.

    Yields
    ------
    clips : numpy.ndarray, float32, shape (batch, ...)
    targets : numpy.ndarray, float32, shape (batch, n_classes)
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(paths))
    parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

    def make(number: int) -> tuple[np.ndarray, np.ndarray]:
        clips = [load(paths[i]) for i in parts[number]]
        longest = max(clip.shape[time_axis] for clip in clips)
        targets = np.eye(n_classes, dtype=np.float32)[[labels[i] for i in parts[number]]]
        return np.stack([repeated(clip, longest, time_axis) for clip in clips]), targets

    return prefetch(make, len(parts), threads)


def prefetch(make: Callable[[int], Result], count: int, threads: int) -> Iterator[Result]:
    """Yield make(0), ..., make(count - 1) in order, made by threads a few items ahead of their use."""
    with ThreadPoolExecutor(threads) as pool:
        pending: deque = deque()
        for number in range(count):
            pending.append(pool.submit(make, number))
            if len(pending) > max(PREFETCHED, threads):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
