"""The history of a training run: read history.pkl safely, and choose the best epoch."""

import math
import pickle
import struct
from pathlib import Path
from typing import Any

from music_featurization.artifacts import TRAINING, PipelineError, require

LARGEST = 3e38  # about the largest float32; no picture can show more


class _Dtype:
    """The dtype of a number, as Python 2 pickled it."""

    def __init__(self, code: str, *_: Any):
        if code not in ("f4", "f8"):
            raise pickle.UnpicklingError(f"the dtype {code} has no place in a training history")
        self.format = "<f" if code == "f4" else "<d"

    def __setstate__(self, state: Any) -> None:
        """Ignore the other properties: the byte order is always little-endian."""


def _scalar(dtype: _Dtype, content: str) -> float:
    return struct.unpack(dtype.format, content.encode("latin1"))[0]


class _Unpickler(pickle.Unpickler):
    """Read containers, numbers and the numpy scalars of the published original; other names could run any code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return {"numpy.core.multiarray.scalar": _scalar, "numpy.dtype": _Dtype}[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a training history") from None


def read(path: Path) -> dict[str, list[float]]:
    """Read a training history: lists of one number per epoch, by name.

    The file is a pickled dict, also one that the published original wrote with Python 2. Other values and empty lists
    are left out; numbers too large for float32 become infinite. Raises a PipelineError if the file is missing or
    damaged, refers to code, or contains no list of numbers.
    """
    require(path, TRAINING)
    advice = f"Run {TRAINING} --overwrite to train again."
    try:
        with open(path, "rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises almost anything
        raise PipelineError(f"{path} is not a readable training history ({error}). {advice}") from error
    history = _lists_of_numbers(content) if isinstance(content, dict) else {}
    if not history:
        raise PipelineError(f"{path} contains no list of numbers per epoch. {advice}")
    return history


def _lists_of_numbers(content: dict) -> dict[str, list[float]]:
    history = {}
    for key, values in content.items():
        if not isinstance(key, str) or not isinstance(values, (list, tuple)) or not values:
            continue
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError, OverflowError):
            continue
        history[key] = [math.inf if abs(number) > LARGEST else number for number in numbers]
    return history


def best_epoch(history: dict[str, list[float]]) -> int | None:
    """Return the epoch (from 1) of lowest validation loss, None without a finite `val_loss`."""
    return next(iter(ranked_epochs(history)), None)


def ranked_epochs(history: dict[str, list[float]]) -> list[int]:
    """Return the epochs (from 1) with a finite validation loss, the lowest first, the first of equals first."""
    losses = enumerate(history.get("val_loss", []), start=1)
    return [epoch for _, epoch in sorted((loss, epoch) for epoch, loss in losses if math.isfinite(loss))]
