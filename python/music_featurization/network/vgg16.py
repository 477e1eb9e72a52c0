"""The network of Bahuleyan (arXiv:1804.01149): VGG16 on an image of the spectrogram, one dense layer, a softmax."""

import numpy as np
from keras import Input, KerasTensor, Model, layers, regularizers

from music_featurization.artifacts import PipelineError, first_line
from music_featurization.network.checkpoints import FEATURE_LAYER, FEATURES

IMAGE_SIZE = 216
TOP = 4.0  # the log-mel value of the last colour; few values are larger


def vgg16(n_classes: int, *, weights: str = "imagenet", fine_tune: bool = False, mels: int = 96) -> Model:
    """Build the network from spectrograms, float32 (batch, mels, frames), to probabilities (batch, n_classes).

    `weights` are "imagenet" (downloaded by Keras), "none" for random weights, or a file of VGG16 weights. With
    `fine_tune` the base is trained too, as in the paper's best network. Raises a PipelineError if the weights cannot be
    loaded.
    """
    from keras.applications import VGG16

    clip = Input((mels, None), name="clip")
    image = jet_image(clip, mels)
    try:
        start = None if weights == "none" else weights
        base = VGG16(include_top=False, weights=start, input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3))
    except Exception as error:  # no connection, no such file, other shapes: each raises its own type
        raise PipelineError(
            f"The weights of VGG16 ({weights}) cannot be loaded ({first_line(error)}). "
            "Give --weights FILE or --weights none."
        ) from error
    x = image
    for layer in base.layers[1:]:  # one by one: a network inside a network is hard to read and to save
        layer.trainable = fine_tune
        x = layer(x)
    x = layers.Flatten()(x)
    x = layers.Dense(FEATURES, kernel_regularizer=regularizers.L2(0.001), name="dense_1")(x)
    x = layers.Activation("relu", dtype="float32", name=FEATURE_LAYER)(layers.Dropout(0.3)(x))
    x = layers.Dense(n_classes, activation="softmax", dtype="float32", name="genres")(x)
    model = Model(clip, x, name="vgg16")
    for layer, values in zip(("jet_knots", "jet_colours"), jet_weights(), strict=True):
        model.get_layer(layer).set_weights(values)
    return model


def jet_image(clip: KerasTensor, mels: int) -> KerasTensor:
    """Draw the spectrogram in matplotlib's "jet" as VGG16 expects it: (batch, 216, 216, 3), BGR minus the mean."""
    x = layers.Reshape((mels, -1, 1))(layers.Rescaling(1 / TOP)(clip))
    x = layers.Resizing(IMAGE_SIZE, IMAGE_SIZE)(x)
    # Each colour of jet is a piecewise linear function of the level: a weighted sum of hinges at its knots.
    x = layers.Conv2D(len(JET_KNOTS), 1, activation="relu", trainable=False, name="jet_knots")(x)
    return layers.Conv2D(3, 1, trainable=False, name="jet_colours")(x)


# Level and intensity at each knot of matplotlib's "jet".
JET = {
    "blue": ((0, 0.5), (0.11, 1), (0.34, 1), (0.65, 0), (1, 0)),
    "green": ((0, 0), (0.125, 0), (0.375, 1), (0.64, 1), (0.91, 0), (1, 0)),
    "red": ((0, 0), (0.35, 0), (0.66, 1), (0.89, 1), (1, 0.5)),
}
JET_KNOTS = sorted({level for colour in JET.values() for level, _ in colour})[:-1]
IMAGENET_MEAN = (103.939, 116.779, 123.68)  # blue, green, red


def jet_weights() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the weights of the two convolutions of `jet_image`: the knots, and the change of slope at each."""
    colours = np.zeros((len(JET_KNOTS), 3), np.float32)
    for i, knots in enumerate(JET.values()):
        levels, values = np.array(knots).T
        slopes = np.diff(values) / np.diff(levels)
        for level, change in zip(levels[:-1], np.diff(slopes, prepend=0), strict=True):
            colours[JET_KNOTS.index(level), i] = 255 * change
    at_zero = [255 * knots[0][1] for knots in JET.values()]
    return (
        [np.ones((1, 1, 1, len(JET_KNOTS)), np.float32), -np.array(JET_KNOTS, np.float32)],
        [colours[None, None], np.array(at_zero, np.float32) - np.array(IMAGENET_MEAN, np.float32)],
    )
