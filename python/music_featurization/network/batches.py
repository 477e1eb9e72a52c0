"""Read clips from disk and make batches of them, in threads ahead of the network, shuffled by the seed.

Only a few batches are in memory at any time, so only the disk limits the size of a data set.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from music_featurization.artifacts import STEP_1, TRAINING, PipelineError
from music_featurization.audio.spectrogram import N_MELS
from music_featurization.network.front_end import EMBEDDING

PREFETCHED = 4  # batches
# numpy parses the header of a .npy file as Python. In CPython before 3.11.9 and 3.12.3 that can fail with a SystemError
# ("AST constructor recursion depth mismatch") while another thread does the same.
_one_header_at_a_time = threading.Lock()


def load_clip(path: Path) -> np.ndarray:
    """Read one spectrogram, float32, shape (96, frames).

    Raises a PipelineError if the file is missing, is not a .npy file of that shape, or contains NaN or infinity.
    """
    advice = f"Delete it and run {STEP_1} again."
    log_mel = _load(path, "spectrogram", advice)
    if len(log_mel) != N_MELS:
        raise PipelineError(f"{path} has the shape {log_mel.shape}, not ({N_MELS}, frames). {advice}")
    return log_mel


def load_embedding(path: Path) -> np.ndarray:
    """Read the embeddings of one clip, float32, shape (windows, 1608); raise errors as `load_clip`."""
    advice = f"Delete it and run {TRAINING} again."
    embedding = _load(path, "file of embeddings", advice)
    if embedding.shape[1] != EMBEDDING:
        raise PipelineError(f"{path} has the shape {embedding.shape}, not (windows, {EMBEDDING}). {advice}")
    return embedding


def _load(path: Path, kind: str, advice: str) -> np.ndarray:
    try:
        with _one_header_at_a_time:
            array = np.load(path, allow_pickle=False, mmap_mode="r")  # mapped: a header may claim any size
        if not isinstance(array, np.ndarray) or array.ndim != 2 or 0 in array.shape or array.dtype.kind != "f":
            raise ValueError("not an array of real numbers with two dimensions")
        array = np.array(array, np.float32)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise PipelineError(f"{path} is not a readable {kind} ({error}). {advice}") from error
    if not np.isfinite(array).all():
        raise PipelineError(f"{path} contains NaN or infinity. {advice}")
    return array


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
    """Yield the shuffled batches of one epoch, made by threads a few batches ahead of their use.

    Parameters
    ----------
    load : callable
        Reads one file.
    time_axis : int
        Axis of a clip along which clips differ in length; in a batch they are repeated to the length of the longest.
    batch_size : int
        The last batch may be smaller.
    seed, epoch : int
        Together they determine the order, so an epoch can be repeated alone.

    Yields
    ------
    clips : numpy.ndarray, float32, shape (batch, ...)
    targets : numpy.ndarray, float32, shape (batch, n_classes)
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(paths))

    def make(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        clips = [load(paths[i]) for i in indices]
        longest = max(clip.shape[time_axis] for clip in clips)
        targets = np.eye(n_classes, dtype=np.float32)[[labels[i] for i in indices]]
        return np.stack([repeated(clip, longest, time_axis) for clip in clips]), targets

    with ThreadPoolExecutor(threads) as pool:
        pending: deque = deque()
        for start in range(0, len(order), batch_size):
            pending.append(pool.submit(make, order[start : start + batch_size]))
            if len(pending) > max(PREFETCHED, threads):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
