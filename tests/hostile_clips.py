"""A function for `workers.run` that does to its worker what the name of a clip says; workers import it from here."""

import ctypes
import os
import signal
import time


def do(clip):
    """Fail, die or hang as the part of the name before `-` says; otherwise succeed."""
    what = clip.partition("-")[0]
    if what == "fails":
        return "no music"
    if what == "exits":
        os._exit(0)
    if what == "segfaults":
        ctypes.string_at(0)
    if what == "killed":  # as the kernel does when memory runs out
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hangs":
        time.sleep(600)
    if what == "hangs_in_c":  # and lets no Python thread of its process run
        ctypes.PyDLL(None).sleep(600)
    if what == "slow":
        time.sleep(0.05)
    if what == "raises":
        raise OSError(28, "No space left on device", clip)
    return None


def name_process(clip):
    """The worker's process id, as the reason why this clip failed."""
    do(clip)
    return str(os.getpid())


def keras_environment(clip):
    """What this process may use after it has loaded Keras: threads of three libraries and TensorFlow, and GPUs."""
    from music_featurization.network.keras_backend import load_keras

    load_keras()
    libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    names = (*libraries, "TF_NUM_INTRAOP_THREADS", "CUDA_VISIBLE_DEVICES")
    return " ".join(os.environ.get(name, "any") for name in names)
