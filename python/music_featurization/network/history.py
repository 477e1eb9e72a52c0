"""The history of a training run: reading history.pkl safely, and choosing the best epoch."""

import math
import pickle

import numpy as np

from music_featurization.artifacts import TRAINING, PipelineError, require

LARGEST = 3e38  # about that of float32; no picture can show more


def _encode(text, encoding):
    """What Python 3 writes into old pickles to carry bytes; the real function also runs other codecs."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding} has no place in a training history")
    return text.encode("latin1")


def _dtype(code, *rest):
    dtype = np.dtype(code, *rest)
    if dtype.kind not in "biuf":
        raise pickle.UnpicklingError(f"arrays of {dtype} have no place in a training history")
    return dtype


def _admitted():
    """Everything a history may refer to, under the module names of Python 2, NumPy 1 and NumPy 2."""
    scalar = np.float64(0).__reduce__()[0]
    reconstruct = np.zeros(1).__reduce__()[0]
    admitted = {("numpy", "dtype"): _dtype, ("numpy", "ndarray"): np.ndarray, ("_codecs", "encode"): _encode}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        admitted |= {(module, "scalar"): scalar, (module, "_reconstruct"): reconstruct}
    from_buffer = np.zeros(1).__reduce_ex__(5)[0]
    admitted |= {(module, "_frombuffer"): from_buffer for module in ("numpy.core.numeric", "numpy._core.numeric")}
    return admitted


class _Unpickler(pickle.Unpickler):
    """Admits plain containers, numbers and numpy arrays; a pickle that names anything else could run any code."""

    def find_class(self, module, name):
        try:
            return _admitted()[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a training history") from None


def read(path):
    """Read a training history, also one pickled by Python 2.

    Parameters
    ----------
    path : Path
        A pickled dict of lists of numbers, one number per epoch.

    Returns
    -------
    dict of str to list of float
        Only what is such a list; empty lists are left out. Numbers too large for float32 are infinite.

    Raises
    ------
    PipelineError
        If the file is missing, damaged, refers to code, or holds no list of numbers.
    """
    require(path, TRAINING)
    try:
        with open(path, "rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises almost anything
        raise PipelineError(
            f"{path} is not a readable training history ({error}). Run {TRAINING} --overwrite to train again."
        ) from error
    history = _lists_of_numbers(content)
    if not history:
        raise PipelineError(f"{path} holds no list of numbers per epoch. Run {TRAINING} --overwrite to train again.")
    return history


def _lists_of_numbers(content):
    history = {}
    for key, values in content.items() if isinstance(content, dict) else ():
        try:
            numbers = [math.inf if abs(value) > LARGEST else value for value in map(float, values)]
        except (TypeError, ValueError, OverflowError):
            continue
        if isinstance(key, str) and not isinstance(values, (str, bytes, dict)) and numbers:
            history[key] = numbers
    return history


def best_epoch(history):
    """The epoch of lowest validation loss.

    Parameters
    ----------
    history : dict of str to list of float

    Returns
    -------
    int or None
        From 1; the first of equals; None without a finite `val_loss`.
    """
    ranked = ranked_epochs(history)
    return ranked[0] if ranked else None


def ranked_epochs(history):
    """Epochs (from 1) with a finite validation loss, the lowest first, the first of equals first."""
    losses = enumerate(history.get("val_loss", []), start=1)
    return [epoch for _, epoch in sorted((loss, epoch) for epoch, loss in losses if math.isfinite(loss))]
