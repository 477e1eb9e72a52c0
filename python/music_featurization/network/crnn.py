"""The default network: a front end per window of 3 s, a recurrent layer over the windows, 512 features, a softmax.

All layers are standard Keras layers, so that a checkpoint loads anywhere without our code. A network loaded in this way
on TensorFlow predicts correctly by `predict` only if all clips have one length, see `TimeDistributed`; called as a
function, it always does.
"""

from typing import Any

import numpy as np
from keras import Input, KerasTensor, Model, initializers, layers, ops

from music_featurization.network.checkpoints import FEATURE_LAYER, FEATURES
from music_featurization.network.front_end import EMBEDDING, PARTS, WINDOW

UNITS = 32  # of the recurrent layer, in each direction
INPUT_DROPOUT, DROPOUT = 0.5, 0.5
LENGTH = 20.0  # of a window's vector


def crnn(embedder: Model, n_classes: int, mels: int = 96) -> Model:
    """Build the network from spectrograms, float32 (batch, mels, frames), to probabilities (batch, n_classes).

    Frames after the last whole window of 187 are not used. The layer "embeddings" applies the `embedder`, see
    `front_end.build_embedder`, and outputs (batch, windows, 1608); "activation_1" outputs the features, (batch, 512).
    """
    clip = Input((mels, None), name="clip")
    windows = cut_windows(clip, mels)
    embeddings = TimeDistributed(embedder, name="embeddings")(windows)
    return Model(clip, classify(summarise(embeddings), n_classes), name="crnn")


class TimeDistributed(layers.TimeDistributed):
    """Apply a network to every window, as one long batch.

    The layer of Keras 3.15 has a fault: if TensorFlow does not know the number of windows in advance, for example after
    a call with clips of another length, it computes only as many windows as the batch has clips. A file contains the
    layer of Keras, which has the same name and configuration.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        clips, windows = ops.shape(inputs)[:2]
        outputs = self.layer(ops.reshape(inputs, (-1, *inputs.shape[2:])), training=training)
        return ops.reshape(outputs, (clips, windows, *outputs.shape[1:]))


def head_of(network: Model) -> Model:
    """Return the part of a `crnn` after the front end: (batch, windows, 1608) to class probabilities, same weights."""
    return Model(network.get_layer("embeddings").output, network.outputs[0], name="head")


def cut_windows(clip: KerasTensor, mels: int) -> KerasTensor:
    """Cut (batch, mels, frames) into windows, (batch, windows, 187, mels), by a convolution that copies its input."""
    image = layers.Reshape((mels, -1, 1))(clip)
    cut = layers.Conv2D(
        WINDOW, (1, WINDOW), strides=(1, WINDOW), use_bias=False, trainable=False, dtype="float32", name="cut_windows"
    )
    image = cut(image)
    cut.set_weights([np.eye(WINDOW, dtype=np.float32).reshape(1, WINDOW, 1, WINDOW)])
    return layers.Permute((2, 3, 1))(image)


def summarise(embeddings: KerasTensor) -> KerasTensor:
    """Summarise (batch, windows, 1608): their mean beside the mean of a recurrent layer over the penultimate values."""
    x = layers.BatchNormalization(
        epsilon=1e-5, center=False, scale=False, trainable=False, dtype="float32", name="standardise"
    )(embeddings)
    # One length for all windows: a loud or unusual window does not outweigh the others of its clip.
    x = layers.Rescaling(LENGTH, dtype="float32")(layers.UnitNormalization(axis=-1, dtype="float32")(x))
    x = layers.Dropout(INPUT_DROPOUT, noise_shape=(None, 1, EMBEDDING))(x)
    # Over all 1608 values it would have 300,000 weights, and overfits a few hundred clips.
    penultimate = layers.Cropping1D((0, PARTS["pooled"]))(layers.Permute((2, 1))(x))
    penultimate = layers.Permute((2, 1), name="penultimate")(penultimate)
    recurrent = layers.Bidirectional(layers.GRU(UNITS, return_sequences=True), name="recurrent")(penultimate)
    means = [layers.GlobalAveragePooling1D()(x), layers.GlobalAveragePooling1D()(recurrent)]
    return layers.Concatenate(name="summary")(means)


def classify(summary: KerasTensor, n_classes: int) -> KerasTensor:
    """Compute the features and the class probabilities.

    The features start around 1, where a ReLU is linear: from a few hundred clips, a nearly linear classifier overfits
    less.
    """
    start = initializers.RandomNormal(stddev=0.05)
    x = layers.Dense(FEATURES, kernel_initializer=start, bias_initializer="ones", name="dense_1")(summary)
    x = layers.Activation("relu", dtype="float32", name=FEATURE_LAYER)(x)
    x = layers.Dropout(DROPOUT)(x)
    small = initializers.RandomNormal(stddev=0.01)
    return layers.Dense(n_classes, activation="softmax", kernel_initializer=small, dtype="float32", name="genres")(x)


def standardise(network: Model, embeddings: list[np.ndarray]) -> None:
    """Set the mean and variance by which a `crnn` or its head standardises embeddings, from those of training clips.

    Each embedding has the shape (windows, 1608). Each part of it gets the same total variance, however many values it
    has.
    """
    values = np.concatenate(embeddings).astype(np.float64)
    share = np.concatenate([np.full(size, size * len(PARTS) / EMBEDDING) for size in PARTS.values()])
    network.get_layer("standardise").set_weights([values.mean(axis=0), share * (values.var(axis=0) + 1e-3)])
