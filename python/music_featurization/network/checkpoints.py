"""Checkpoints: choose the file to use, check whether it fits the data, read and write it.

A checkpoint is a legacy Keras .h5 file, which `keras.saving.load_model(path)` reads in bare Python. It also contains
how the network was made and the names of its classes, as JSON text in the attribute `about`.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from music_featurization.artifacts import PROVIDED_MODEL, TRAINING, Artifacts, PipelineError, first_line, replacing
from music_featurization.audio import spectrogram
from music_featurization.network import history
from music_featurization.network.keras_backend import load_keras

if TYPE_CHECKING:
    import keras

FEATURE_LAYER, FEATURES = "activation_1", 512  # in every network; Dense `dense_1` before it
ATTRIBUTE = "about"


def file_name(epoch: int, accuracy: float) -> str:
    """Return `epoch_NN_A.AAAA.h5`."""
    return f"epoch_{epoch:02d}_{accuracy:.4f}.h5"


def list_files(models: Path) -> list[Path]:
    """Return the checkpoints in a folder, sorted by name."""
    return sorted(models.glob("epoch_*.h5"))


def best(artifacts: Artifacts) -> tuple[Path, str]:
    """Choose the network to use if none is given, and say why.

    It is the checkpoint of lowest validation loss, or the provided network if there is no checkpoint. Raises a
    PipelineError if there are checkpoints, but no history that says which is best.
    """
    models, file = artifacts.models, artifacts.history
    if not list_files(models):
        return PROVIDED_MODEL, f"the provided network, because {models} contains no epoch_*.h5"
    advice = f"Give --model FILE, or run {TRAINING} --overwrite to train again."
    if not file.exists():
        raise PipelineError(f"{models} contains checkpoints but no {file.name}, which says which is best. {advice}")
    epochs = history.read(file)
    for rank, epoch in enumerate(history.ranked_epochs(epochs)):
        if path := of_epoch(models, epochs, epoch):
            which = "lowest validation loss" if rank == 0 else "lowest validation loss of the checkpoints still there"
            return path, f"epoch {epoch}, {which}: {epochs['val_loss'][epoch - 1]:.4f}"
    raise PipelineError(f"{file} has no validation loss for any checkpoint of {models}. {advice}")


def of_epoch(models: Path, epochs: dict[str, list[float]], epoch: int) -> Path | None:
    """Return the checkpoint of an epoch (from 1) of this history; None if it is missing or of another training.

    The accuracy in its name must be the one in the history.
    """
    accuracies = epochs.get("val_categorical_accuracy", [])
    is_recorded = epoch <= len(accuracies)
    files = models.glob(file_name(epoch, accuracies[epoch - 1]) if is_recorded else f"epoch_{epoch:02d}_*.h5")
    return min(files, default=None)


def require_compatible(model_file: Path, classes: Sequence[str] | None = None) -> tuple[str, ...]:
    """Check that a network was trained on spectrograms like ours and, if given, on these classes; return its classes.

    Parameters
    ----------
    classes : sequence of str, optional
        The classes of the data set, in label order. A file of other origin, which does not contain the names of its
        classes, is accepted with them.

    Raises
    ------
    PipelineError
        If the file is missing, unreadable or does not fit.
    """
    about = read_about(model_file)
    require_our_network(model_file, about)
    model_classes = about.get("classes", classes)
    if model_classes is None:
        raise _without_classes(model_file)
    if classes is not None and tuple(model_classes) != tuple(classes):
        raise PipelineError(
            f"{model_file} was trained on the classes {', '.join(model_classes)}; the data set has "
            f"{', '.join(classes)}. Give another --model, or train one with {TRAINING}."
        )
    return tuple(model_classes)


def require_our_network(model_file: Path, about: dict) -> None:
    """Raise a PipelineError if a network's `about` names no classes or other spectrograms than ours.

    A file of other origin, which has an empty `about`, is accepted.
    """
    if about and "classes" not in about:
        raise _without_classes(model_file)
    ours = spectrogram.SETTINGS
    trained = about.get("spectrogram_settings", ours)
    differing = sorted(key for key in {**trained, **ours} if trained.get(key) != ours.get(key))
    if differing:
        theirs, needed = (", ".join(f"{key} = {values.get(key)}" for key in differing) for values in (trained, ours))
        raise PipelineError(
            f"{model_file} was trained on spectrograms with {theirs}; this project's spectrograms have {needed}. "
            f"Give another network, or train one with {TRAINING}."
        )


def _without_classes(model_file: Path) -> PipelineError:
    return PipelineError(f"{model_file} does not contain the names of its classes. Give one made by {TRAINING}.")


def save(model: "keras.Model", path: Path, about: dict) -> None:
    """Write a network of standard layers without the optimizer's state, which is two thirds of the size.

    `path` ends in `.h5`; `about` contains JSON values, at least `classes` (genres in label order) and
    `spectrogram_settings`.
    """
    import h5py

    # Keras advises its newer format at every save; .h5 is the contract.
    logging.getLogger("absl").setLevel(logging.ERROR)
    with replacing(path) as temporary:
        model.save(temporary, include_optimizer=False)
        with h5py.File(temporary, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(about, ensure_ascii=False)


def load(path: Path, classes: Sequence[str] | None = None) -> "keras.Model":
    """Read a network, not compiled, from a checkpoint or any other Keras .h5 file.

    Raises a PipelineError if the file is missing or unreadable, or, with `classes`, if the network does not compute
    features and one probability per class from spectrograms.
    """
    read_about(path)
    keras = load_keras()
    from music_featurization.network.crnn import TimeDistributed

    try:
        model = keras.saving.load_model(path, custom_objects={"TimeDistributed": TimeDistributed}, compile=False)
    except Exception as error:  # a damaged file can fail anywhere inside h5py or Keras
        raise _unreadable(path, error) from error
    layers = [layer.name for layer in model.layers]
    if classes is not None and (
        FEATURE_LAYER not in layers or len(model.input_shape) != 3 or model.output_shape[-1] != len(classes)
    ):
        raise PipelineError(
            f"{path} does not fit: its input is {model.input_shape} and its output {model.output_shape}; needed are "
            f"(clips, mels, frames), a layer {FEATURE_LAYER} and {len(classes)} classes. Train one with {TRAINING}."
        )
    return model


def read_about(path: Path) -> dict:
    """Read the `about` of a checkpoint without loading the network; empty for a file that `save` did not write.

    Raises a PipelineError if the file is missing or is not a readable .h5 file.
    """
    import h5py

    if not Path(path).is_file():
        problem = "is not a file" if Path(path).exists() else "does not exist"
        raise PipelineError(f"{path} {problem}. Give another file, or train a network with {TRAINING}.")
    try:
        with h5py.File(path, "r") as file:
            about = json.loads(file.attrs.get(ATTRIBUTE, "{}"))
        classes = about.get("classes", []) if isinstance(about, dict) else None
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise ValueError(f"its attribute {ATTRIBUTE} is not a description of a network")
        if not isinstance(about.get("spectrogram_settings", {}), dict):
            raise ValueError(f"its attribute {ATTRIBUTE} has no valid spectrogram_settings")
        return about
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> PipelineError:
    return PipelineError(
        f"{path} is not a readable Keras .h5 file ({first_line(error)}). Give a file made by "
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


def _compute_dtypes(model: "keras.Model") -> Iterator[str]:
    for layer in model.layers:
        inner = getattr(layer, "layer", None)
        yield from _compute_dtypes(inner) if hasattr(inner, "layers") else [layer.compute_dtype]


def _layer_in_float32(layer: "keras.Layer") -> "keras.Layer":
    """Return a copy of a layer that computes in float32, and so do the layers inside it; without its weights."""

    def changed(config: Any) -> Any:
        if isinstance(config, list):
            return [changed(value) for value in config]
        if not isinstance(config, dict):
            return config
        return {key: "float32" if key == "dtype" else changed(value) for key, value in config.items()}

    return type(layer).from_config(changed(layer.get_config()))
