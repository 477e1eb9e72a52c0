"""The networks, built from standard Keras layers only, so that their files load anywhere without our code.

Every network takes log-mel spectrograms in dB as the .npy files hold them, (batch, mels, frames) with maximum 0 and
floor -80, and gives softmax probabilities. `dense_1` has 512 units; `activation_1`, its ReLU, is the features.
"""

from contextlib import contextmanager

import numpy as np
from keras import Input, Model, config, initializers, layers, regularizers

from music_featurization.artifacts import PipelineError

FEATURES, FEATURE_LAYER = 512, "activation_1"
FLOOR_DB = -80.0
FRAMES_PER_SECOND = 22050 / 512
FRAMES_LEFT = 13  # per second, after the first averaging
RATES = (0.4, 0.7, 1.1, 1.7, 2.6, 4.0, 5.5)  # of modulation, Hz
SPACINGS = (0, 0.02, 0.035, 0.06, 0.1, 0.16, 0.25, 0.38)  # cycles per mel band
BANDWIDTH = 0.3  # standard deviation of a filter as a share of its rate or spacing
SLOW, WIDE = 0.3, 0.015  # the same of the filters at rate 0, in Hz, and at spacing 0, in cycles per band
REGION = 16  # mel bands
Z_SCORE = "_z_score"
SHARES = {"texture": 0.7, "onsets": 0.2, "timbre": 0.1}  # of the variance of all statistics
ONSET_BANDS, CEPSTRUM = 12, 20  # groups of mel bands; coefficients
LEARNT = 0.1  # weight of the learnt part at the start; from a few hundred clips, more of it overfits
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


@contextmanager
def single_precision():
    """Layers made inside compute in float32 under any policy: float16 overflows in sums of squares, and loses 1e-12.

    For a `with`, or as a decorator. The convolutions, which take the time, need no such care.
    """
    policy = config.dtype_policy()
    config.set_dtype_policy("float32")
    try:
        yield
    finally:
        config.set_dtype_policy(policy)


def crnn(input_shape, n_classes, *, frames_per_second=FRAMES_PER_SECOND, width=16, dropout=0.5):
    """Convolutions, a recurrent layer, attention (after Choi et al., arXiv:1609.04243), and statistics of the clip.

    From a few hundred clips, learnt filters overfit; how strongly the spectrogram is modulated at each rate and
    spacing, which bands begin together, and the mean cepstrum tell genres apart with little to learn. The network joins
    both, and leaves the learnt part out for half of the training clips, so that neither part relies on the other.

    Parameters
    ----------
    input_shape, n_classes
        As for `build_network`.
    frames_per_second : float
        Of the spectrograms; frames are averaged until about 13 a second are left, whatever the hop was.
    width : int
        Channels of the first convolution.
    dropout : float
        Of the statistics and of the features, and the share of clips that the learnt part is left out for; half of it
        inside that part.
    """
    clip = Input(tuple(input_shape), name="clip")
    step = max(1, round(frames_per_second / FRAMES_LEFT))
    with single_precision():
        sound = layers.MaxPooling1D(step, padding="same")(sounding(clip, input_shape[0]))
        x = layers.Rescaling(1.0, -FLOOR_DB, name="above_floor")(clip)
        x = layers.AveragePooling1D(step, padding="same")(layers.Permute((2, 1))(x))
    texture = modulations(x, sound, frames_per_second / step)
    texture = texture_statistics(texture, layers.MaxPooling1D(2, padding="same")(sound))
    statistics = {"texture": texture, "onsets": onset_correlations(x, sound), "timbre": mean_cepstrum(x, sound)}
    statistics = layers.Dropout(dropout)(layers.Concatenate()(weighted(statistics)))
    learnt = layers.Dropout(dropout, noise_shape=(None, 1))(recurrent_summary(x, sound, width, dropout / 2))
    learnt = layers.Rescaling(LEARNT)(learnt)
    outputs = classify(layers.Concatenate()([statistics, learnt]), n_classes, dropout)
    return Model(clip, outputs, name="crnn")


def sounding(clip, mels):
    """1 where a frame sounds, 0 where it is silence or padding (-80 dB in every band): (batch, frames, 1)."""
    loudest = layers.MaxPooling1D(mels, name="loudest_band")(clip)
    above = layers.Rescaling(100.0, -100.0 * FLOOR_DB)(layers.Permute((2, 1))(loudest))
    return layers.ReLU(max_value=1.0, name="sounding")(above)


def modulations(x, sound, frames_per_second):
    """Gabor filters over time and frequency, rectified, and averaged over regions of 16 bands.

    Parameters
    ----------
    x : KerasTensor
        (batch, frames, bands); silence is 0.
    sound : KerasTensor
        (batch, frames, 1); 1 where it sounds.
    frames_per_second : float
        Of `x`.

    Returns
    -------
    KerasTensor
        (batch, ceil(frames / 2), filters times regions).

    Notes
    -----
    A Gabor filter answers to one rate of change over time, one spacing along frequency, and one direction, up or down
    (T. Chi, P. Ru and S. A. Shamma, "Multiresolution spectrotemporal analysis of complex sounds", JASA 118, 2005). Its
    real part is cos*cos - sin*sin: one convolution over time gives the waves of all rates, one along frequency for
    each spacing joins them. Each is as wide as its wave, and steps by half a wave or less.
    """
    with single_precision():
        x = layers.Multiply()([layers.Subtract()([x, mean_while_sounding(x, sound)]), sound])
    x = layers.Reshape((-1, x.shape[2], 1))(x)
    kernel = waves_in_time(frames_per_second)
    x = _fixed(x, kernel, (2, 1), "rates", None)
    maps = []
    for i, spacing in enumerate(SPACINGS):
        step = min(REGION, 2 ** int(np.log2(max(1, 0.5 / spacing)))) if spacing else REGION
        y = _fixed(x, waves_in_frequency(spacing), (1, step), f"spacing_{i}", "relu")
        y = layers.AveragePooling2D((1, REGION // step), padding="same")(y)
        maps.append(layers.Reshape((-1, y.shape[2] * y.shape[3]))(y))
    return layers.Concatenate()(maps)


def _fixed(x, kernel, strides, name, activation):
    """A convolution whose kernel is not learnt."""
    layer = layers.Conv2D(
        kernel.shape[-1], kernel.shape[:2], strides=strides, padding="same", use_bias=False, activation=activation,
        trainable=False, name=name,
    )  # fmt: skip
    y = layer(x)
    layer.set_weights([kernel])
    return y


def waves_in_time(frames_per_second):
    """Kernels (frames, 1, 1, 1 + 2 rates): a bell for what hardly changes, then cosine and sine of each rate."""
    waves = [gabor(0, SLOW / frames_per_second).real]
    for rate in RATES:
        wave = gabor(rate / frames_per_second, BANDWIDTH * rate / frames_per_second)
        waves += [wave.real, wave.imag]
    return _side_by_side(waves)[:, None, None, :]


def waves_in_frequency(spacing):
    """Kernels (1, bands, 1 + 2 rates, filters) that make Gabor filters of one spacing of the waves in time."""
    wave = gabor(spacing, BANDWIDTH * spacing) if spacing else gabor(0, WIDE)
    filters = [] if spacing == 0 else [{0: wave.real}]  # what neither changes nor repeats is the mean: 0
    for i in range(len(RATES)):
        filters.append({1 + 2 * i: wave.real, 2 + 2 * i: -wave.imag})
        if spacing:
            filters.append({1 + 2 * i: wave.real, 2 + 2 * i: wave.imag})
    kernel = np.zeros((1, len(wave), 1 + 2 * len(RATES), len(filters)), np.float32)
    for i, of_channel in enumerate(filters):
        for channel, values in of_channel.items():
            kernel[0, :, channel, i] = values
    return kernel


def gabor(frequency, bandwidth):
    """A wave under a bell of unit energy, cut off at two standard deviations; both in cycles per sample."""
    deviation = 1 / (2 * np.pi * bandwidth)
    t = np.arange(-round(2 * deviation), round(2 * deviation) + 1)
    bell = np.exp(-0.5 * (t / deviation) ** 2)
    return bell / np.linalg.norm(bell) * np.exp(2j * np.pi * frequency * t)


def _side_by_side(waves):
    """Kernels of different lengths as one array (longest, number), each in the middle."""
    longest = max(len(wave) for wave in waves)
    return np.stack([np.pad(wave, (longest - len(wave)) // 2) for wave in waves], axis=1).astype(np.float32)


@single_precision()
def texture_statistics(x, sound):
    """Mean and standard deviation of maps over the sounding frames: (batch, 2 channels)."""
    return layers.Flatten()(layers.Concatenate()(mean_and_deviation(x, sound)))


@single_precision()
def onset_correlations(x, sound):
    """How much the bands begin together: correlations of their rises from frame to frame, (batch, bands squared).

    A drum rises in all bands at once, a melody in some; whatever the level and the microphone.
    """
    bands = layers.Reshape((-1, x.shape[2], 1))(x)
    bands = layers.AveragePooling2D((1, max(1, x.shape[2] // ONSET_BANDS)), padding="same")(bands)
    bands = layers.Reshape((-1, bands.shape[2]))(bands)
    later, earlier = layers.Cropping1D((1, 0)), layers.Cropping1D((0, 1))
    rise = layers.ReLU()(layers.Subtract()([later(bands), earlier(bands)]))
    _, spread = centred(rise, layers.Multiply()([later(sound), earlier(sound)]))
    spread = layers.UnitNormalization(axis=1)(spread)
    return layers.Flatten()(layers.Dot(axes=1)([spread, spread]))


@single_precision()
def mean_cepstrum(x, sound):
    """Mean over the sounding frames of the first coefficients of the cosine transform: (batch, CEPSTRUM)."""
    bands = x.shape[2]
    cosines = np.cos(np.pi / bands * np.outer(np.arange(bands) + 0.5, np.arange(CEPSTRUM)))
    layer = layers.Dense(CEPSTRUM, use_bias=False, trainable=False, name="cepstrum")
    cepstrum = layer(mean_while_sounding(x, sound))
    layer.set_weights([cosines.astype(np.float32)])
    return layers.Flatten()(cepstrum)


@single_precision()
def weighted(statistics):
    """Z-scores of each kind of statistics, (batch, n), weighted so that it has its share of the variance of all."""
    total = sum(x.shape[-1] for x in statistics.values())
    return [
        layers.Rescaling(np.sqrt(SHARES[kind] * total / x.shape[-1]), name=f"{kind}_share")(z_score(x, kind))
        for kind, x in statistics.items()
    ]


def z_score(x, name):
    """By the mean and variance that `standardise` measures once; clipped at 4 deviations against odd clips."""
    x = layers.BatchNormalization(epsilon=1e-5, center=False, scale=False, trainable=False, name=name + Z_SCORE)(x)
    return layers.Rescaling(4.0)(layers.Activation("hard_tanh", name=name + "_clipped")(layers.Rescaling(1 / 4)(x)))


def mean_and_deviation(x, sound):
    """Of (batch, frames, channels) over the sounding frames; two tensors (batch, 1, channels)."""
    mean, spread = centred(x, sound)
    # No standard layer takes a root, but one divides by a norm, and a vector times itself over its norm is its norm.
    spread = layers.Multiply()([spread, layers.UnitNormalization(axis=1)(spread)])
    return mean, layers.Dot(axes=1)([sound, spread])


def centred(x, sound):
    """Mean over the sounding frames, (batch, 1, channels), and what is left, its squares adding to the variance."""
    mean = mean_while_sounding(x, sound)
    share = layers.UnitNormalization(axis=1)(sound)
    return mean, layers.Multiply()([layers.Subtract()([x, mean]), share])


def mean_while_sounding(x, sound):
    """Of (batch, frames, channels) over the sounding frames: (batch, 1, channels)."""
    return layers.Dot(axes=1)([layers.Softmax(axis=1)(silence(sound)), x])


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
    """Measure the mean and variance of the statistics on training clips, before the first epoch.

    Parameters
    ----------
    model : keras.Model
        A network of `build_network`; one without such statistics is left as it is.
    clips : iterable of numpy.ndarray
        float32, shape (mels, frames), of any lengths.
    """
    z_scores = [layer for layer in model.layers if layer.name.endswith(Z_SCORE)]
    if not z_scores:
        return
    statistics = Model(model.inputs, [layer.input for layer in z_scores])
    values = zip(*(statistics.predict_on_batch(clip[None]) for clip in clips), strict=True)
    for layer, of_clips in zip(z_scores, values, strict=True):
        of_clips = np.concatenate(of_clips).astype(np.float64)
        layer.set_weights([of_clips.mean(0), of_clips.var(0) + 1e-6])


def classify(x, n_classes, dropout):
    """The features and the classifier.

    The features begin around 2, where a ReLU is linear: a nearly linear classifier overfits less. From a few hundred
    clips, +0.015 on GTZAN's valid clips. A narrower start lowers the features' effective rank, a wider one accuracy.
    """
    start, offset = initializers.RandomNormal(stddev=0.03), initializers.Constant(2)
    x = layers.Dense(FEATURES, kernel_initializer=start, bias_initializer=offset, name="dense_1")(x)
    x = layers.Activation("relu", dtype="float32", name=FEATURE_LAYER)(x)
    x = layers.Dropout(dropout)(x)
    small = initializers.RandomNormal(stddev=0.01)
    return layers.Dense(n_classes, activation="softmax", kernel_initializer=small, dtype="float32", name="genres")(x)


def musictagger(input_shape, n_classes, **_):
    """Choi's MusicTaggerCRNN (arXiv:1609.04243), for comparison; its features are the last layer's 32."""
    clip = Input(tuple(input_shape), name="clip")
    x = layers.BatchNormalization(axis=1, momentum=BATCH_MOMENTUM)(layers.Rescaling(1 / 80, 1)(clip))
    x = layers.Reshape((input_shape[0], -1, 1))(x)
    for channels, pool in ((64, (2, 2)), (128, (3, 3)), (128, (4, 4)), (128, (4, 4))):
        x = layers.BatchNormalization(momentum=BATCH_MOMENTUM)(layers.Conv2D(channels, 3, padding="same")(x))
        x = layers.ELU()(x)
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
