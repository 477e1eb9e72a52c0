"""Choi's MusicTaggerCRNN (arXiv:1609.04243), for comparison; its features are the 32 outputs of the last layer."""

from keras import Input, Model, layers

from music_featurization.network.checkpoints import FEATURE_LAYER


def musictagger(n_classes: int, mels: int = 96) -> Model:
    """Build the network from a spectrogram, (batch, mels, frames), to class probabilities."""
    clip = Input((mels, None), name="clip")
    x = layers.BatchNormalization(axis=1, momentum=0.9)(layers.Rescaling(0.25)(clip))
    x = layers.Reshape((mels, -1, 1))(x)
    for channels, pool in ((64, (2, 4)), (128, (3, 4)), (128, (4, 4)), (128, (4, 4))):
        x = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(channels, 3, padding="same")(x))
        x = layers.ELU()(x)
        x = layers.Dropout(0.1)(layers.MaxPooling2D(pool, padding="same")(x))
    x = layers.GRU(32, return_sequences=True)(layers.Reshape((-1, 128))(x))
    x = layers.Activation("linear", name=FEATURE_LAYER)(layers.GRU(32)(x))
    x = layers.Dropout(0.3)(x)
    return Model(clip, layers.Dense(n_classes, activation="softmax", dtype="float32")(x), name="musictagger")
