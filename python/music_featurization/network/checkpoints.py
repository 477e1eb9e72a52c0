"""Checkpoints: one legacy Keras .h5 file that holds the network, its classes and how it was made.

`keras.saving.load_model(path)` in a bare Python reads the network; what else is known about it (`about`) is a JSON text
in the file's attribute `about`, so that a checkpoint never loses the names of its classes.
"""

import json
import logging
from pathlib import Path

from music_featurization.artifacts import PipelineError, replacing

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

    about = read_about(path)
    try:
        return keras.saving.load_model(path, compile=False), about
    except Exception as error:  # a damaged file can fail anywhere inside h5py or Keras
        raise _unreadable(path, error) from error


def read_about(path):
    """What is known about a checkpoint, without loading the network. Raises as `load` does."""
    import h5py

    if not Path(path).is_file():
        raise PipelineError(f"{path} does not exist. Give another file, or train a network with python/1-training.py.")
    try:
        with h5py.File(path, "r") as file:
            about = json.loads(file.attrs.get(ATTRIBUTE, "{}"))
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise _unreadable(path, error) from error
    kinds = {"classes": list, "spectrogram_settings": dict}
    if not isinstance(about, dict) or not all(isinstance(about.get(key, kind()), kind) for key, kind in kinds.items()):
        raise _unreadable(path, ValueError(f"its attribute {ATTRIBUTE!r} is not a description of a network"))
    return about


def _unreadable(path, error):
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return PipelineError(
        f"{path} is not a readable Keras .h5 file ({reason}). Delete it and train again with python/1-training.py, "
        "or restore it from the repository if it is the provided network."
    )
