"""What a training run writes after each epoch, and how it continues after an interruption.

The state of the run is written first (weights, optimizer, history), then the checkpoint and `history.pkl`, which both
follow from it. So a run that was killed at any moment continues as if nothing had happened.
"""

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from music_featurization.artifacts import HISTORY_FILE, PipelineError, replacing
from music_featurization.network import checkpoints
from music_featurization.network.keras_backend import to_numpy

if TYPE_CHECKING:
    import keras

STATE = ".training_state.npz"  # beside the checkpoints; deleted at the end
HISTORY_KEYS = ("loss", "categorical_accuracy", "val_loss", "val_categorical_accuracy", "val_balanced_accuracy")


def save(model: "keras.Model", models: Path, history: dict) -> None:
    """Write what `restore` needs to continue after this epoch."""
    arrays: dict[str, Any] = {f"v{i}": to_numpy(v) for i, v in enumerate(_variables(model))}
    with replacing(models / STATE) as temporary:
        np.savez(temporary, history=json.dumps(history), **arrays)


def restore(model: "keras.Model", models: Path) -> dict[str, list[float]]:
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


def write_epoch(network: "keras.Model", models: Path, history: dict, about: dict, keep: str) -> None:
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


def stops_early(history: dict, patience: int) -> bool:
    """Return whether the last `patience` epochs brought no lower validation loss than those before; 0 never does."""
    losses = history.get("val_loss", [])
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def is_complete(history: dict, epochs: int, patience: int) -> bool:
    """Return whether a run has done all its epochs or has stopped early."""
    return len(history.get("val_loss", [])) >= epochs or stops_early(history, patience)
