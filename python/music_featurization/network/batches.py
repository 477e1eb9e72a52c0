"""Clips from disk to batches: read by threads ahead of the network, shuffled by seed, cropped, augmented.

Only a few batches are in memory at any time, so the size of a data set is bounded by the disk alone.
"""

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from music_featurization.artifacts import PipelineError, read_array
from music_featurization.network import augmentation

BATCHES_AHEAD = 4


def load_clip(path):
    """Read one spectrogram.

    Parameters
    ----------
    path : Path
        A .npy file of shape (mels, frames) in dB.

    Returns
    -------
    numpy.ndarray
        float32, shape (mels, frames).

    Raises
    ------
    PipelineError
        If the file is missing, is no .npy file of that shape, or holds NaN or infinity.
    """
    clip = read(path)
    clip = clip.astype(np.float32)
    if not np.isfinite(clip).all():
        raise PipelineError(f"{path} holds NaN or infinity. {_MEND}")
    return clip


def read(path):
    """As `load_clip`, but in the file's own type and without a look at every number: a crop need not pay for all."""
    clip = read_array(path, "datasets_utils/1_generate_spectrograms.py", dimensions=2)
    if 0 in clip.shape:
        raise PipelineError(f"{path} has shape {clip.shape}, not (mels, frames). {_MEND}")
    return clip


_MEND = "Delete it and run datasets_utils/1_generate_spectrograms.py again."


def training_batches(paths, labels, n_classes, *, batch_size, lengths, augment, seed, epoch, threads=2):
    """One epoch of shuffled, cropped and augmented batches.

    Parameters
    ----------
    paths : sequence of Path
        Spectrogram files.
    labels : sequence of int
        Label of each.
    n_classes : int
        Width of the targets.
    batch_size : int
        Stretches per batch; the last of each length is as large as what is left.
    lengths : sequence of int
        Frames of the stretches that are taken of every clip, each from another place; a batch has one length.
    augment : dict
        Keyword arguments of `augmentation.crop` (`stretch`, `shift`) and, the others, of `augmentation.augment`.
    seed, epoch : int
        Together they decide everything random, so an epoch can be repeated alone.
    threads : int
        Batches that are made at the same time.

    Yields
    ------
    clips : numpy.ndarray
        float32, shape (batch, mels, frames), dB; frames is one of `lengths`.
    targets : numpy.ndarray
        float32, shape (batch, n_classes), rows add to 1.
    """
    order, parts = np.random.default_rng([seed, epoch]), []
    for frames, times in Counter(lengths).items():
        clips = order.permutation(np.tile(np.arange(len(paths)), times))
        parts += [(frames, clips[start : start + batch_size]) for start in range(0, len(clips), batch_size)]
    parts = [parts[i] for i in order.permutation(len(parts))]
    of_crop = {key: augment[key] for key in ("stretch", "shift") if key in augment}
    of_batch = {key: augment[key] for key in augment if key not in of_crop}

    def make(number):
        rng, (frames, chosen) = np.random.default_rng([seed, epoch, number]), parts[number]
        clips = np.stack([augmentation.crop(read(paths[i]), frames, rng, **of_crop) for i in chosen])
        targets = np.eye(n_classes, dtype=np.float32)[[labels[i] for i in chosen]]
        return augmentation.augment(clips, targets, rng, **of_batch)

    return ahead(make, len(parts), threads)


def ahead(make, count, threads):
    """Yield make(0), ..., make(count - 1) in order, made by threads a few items ahead of their use."""
    with ThreadPoolExecutor(threads) as pool:
        pending = deque()
        for number in range(count):
            pending.append(pool.submit(make, number))
            if len(pending) > max(BATCHES_AHEAD, threads):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
