"""Compare the time of the front end with the time of one original network, on one thread."""

import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
import original
import tensorflow as tf


def use_one_thread() -> None:
    """Limit TensorFlow to one thread. Call it before TensorFlow computes anything."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def compare(model: keras.Model, prefix: Path, windows: np.ndarray, *, repetitions: int = 15) -> dict[str, float]:
    """Measure both networks of the front end together, and the original MTT_musicnn.

    Parameters
    ----------
    model : keras.Model
        The front end.
    prefix : Path
        The files of the original network, see `original.load_original`.
    windows : np.ndarray, shape (n, 187, 96)
        All windows are computed in one batch.
    repetitions : int
        Number of measurements of each. They alternate.

    Returns
    -------
    dict of str to float
        Median CPU time in seconds by the name ``front end`` and ``original``.
    """
    infer = tf.function(lambda batch: model(batch, training=False), input_signature=[tf.TensorSpec([None, 187, 96])])
    run = original.load_original(prefix, threads=1)
    contenders = {"front end": partial(infer, windows), "original": partial(run, windows)}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for repetition in range(repetitions + 2):  # the first two are not counted
        for name, compute in contenders.items():
            start = time.process_time()
            compute()
            times[name] += [time.process_time() - start] if repetition > 1 else []
    return {name: float(np.median(seconds)) for name, seconds in times.items()}
