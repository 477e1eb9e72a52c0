"""The pre-trained front end: musicnn's convolutions, applied to windows of 3 s.

`models/front_end.md` describes the file `models/front_end.h5`. A clip is a sequence of windows of 187 frames, as in
musicnn; the front end computes an embedding of 1,608 values per window.
"""

import functools
import json
from typing import TYPE_CHECKING

import numpy as np

from music_featurization.artifacts import FRONT_END, PipelineError, first_line
from music_featurization.audio import spectrogram
from music_featurization.network.keras_backend import load_keras

if TYPE_CHECKING:
    import keras

WINDOW = 187  # frames: 3 s
# Values per window, of both networks together: before the tag layers, and pooled over time before that. The first
# describe the kinds of music that the networks were trained on, the second the sound.
PARTS = {"penultimate": 400, "pooled": 1208}
EMBEDDING = sum(PARTS.values())
WINDOWS_AT_A_TIME = 4  # embedded in one call: bounds the memory that a long clip needs
CONSTANT = ("shared_ones",)  # the channel of ones that carries the output of the dead filters
HEARD = "folders 0-c of MagnaTagATune with their tags, and the Million Song Dataset"
_RESTORE = "Restore it from the repository (git checkout models/front_end.h5)."


def whole_windows(log_mel: np.ndarray) -> np.ndarray:
    """Fit a spectrogram to a whole number of windows by repeating it from its beginning, or by cutting its end.

    The shape changes from (mels, frames) to (mels, n * 187), n >= 1. A clip shorter than one window is repeated until
    it fills one. A remainder after the last whole window is filled in the same way if it is at least half a window
    long; otherwise it is left out.

    Examples
    --------
    >>> import numpy as np
    >>> [whole_windows(np.zeros((96, frames))).shape[1] // 187 for frames in (60, 187, 280, 281, 1820)]
    [1, 1, 1, 2, 10]
    """
    frames = log_mel.shape[1]
    return np.take(log_mel, np.arange(count_windows(frames) * WINDOW) % frames, axis=1)


def count_windows(frames: int) -> int:
    """Return the number of windows of a clip of so many frames: a remainder of at least half a window counts."""
    return max(1, (2 * frames + WINDOW) // (2 * WINDOW))


def windows(log_mel: np.ndarray) -> np.ndarray:
    """Cut a spectrogram, (mels, frames), into windows for the front end, float32, (n, 187, mels)."""
    fitted = whole_windows(log_mel).astype(np.float32)
    return np.ascontiguousarray(fitted.T).reshape(-1, WINDOW, len(log_mel))


def embed(embedder: "keras.Model", log_mel: np.ndarray) -> np.ndarray:
    """Compute the embeddings, float32, (n, 1608), of a spectrogram's windows."""
    cut = windows(log_mel)
    parts = [cut[start : start + WINDOWS_AT_A_TIME] for start in range(0, len(cut), WINDOWS_AT_A_TIME)]
    return np.concatenate([embedder.predict_on_batch(part) for part in parts])


def read_about() -> dict:
    """Read the description in `models/front_end.h5`.

    Raises a PipelineError if the file is missing or damaged, is not a front end, or was made for other spectrograms.
    """
    import h5py

    if not FRONT_END.is_file():
        raise PipelineError(f"{FRONT_END} does not exist. {_RESTORE}")
    try:
        with h5py.File(FRONT_END, "r") as file:
            about = json.loads(file.attrs["about"])
        made_for = {key: about["spectrogram_settings"].get(key, value) for key, value in spectrogram.SETTINGS.items()}
        name, frames, bands = about["name"], about["frames"], about["mel_bands"]
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(error) from error
    if (name, frames, bands) != ("front_end", WINDOW, spectrogram.N_MELS) or made_for != spectrogram.SETTINGS:
        raise PipelineError(f"{FRONT_END} is a front end for other spectrograms than this project's. {_RESTORE}")
    return about


def _unreadable(error: Exception) -> PipelineError:
    return PipelineError(f"{FRONT_END} is not a readable front end ({first_line(error)}). {_RESTORE}")


def tag_names() -> list[str]:
    """Return the names of the 100 tags, `mtt_<tag>` (MagnaTagATune) and `msd_<tag>` (Million Song Dataset)."""
    tags = read_about()["tags"]
    return [f"{name}_{tag}" for name in ("mtt", "msd") for tag in tags[name]]


@functools.cache
def load_tagger() -> "keras.Model":
    """Load the frozen front end that also computes the tags: see `build_embedder`."""
    load_keras()
    return build_embedder(pretrained=True, trainable=False, with_tags=True)


def build_embedder(*, pretrained: bool, trainable: bool, with_tags: bool = False) -> "keras.Model":
    """Build the network "front_end", from windows, float32 (batch, 187, 96), to embeddings, float32 (batch, 1608).

    Unless it is `pretrained`, its layers start from random weights. With tags, the probabilities of `tag_names` are
    appended: (batch, 1708). Raises a PipelineError if `models/front_end.h5` cannot be used.
    """
    import keras

    read_about()
    parts = [*PARTS, "tags"] if with_tags else PARTS
    try:
        network = keras.saving.load_model(FRONT_END, compile=False)
        outputs = [network.get_layer(f"{name}_{part}").output for part in parts for name in ("mtt", "msd")]
    except Exception as error:  # a damaged file can fail anywhere inside h5py or Keras
        raise _unreadable(error) from error
    embedding = keras.layers.Concatenate(name="embedding")(outputs)
    embedder = keras.Model(network.input, embedding, name="front_end")
    if not pretrained:
        embedder = keras.models.clone_model(embedder)
    set_trainable(embedder, trainable)
    return embedder


def set_trainable(embedder: "keras.Model", trainable: bool) -> None:
    """Freeze the convolutions of a front end or make them trainable; its constant layers stay frozen."""
    embedder.trainable = trainable
    for layer in embedder.layers:
        if layer.name in CONSTANT:
            layer.trainable = False


def embedder_of(model: "keras.Model") -> "keras.Model | None":
    """Return the front end inside a network, None if it has none."""
    layer = next((layer for layer in model.layers if layer.name == "embeddings"), None)
    return getattr(layer, "layer", None)
