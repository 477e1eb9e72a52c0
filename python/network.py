"""The networks, built from standard Keras layers only, so that their files load anywhere without our code.

Every network takes log-mel spectrograms in dB as the .npy files hold them, (batch, mels, frames) with maximum 0 and
floor -80, and gives softmax probabilities. `dense_1` has 512 units; `activation_1`, its ReLU, is the features.
"""

from keras import Input, Model, layers

from artifacts import PipelineError

FEATURES = 512
FLOOR_DB = -80.0
FRAMES_PER_SECOND = 22050 / 512


def build_network(name, input_shape, n_classes, **options):
    """Build a network by name.

    Parameters
    ----------
    name : {"crnn"}
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


def crnn(input_shape, n_classes, *, frames_per_second=FRAMES_PER_SECOND, width=32, dropout=0.3):
    """Convolutions, a recurrent layer, attention over time (after Choi et al., arXiv:1609.04243).

    Parameters
    ----------
    input_shape, n_classes
        As for `build_network`.
    frames_per_second : float
        Of the spectrograms; the first convolution strides so that about 13 a second are left, whatever the hop was.
    width : int
        Channels of the first block.
    dropout : float
        Before each dense layer.
    """
    clip = Input((input_shape[0], input_shape[1]), name="clip")
    stride = max(1, round(frames_per_second / 13))
    sound = sounding(clip, input_shape[0])
    x = layers.Rescaling(1 / 80, 1, name="scale")(clip)
    x = layers.BatchNormalization(axis=1, name="normalise_bands")(x)
    x = layers.Reshape((input_shape[0], -1, 1))(x)
    x = layers.Conv2D(width, (3, 2 * stride + 1), strides=(2, stride), padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    for channels in (2 * width, 4 * width, 6 * width):
        x = block(x, channels)
        x = layers.MaxPooling2D((2, 2), padding="same")(x)
    x = layers.MaxPooling2D((x.shape[1], 1))(x)
    x = layers.Reshape((-1, x.shape[-1]))(x)
    for step in (stride, 2, 2, 2):
        sound = layers.MaxPooling1D(step, padding="same")(sound)
    x = layers.Multiply()([x, sound])
    # A layers.Masking would leave bare operations in the graph, which an .h5 file cannot hold.
    mask = layers.Flatten()(sound)
    x = layers.Bidirectional(layers.GRU(3 * width, return_sequences=True), name="recurrent")(x, mask=mask)
    x = pool_over_time(x, sound)
    return Model(clip, classify(x, n_classes, dropout), name="crnn")


def sounding(clip, mels):
    """1 where a frame sounds, 0 where it is silence or padding (-80 dB in every band): (batch, frames, 1)."""
    loudest = layers.MaxPooling1D(mels, name="loudest_band")(clip)
    above = layers.Rescaling(100.0, -100.0 * FLOOR_DB)(layers.Permute((2, 1))(loudest))
    return layers.ReLU(max_value=1.0, name="sounding")(above)


def block(x, channels):
    """Two depthwise-separable convolutions with a residual connection."""
    shortcut = layers.Conv2D(channels, 1, use_bias=False)(x)
    for _ in range(2):
        x = layers.SeparableConv2D(channels, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    return layers.Add()([x, shortcut])


def pool_over_time(x, sound, heads=4):
    """Weighted means over the sounding frames, the weights learnt, one of them even: (batch, (heads + 1) * channels)."""
    silence = layers.Rescaling(1e4, -1e4, dtype="float32")(sound)  # 0 where it sounds, -10000 in silence
    attention = layers.Dense(heads, name="attention")(x)
    weights = layers.Concatenate()([layers.Add()([attention, silence]), silence])
    weights = layers.Softmax(axis=1, dtype="float32")(weights)
    return layers.Flatten()(layers.Dot(axes=1)([weights, x]))


def classify(x, n_classes, dropout):
    """The features and the classifier."""
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(FEATURES, name="dense_1")(x)
    x = layers.Activation("relu", dtype="float32", name="activation_1")(x)
    x = layers.Dropout(dropout)(x)
    return layers.Dense(n_classes, activation="softmax", dtype="float32", name="genres")(x)


NETWORKS = {"crnn": crnn}
