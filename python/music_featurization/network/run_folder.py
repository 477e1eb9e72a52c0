"""The folder of a training run: which run it contains, what is written after each epoch, how a run continues.

After each epoch the state of the run is written first (weights, optimizer, history), then the checkpoint and
`history.pkl`, which both follow from it. So a run that was killed at any moment continues where it was.
"""

import json
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from music_featurization.artifacts import (
    HISTORY_FILE,
    TRAINING,
    Artifacts,
    PipelineError,
    read_json,
    remove_unfinished,
    replacing,
    require_same_settings,
    write_json,
)
from music_featurization.network import checkpoints
from music_featurization.network import history as training_history
from music_featurization.network.keras_backend import to_numpy

if TYPE_CHECKING:
    import keras

STATE = ".training_state.npz"  # beside the checkpoints; deleted at the end
HISTORY_KEYS = ("loss", "categorical_accuracy", "val_loss", "val_categorical_accuracy", "val_balanced_accuracy")


def is_finished(artifacts: Artifacts, settings: dict, overwrite: bool) -> bool:
    """Return whether the run with these settings is already finished; change nothing.

    Raises a PipelineError if the folder contains a run with other settings, or one that cannot be continued, and
    `overwrite` is not set.
    """
    models, record = artifacts.models, artifacts.training_settings
    state = models / STATE
    files = [*checkpoints.list_files(models), *(path for path in (artifacts.history, state) if path.exists())]
    if overwrite or not files:
        return False
    if not record.exists():
        raise PipelineError(f"{models} contains checkpoints of an unknown run. Move them, or give --overwrite.")
    require_same_settings(models, read_json(record, f"{TRAINING} --overwrite", settings=dict)["settings"], settings)
    if state.exists():
        return False
    history = training_history.read(artifacts.history) if artifacts.history.exists() else {}
    epochs_done = len(history.get("val_loss", []))
    if epochs_done >= settings["epochs"] or stops_early(history, settings["early_stop"]):
        return True
    raise PipelineError(
        f"{models} contains {epochs_done} of {settings['epochs']} epochs, but not the state to continue from. "
        "Give --overwrite to train from the beginning."
    )


def begin(artifacts: Artifacts, settings: dict, versions: dict, overwrite: bool) -> None:
    """Remove an earlier run if `overwrite` is set, and write the settings of this one."""
    remove_unfinished(artifacts.models)
    state = artifacts.models / STATE
    if overwrite:
        for path in [*checkpoints.list_files(artifacts.models), artifacts.history, state]:
            path.unlink(missing_ok=True)
    if not state.exists():
        write_json(artifacts.training_settings, {"settings": settings, "versions": versions})


def check_disk(models: Path, megabytes_each: float, epochs: int) -> None:
    """Raise a PipelineError if the checkpoints of all epochs do not fit on the disk."""
    existing = next(folder for folder in [models, *models.parents] if folder.exists())
    others = 4  # the state of the run, with the two moments of the optimizer, and an unfinished file
    needed, free = megabytes_each * (epochs + others), shutil.disk_usage(existing).free / 1e6
    if needed > free:
        raise PipelineError(
            f"{epochs} checkpoints need {needed:,.0f} MB, but only {free:,.0f} MB are free at {models}. "
            "Free some space, or give --keep best or fewer --epochs."
        )


def save_state(model: "keras.Model", models: Path, history: dict[str, list[float]]) -> None:
    """Write what `restore_state` needs to continue after this epoch."""
    arrays: dict[str, Any] = {f"v{i}": to_numpy(v) for i, v in enumerate(_variables(model))}
    with replacing(models / STATE) as temporary:
        np.savez(temporary, history=json.dumps(history), **arrays)


def restore_state(model: "keras.Model", models: Path) -> dict[str, list[float]]:
    """Load the state of an unfinished run if there is one; return its history, empty lists for a new run."""
    path = models / STATE
    if not path.exists():
        return {key: [] for key in HISTORY_KEYS}
    try:
        with np.load(path) as state:
            for i, variable in enumerate(_variables(model)):
                variable.assign(state[f"v{i}"])
            history = json.loads(str(state["history"]))
        return {key: [float(value) for value in history[key]] for key in HISTORY_KEYS}
    except Exception as error:  # a damaged .npz can fail anywhere inside zipfile, numpy or Keras
        raise PipelineError(
            f"{path} is not the readable state of this run ({error}). Give --overwrite to train from the beginning."
        ) from error


def _variables(model: "keras.Model") -> list:
    """Return all that the next step depends on: weights, seeds of the dropout layers, the optimizer's variables."""
    return [*model.variables, *model.optimizer.variables]


def write_epoch(network: "keras.Model", models: Path, history: dict[str, list[float]], about: dict, keep: str) -> None:
    """Write the checkpoint of the last epoch and the history; with keep "best" remove the other checkpoints."""
    names = [checkpoints.file_name(i, accuracy) for i, accuracy in enumerate(history["val_categorical_accuracy"], 1)]
    best = int(np.argmin(history["val_loss"]))
    if keep == "all" or best == len(names) - 1:
        checkpoints.save(network, models / names[-1], about | {"epoch": len(names)})
    if keep == "best":
        for name in names[:best] + names[best + 1 :]:
            (models / name).unlink(missing_ok=True)
    with replacing(models / HISTORY_FILE) as temporary:
        temporary.write_bytes(pickle.dumps(history))


def stops_early(history: dict[str, list[float]], patience: int) -> bool:
    """Return whether the last `patience` epochs brought no lower validation loss than those before; 0 never does."""
    losses = history.get("val_loss", [])
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])
