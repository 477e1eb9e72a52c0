"""Checkpoints: one legacy Keras .h5 file that holds the network, its classes and how it was made.

`keras.saving.load_model(path)` in a bare Python reads the network; what else is known about it (`about`) is a JSON text
in the file's attribute `about`, so that a checkpoint never loses the names of its classes.
"""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import TRAINING, PipelineError, replacing
from music_featurization.network.keras_backend import first_line

if TYPE_CHECKING:
    import keras

ATTRIBUTE = "about"


def save(model, path, about):
    """Write a network without its optimizer's state (two thirds of the size) as a whole artifact.

    Parameters
    ----------
    model : keras.Model
        The network; standard layers only, so that it loads without our code.
    path : Path
        Ends in `.h5`.
    about : dict
        What JSON can hold; at least `classes` (genres in label order) and `spectrogram_settings`.
    """
    import h5py

    # Keras advises its newer format at every save; .h5 is the contract.
    logging.getLogger("absl").setLevel(logging.ERROR)
    with replacing(path) as temporary:
        model.save(temporary, include_optimizer=False)
        with h5py.File(temporary, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(about, ensure_ascii=False)


def load(path):
    """Read a network and what is known about it.

    Parameters
    ----------
    path : Path
        A checkpoint of ours, or any Keras .h5 file.

    Returns
    -------
    model : keras.Model
        Not compiled.
    about : dict
        As given to `save`; empty for a file that was not written by it.

    Raises
    ------
    PipelineError
        If the file is missing or is not a readable Keras .h5 file.
    """
    import keras

    from music_featurization.network.crnn import TimeDistributed

    about = read_about(path)
    try:
        return keras.saving.load_model(path, custom_objects={"TimeDistributed": TimeDistributed}, compile=False), about
    except Exception as error:  # a damaged file can fail anywhere inside h5py or Keras
        raise _unreadable(path, error) from error


def read_about(path: Path) -> dict:
    """Read what is known about a checkpoint, without loading the network. Raises as `load` does."""
    import h5py

    if not Path(path).is_file():
        raise PipelineError(f"{path} does not exist. Give another file, or train a network with {TRAINING}.")
    try:
        with h5py.File(path, "r") as file:
            about = json.loads(file.attrs.get(ATTRIBUTE, "{}"))
        if not isinstance(about, dict) or not _is_list_of_text(about.get("classes", [])):
            raise ValueError(f"its attribute {ATTRIBUTE} is not a description of a network")
        if not isinstance(about.get("spectrogram_settings", {}), dict):
            raise ValueError(f"its attribute {ATTRIBUTE} has no valid spectrogram_settings")
        return about
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise _unreadable(path, error) from error


def _is_list_of_text(value):
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _unreadable(path, error):
    return PipelineError(
        f"{path} is not a readable Keras .h5 file ({first_line(error)}). Delete it and train again with "
        f"{TRAINING}, or restore it from the repository if it is the provided network."
    )


def in_float32(model: "keras.Model") -> "keras.Model":
    """Return the network itself if it computes in float32, else a copy that does: float16 is slow on a CPU."""
    import keras

    if all(policy == "float32" for policy in _compute_dtypes(model)):
        return model
    copy = keras.models.clone_model(model, clone_function=_layer_in_float32)
    copy.set_weights(model.get_weights())
    return copy


def _compute_dtypes(model):
    for layer in model.layers:
        inner = getattr(layer, "layer", None)
        yield from _compute_dtypes(inner) if hasattr(inner, "layers") else [layer.compute_dtype]


def _layer_in_float32(layer):
    def changed(config):
        if isinstance(config, list):
            return [changed(value) for value in config]
        if not isinstance(config, dict):
            return config
        return {key: "float32" if key == "dtype" else changed(value) for key, value in config.items()}

    return type(layer).from_config(changed(layer.get_config()))
