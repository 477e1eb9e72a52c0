"""The networks, built from standard Keras layers only, so that their files load anywhere without our code.

Every network takes log-mel spectrograms in dB as the .npy files hold them, (batch, mels, frames) with maximum 0 and
floor -80, and gives softmax probabilities. `dense_1` has 512 units; `activation_1`, its ReLU, is the features.
"""

import numpy as np
from keras import Input, Model, layers, regularizers

from artifacts import PipelineError

FEATURES, FEATURE_LAYER = 512, "activation_1"
FLOOR_DB = -80.0
FRAMES_PER_SECOND = 22050 / 512
FRAMES_LEFT = 13  # per second, after the first averaging
TEXTURE_UNITS = 96
Z_SCORE = "texture_z_score"
BATCH_MOMENTUM = 0.9  # a small data set has few steps


def build_network(name, input_shape, n_classes, **options):
    """Build a network by name.

    Parameters
    ----------
    name : {"crnn", "vgg16", "musictagger"}
        Which one.
    input_shape : tuple
        (mels, frames); frames may be None, for clips of any length.
    n_classes : int
        Width of the softmax.
    **options
        Of the network's own function.

    Returns
    -------
    keras.Model
        float32 (batch, mels, frames) to float32 (batch, n_classes).
    """
    if name not in NETWORKS:
        raise PipelineError(f"There is no network {name!r}. Choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name](input_shape, n_classes, **options)


def crnn(input_shape, n_classes, *, frames_per_second=FRAMES_PER_SECOND, width=16, dropout=0.7):
    """Convolutions, a recurrent layer, attention (after Choi et al., arXiv:1609.04243), and statistics of texture.

    From a few hundred clips, learnt filters alone overfit; how loudness changes along time and frequency, averaged
    per band over the clip, tells genres apart with little to learn. The network joins both.

    Parameters
    ----------
    input_shape, n_classes
        As for `build_network`.
    frames_per_second : float
        Of the spectrograms; frames are averaged until about 13 a second are left, whatever the hop was.
    width : int
        Channels of the first convolution.
    dropout : float
        Of the statistics; half of it elsewhere.
    """
    clip = Input(tuple(input_shape), name="clip")
    step = max(1, round(frames_per_second / FRAMES_LEFT))
    sound = layers.MaxPooling1D(step, padding="same")(sounding(clip, input_shape[0]))
    x = layers.Rescaling(1 / 80, 1, name="scale")(clip)
    x = layers.AveragePooling1D(step, padding="same")(layers.Permute((2, 1))(x))
    parts = [
        texture_statistics(x, sound, dropout),
        layers.Dropout(0.5)(recurrent_summary(x, sound, width, dropout / 2)),
    ]
    outputs = classify(layers.Concatenate()(parts), n_classes, dropout / 2)
    model = Model(clip, outputs, name="crnn")
    for name, kernels in TEXTURES.items():
        model.get_layer(name).set_weights([kernels()])
    return model


def sounding(clip, mels):
    """1 where a frame sounds, 0 where it is silence or padding (-80 dB in every band): (batch, frames, 1)."""
    loudest = layers.MaxPooling1D(mels, name="loudest_band")(clip)
    above = layers.Rescaling(100.0, -100.0 * FLOOR_DB)(layers.Permute((2, 1))(loudest))
    return layers.ReLU(max_value=1.0, name="sounding")(above)


def rises_and_falls():
    """Kernels (17 frames, 2 bands, 1, 11): the level, and its change over 1, 2, 4, 8 and 16 frames up and down."""
    kernels = np.zeros((17, 2, 1, 11), np.float32)
    kernels[8, :, 0, 0] = 0.5
    for i, lag in enumerate((1, 2, 4, 8, 16)):
        start = 8 - lag // 2
        kernels[start + lag, :, 0, 1 + i], kernels[start, :, 0, 1 + i] = 0.5, -0.5
        kernels[..., 6 + i] = -kernels[..., 1 + i]
    return kernels


def ridges_and_valleys():
    """Kernels (1 frame, 13 bands, 1, 6): a band against its neighbours 1, 2 and 6 bands off, above and below them."""
    kernels = np.zeros((1, 13, 1, 6), np.float32)
    for i, (distance, thick) in enumerate(((1, 1), (2, 2), (6, 2))):
        for band in range(thick):
            kernels[0, 6 + band - (thick - 1), 0, i] += 1 / thick
            for neighbour in (-distance, distance):
                position = min(12, max(0, 6 + band - (thick - 1) + neighbour))
                kernels[0, position, 0, i] -= 0.5 / thick
        kernels[..., 3 + i] = -kernels[..., i]
    return kernels


TEXTURES = {"rises_and_falls": rises_and_falls, "ridges_and_valleys": ridges_and_valleys}


def texture_statistics(x, sound, dropout, units=TEXTURE_UNITS):
    """Mean and standard deviation over the sounding frames of fixed, rectified differences in each pair of bands."""
    x = layers.Reshape((-1, x.shape[2], 1))(x)
    maps = [
        layers.Conv2D(
            kernels().shape[-1], kernels().shape[:2], strides=(1, 2), padding="same", use_bias=False,
            activation="relu", trainable=False, name=name,
        )(x)
        for name, kernels in TEXTURES.items()
    ]  # fmt: skip
    x = layers.Concatenate()(maps)
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)
    x = layers.Concatenate()(mean_and_deviation(x, sound))
    # A z-score, measured once by `standardise` (those of small batches would be noise); clipped against odd clips.
    x = layers.BatchNormalization(center=False, scale=False, trainable=False, name=Z_SCORE)(layers.Flatten()(x))
    x = layers.Activation("hard_tanh", name="clipped")(layers.Rescaling(1 / 4)(x))
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(units, use_bias=False, name="texture")(x)
    return layers.BatchNormalization(momentum=BATCH_MOMENTUM)(x)


def mean_and_deviation(x, sound):
    """Of (batch, frames, channels) over the sounding frames; two tensors (batch, 1, channels)."""
    mean = layers.Dot(axes=1)([layers.Softmax(axis=1)(silence(sound)), x])
    # No standard layer takes a root, but one divides by a norm, and a vector times itself over its norm is its norm.
    share = layers.UnitNormalization(axis=1)(sound)
    spread = layers.Multiply()([layers.Subtract()([x, mean]), share])
    spread = layers.Multiply()([spread, layers.UnitNormalization(axis=1)(spread)])
    return mean, layers.Dot(axes=1)([sound, spread])


def recurrent_summary(x, sound, width, dropout):
    """Strided convolutions, a bidirectional recurrent layer, and two means of it over time."""
    x = layers.BatchNormalization(momentum=BATCH_MOMENTUM, name="normalise_bands")(x)
    x = layers.Reshape((-1, x.shape[2], 1))(x)
    for channels, kernel, strides in ((width, (5, 7), (2, 4)), (2 * width, 3, (2, 2)), (3 * width, 3, (1, 2))):
        x = layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=BATCH_MOMENTUM)(x))
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)
    x = layers.Dense(4 * width, use_bias=False, name="bands")(layers.Dropout(dropout)(x))
    x = layers.ReLU()(layers.BatchNormalization(momentum=BATCH_MOMENTUM)(x))
    sound = layers.MaxPooling1D(4, padding="same")(sound)
    # As an argument: a layers.Masking would leave bare operations in the graph, which an .h5 file cannot hold.
    mask = layers.Flatten()(sound)
    x = layers.Bidirectional(layers.GRU(2 * width, return_sequences=True), name="recurrent")(x, mask=mask)
    even = silence(sound)
    attention = layers.Add()([layers.Dense(1, name="attention")(x), even])
    weights = layers.Softmax(axis=1)(layers.Concatenate()([attention, even]))
    return layers.Flatten()(layers.Dot(axes=1)([weights, x]))


def silence(sound):
    """0 where it sounds, -10,000 in silence: what a softmax over time takes to leave silence out."""
    return layers.Rescaling(1e4, -1e4, dtype="float32")(sound)


def standardise(model, clips):
    """Measure the mean and variance of the texture statistics on training clips, before the first epoch.

    Parameters
    ----------
    model : keras.Model
        A network of `build_network`; one without such statistics is left as it is.
    clips : iterable of numpy.ndarray
        float32, shape (mels, frames), of any lengths.
    """
    if Z_SCORE not in [layer.name for layer in model.layers]:
        return
    z_score = model.get_layer(Z_SCORE)
    statistics = Model(model.inputs, z_score.input)
    values = np.concatenate([statistics.predict_on_batch(clip[None]) for clip in clips]).astype(np.float64)
    z_score.set_weights([values.mean(0), values.var(0) + 1e-6])


def classify(x, n_classes, dropout):
    """The features and the classifier."""
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(FEATURES, name="dense_1")(x)
    x = layers.Activation("relu", dtype="float32", name=FEATURE_LAYER)(x)
    x = layers.Dropout(dropout)(x)
    return layers.Dense(n_classes, activation="softmax", dtype="float32", name="genres")(x)


def musictagger(input_shape, n_classes, **_):
    """Choi's MusicTaggerCRNN (arXiv:1609.04243), for comparison; its features are the last layer's 32."""
    clip = Input(tuple(input_shape), name="clip")
    x = layers.BatchNormalization(axis=1)(layers.Rescaling(1 / 80, 1)(clip))
    x = layers.Reshape((input_shape[0], -1, 1))(x)
    for channels, pool in ((64, (2, 2)), (128, (3, 3)), (128, (4, 4)), (128, (4, 4))):
        x = layers.ELU()(layers.BatchNormalization()(layers.Conv2D(channels, 3, padding="same")(x)))
        x = layers.Dropout(0.1)(layers.MaxPooling2D(pool)(x))
    x = layers.MaxPooling2D((x.shape[1], 1))(x)  # 96 bands leave one row; so do others
    x = layers.GRU(32, return_sequences=True)(layers.Reshape((-1, 128))(x))
    x = layers.Activation("linear", name=FEATURE_LAYER)(layers.GRU(32)(x))
    x = layers.Dropout(0.3)(x)
    return Model(clip, layers.Dense(n_classes, activation="softmax", dtype="float32")(x), name="musictagger")


def vgg16(input_shape, n_classes, *, weights="imagenet", fine_tune=False, **_):
    """Bahuleyan's network (arXiv:1804.01149): VGG16 on a picture of the spectrogram, one dense layer, a softmax.

    Parameters
    ----------
    input_shape, n_classes
        As for `build_network`.
    weights : str
        "imagenet" (downloaded by Keras), "none" for random ones, or a file of VGG16 weights.
    fine_tune : bool
        Train the base too, as the paper's best network; else it is frozen.
    """
    from keras.applications import VGG16

    clip = Input(tuple(input_shape), name="clip")
    picture = jet_picture(clip, input_shape[0])
    try:
        base = VGG16(include_top=False, weights=None if weights == "none" else weights, input_shape=(216, 216, 3))
    except Exception as error:  # no network, no such file, other shapes: each its own type
        raise PipelineError(
            f"The weights of VGG16 ({weights}) could not be had: {error}. Give --weights FILE, or --weights none."
        ) from error
    x = picture
    for layer in base.layers[1:]:  # its layers, not itself: a network inside a network is hard to read and to save
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


def jet_picture(clip, mels, size=216):
    """Matplotlib's jet image of the spectrogram, as Keras's VGG16 takes it: (batch, 216, 216, 3), BGR less the mean."""
    x = layers.Reshape((mels, -1, 1))(layers.Rescaling(1 / 80, 1)(clip))
    x = layers.Resizing(size, size)(x)
    # Jet is piecewise linear in the level: hinges at its knots, then a weighted sum for each colour.
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


def jet_weights():
    """Weights of the two layers of `jet_picture`: a slope changes at every knot."""
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


NETWORKS = {"crnn": crnn, "vgg16": vgg16, "musictagger": musictagger}
