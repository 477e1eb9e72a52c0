"""Run a network over many clips of any lengths, with only some batches in memory."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from music_featurization.network import front_end
from music_featurization.network.batches import load_clip, load_embedding
from music_featurization.network.checkpoints import FEATURE_LAYER

if TYPE_CHECKING:
    import keras

# Clips are sorted by length within a window of this many batches, so that nearly every batch is full.
BATCHES_PER_WINDOW = 16
_with_outputs: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # Keras would compile a new one again


def predict(
    model: "keras.Model",
    files: Sequence[Path],
    batch_size: int = 32,
    progress: Callable[[int], None] | None = None,
    *,
    embedded: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute class probabilities and features of clips, in their order.

    All clips of a batch have the same length: nothing is padded, so the result of a clip does not depend on the others.

    Parameters
    ----------
    files : sequence of Path
        Spectrograms or, with `embedded`, embeddings by the network's front end.
    batch_size : int
        Largest number of clips in a batch.
    progress : callable, optional
        Called with the number of clips done after every batch.

    Returns
    -------
    probabilities : numpy.ndarray, float32, shape (clips, classes)
    features : numpy.ndarray, float32, shape (clips, 512)

    Raises
    ------
    PipelineError
        If a file is missing or damaged, or contains NaN; the message names it.
    """
    network, load = stages(model, embedded)
    probabilities = np.zeros((len(files), network.outputs[0].shape[-1]), np.float32)
    features = np.zeros((len(files), network.outputs[1].shape[-1]), np.float32)
    done = 0
    for indices, clips in _equal_length_batches(files, load, batch_size):
        probabilities[indices], features[indices] = network.predict_on_batch(clips)
        done += len(indices)
        if progress:
            progress(done)
    return probabilities, features


def stages(model: "keras.Model", embedded: bool) -> tuple["keras.Model", Callable[[Path], np.ndarray]]:
    """Split a network into a part that runs on batches and a function that reads the input of that part for one clip.

    The part has two outputs, probabilities and features. For a crnn it begins after the front end, which the function
    applies, unless the files are `embedded` already. Any other network is given a whole number of windows, as in
    training.
    """
    embedder = front_end.embedder_of(model)
    if embedder is None:
        return _with_features(model, model.input), lambda path: front_end.whole_windows(load_clip(path))
    head = _with_features(model, model.get_layer("embeddings").output)
    if embedded:
        return head, load_embedding
    return head, lambda path: front_end.embed(embedder, load_clip(path))


def _with_features(model: "keras.Model", inputs: "keras.KerasTensor") -> "keras.Model":
    """Return the network from `inputs` on, with the outputs probabilities and features."""
    import keras

    if model not in _with_outputs:
        _with_outputs[model] = keras.Model(inputs, [model.outputs[0], model.get_layer(FEATURE_LAYER).output])
    return _with_outputs[model]


def _equal_length_batches(
    files: Sequence[Path], load: Callable[[Path], np.ndarray], batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield the indices of at most `batch_size` clips of one shape, and the clips, float32, shape (n, ...)."""
    numbered = iter(enumerate(files))
    while window := list(islice(numbered, batch_size * BATCHES_PER_WINDOW)):
        clips = [(index, load(path)) for index, path in window]
        clips.sort(key=lambda item: item[1].shape)  # stable: equal lengths keep their order
        for _, group in groupby(clips, key=lambda item: item[1].shape):
            while batch := list(islice(group, batch_size)):
                indices, arrays = zip(*batch, strict=True)
                yield list(indices), np.stack(arrays)
