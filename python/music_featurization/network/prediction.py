"""Run a network over many clips of any lengths, streaming: only one batch is in memory."""

from itertools import groupby, islice

import numpy as np

from music_featurization.network.batches import load_clip

# Clips are sorted by length within a window of this many batches, so that nearly every batch is full.
BATCHES_PER_WINDOW = 16


def predict(model, spectrograms, batch_size=32, progress=None):
    """Class probabilities and features of clips, in their order.

    A batch holds clips of one length only: nothing is padded, so a clip's result does not depend on its neighbours.

    Parameters
    ----------
    model : keras.Model
        Takes (batch, mels, frames) in dB; has a layer `activation_1`, the features. Or what `with_features` made of it.
    spectrograms : sequence of Path
        Spectrogram files.
    batch_size : int
        Most clips per batch.
    progress : callable, optional
        Called with the number of clips done after every batch.

    Returns
    -------
    probabilities : numpy.ndarray
        float32, shape (clips, classes); rows add to 1.
    features : numpy.ndarray
        float32, shape (clips, 512).

    Raises
    ------
    PipelineError
        If a spectrogram is missing, corrupt, or holds NaN; it is named.
    """
    network = model if len(model.outputs) == 2 else with_features(model)
    spectrograms = list(spectrograms)
    probabilities = np.zeros((len(spectrograms), network.outputs[0].shape[-1]), np.float32)
    features = np.zeros((len(spectrograms), network.outputs[1].shape[-1]), np.float32)
    done = 0
    for indices, clips in _equal_length_batches(spectrograms, batch_size):
        p, f = network.predict_on_batch(clips)
        probabilities[indices], features[indices] = p, f
        done += len(indices)
        if progress:
            progress(done)
    return probabilities, features


def with_features(model):
    """The same network with two outputs, probabilities and features; made once, it is compiled once."""
    import keras

    return keras.Model(model.inputs, [model.outputs[0], model.get_layer("activation_1").output])


def _equal_length_batches(spectrograms, batch_size):
    """Yield (indices, float32 array (n, mels, frames)) with n <= batch_size clips of one shape."""
    numbered = iter(enumerate(spectrograms))
    while window := list(islice(numbered, batch_size * BATCHES_PER_WINDOW)):
        clips = [(index, load_clip(path)) for index, path in window]
        clips.sort(key=lambda item: item[1].shape)  # stable: equal lengths keep their order
        for _, group in groupby(clips, key=lambda item: item[1].shape):
            while batch := list(islice(group, batch_size)):
                indices, arrays = zip(*batch, strict=True)
                yield list(indices), np.stack(arrays)
