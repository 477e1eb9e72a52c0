"""Import Keras quietly: on any backend, without TensorFlow's messages at the start."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from music_featurization import command_line, workers
from music_featurization.artifacts import PipelineError

# Keras imports them, if they are installed, for features that workers do not need: a second, and 150 MB each.
NOT_NEEDED = ("matplotlib", "pandas", "sklearn")


def load_keras() -> ModuleType:
    """Import and return Keras, with the backend that KERAS_BACKEND names (TensorFlow by default).

    Call this before the first `import keras` elsewhere. Raises a PipelineError if the backend does not exist or is not
    installed, or if Keras cannot read its own settings.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    is_worker = workers.IS_WORKER in os.environ
    if is_worker:  # several share the cores, and would share a GPU
        os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    # TensorFlow warns that it compiles the network again for each new length of a clip, which is intended.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with command_line.without_stderr(), _not_installed(NOT_NEEDED if is_worker else ()):
        try:
            import keras

            keras.ops.zeros(1)  # starts the runtime, which prints messages of its own
        except Exception as error:  # a missing backend, and settings of any content, raise almost anything
            raise PipelineError(
                f"Keras cannot start ({error}). Install what it lacks, or choose the backend: KERAS_BACKEND=tensorflow "
                "(Keras reads that variable first, then ~/.keras/keras.json, which can be deleted)."
            ) from error
    return keras


def has_gpu() -> bool:
    """Return whether the backend sees a GPU."""
    import keras

    if keras.backend.backend() == "torch":  # for which keras.distribution lists no devices
        import torch

        return torch.cuda.is_available()
    # All devices: JAX raises an error for a kind of device that is missing.
    return any(device.lower().startswith(("gpu", "cuda")) for device in keras.distribution.list_devices())


def use_precision(precision: str) -> None:
    """Set Keras's policy for the layers built from now on to one of `recipe.PRECISIONS`.

    "auto" is mixed_float16 on a GPU, else float32.
    """
    import keras

    if precision == "auto":
        precision = "mixed_float16" if has_gpu() else "float32"
    keras.config.set_dtype_policy(precision)


def to_numpy(variable: Any) -> np.ndarray:
    """Return a Keras variable as a numpy array, on any backend."""
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable))


@contextlib.contextmanager
def _not_installed(packages: Sequence[str]) -> Iterator[None]:
    """Let the first import of each package fail, as if it was not installed."""
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # as documented for sys.modules
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
