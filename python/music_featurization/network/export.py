"""Export a network for use without Keras: as an ONNX file or a TensorFlow SavedModel."""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from music_featurization import file_lock
from music_featurization.artifacts import REPOSITORY, Artifacts, PipelineError, make_folder, replacing
from music_featurization.network import checkpoints
from music_featurization.network.keras_backend import load_keras

if TYPE_CHECKING:
    import keras

ENDINGS = {"onnx": ".onnx", "savedmodel": "_savedmodel"}
OPSET = 17
INPUT, OUTPUTS = "spectrogram", ("genres", "features")

_RUN = {
    "onnx": """import onnxruntime
session = onnxruntime.InferenceSession({output!r})
genres, features = session.run(["genres", "features"], {{"spectrogram": clip}})""",
    "savedmodel": """import tensorflow as tf
outputs = tf.saved_model.load({output!r}).signatures["serving_default"](tf.constant(clip))
genres, features = outputs["genres"].numpy(), outputs["features"].numpy()""",
}
EXAMPLE = """import librosa, numpy as np
classes = {classes}
y, _ = librosa.load("song.mp3", sr=16000, duration=29.1)
power = librosa.feature.melspectrogram(y=y, sr=16000, n_fft=512, hop_length=256, n_mels=96)
log_mel = np.log10(1 + 10000 * power * 0.3 / power.mean())  # (96, frames); all zeros for digital silence
windows = max(1, int(log_mel.shape[1] / 187 + 0.5))  # of 3 s: the end is cut, or filled from the beginning
clip = np.take(log_mel, np.arange(187 * windows) % log_mel.shape[1], axis=1)[None].astype(np.float32)
{run}
print(classes[genres[0].argmax()], features[0].shape)  # the likeliest genre, (512,)"""


def export(
    *,
    format: str,
    root: Path = REPOSITORY,
    model: Path | None = None,
    output: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write a network, from spectrograms to genres and features, for use without Keras, and print how to use it.

    The input `spectrogram` is float32, shape (clips, 96, frames), with any number of clips and frames. The outputs are
    `genres`, the probabilities, shape (clips, classes), and `features`, shape (clips, 512).

    Parameters
    ----------
    format : {"onnx", "savedmodel"}
        Write a file (onnx) or a folder (savedmodel).
    model : Path, optional
        A checkpoint; by default the network that 2-testing.py uses.
    output : Path, optional
        By default beside the checkpoint, named after it.
    overwrite : bool
        Replace an existing output.

    Raises
    ------
    PipelineError
        If the network cannot be used, the output exists, a package is missing, or Keras does not run on TensorFlow.
    """
    model_file = model or checkpoints.best(Artifacts(root))[0]
    output = output or model_file.with_name(model_file.stem + ENDINGS[format])
    classes = checkpoints.require_compatible(model_file)
    _require_free(output, format, overwrite)
    network = _load(model_file, classes)
    if format == "onnx":
        _write_onnx(network, output)
    else:
        _write_saved_model(network, output)
    code = EXAMPLE.format(classes=list(classes), run=_RUN[format].format(output=str(output)))
    print(f"{output} is written. To use it:\n\n{code}")


def _load(model_file: Path, classes: Sequence[str]) -> "keras.Model":
    keras = load_keras()
    if keras.backend.backend() != "tensorflow":
        raise PipelineError(
            f"A network is exported by TensorFlow, but Keras runs on {keras.backend.backend()}. "
            "Run the same command with KERAS_BACKEND=tensorflow."
        )
    model = checkpoints.load(model_file, classes)
    outputs = (model.outputs[0], model.get_layer(checkpoints.FEATURE_LAYER).output)
    return keras.Model(model.input, dict(zip(OUTPUTS, outputs, strict=True)))


def _require_free(output: Path, format: str, overwrite: bool) -> None:
    if not output.exists():
        return
    if not overwrite:
        raise PipelineError(f"{output} exists. Give --overwrite to replace it, or another --output.")
    if not (_is_onnx(output) if format == "onnx" else (output / "saved_model.pb").is_file()):
        raise PipelineError(f"{output} is not an exported network, and is not replaced. Give another --output.")


def _is_onnx(path: Path) -> bool:
    """Return whether a file begins as ONNX files of tf2onnx do: with the fields 1 (a number) and 2 (a text)."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(3)
    return head[:1] == b"\x08" and head[2:] == b"\x12"


def _serving_function(network: "keras.Model") -> Any:
    import tensorflow as tf

    bands = network.input_shape[1]
    signature = [tf.TensorSpec((None, bands, None), tf.float32, name=INPUT)]
    return tf.function(lambda spectrogram: network(spectrogram, training=False), input_signature=signature)


def _write_onnx(network: "keras.Model", output: Path) -> None:
    try:
        import tf2onnx
    except ImportError as error:
        raise PipelineError(f"{error}. For --format onnx run pip install -r requirements-export.txt first.") from error

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    function = _serving_function(network)
    model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        names = ("clips", "bands", "frames") if value.name == INPUT else ("clips",)
        for dimension, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if not dimension.dim_value:
                dimension.dim_param = name
    with replacing(output) as temporary:
        temporary.write_bytes(model.SerializeToString())


def _write_saved_model(network: "keras.Model", output: Path) -> None:
    import tensorflow as tf

    module, function = tf.Module(), _serving_function(network)
    module.network = network
    output = output.resolve()  # the target of a link is replaced
    unfinished, old = (output.with_name(f".{output.name}-{what}") for what in ("unfinished", "old"))
    make_folder(output.parent)
    with file_lock.locked(output.with_name(f".{output.name}.lock"), output, "--output"):
        if old.exists() and not output.exists():  # a run was killed between the two renames below
            os.replace(old, output)
        _remove(unfinished, old)
        try:
            tf.saved_model.save(module, str(unfinished), signatures={"serving_default": function})
            if output.exists():
                os.replace(output, old)
            os.replace(unfinished, output)
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0].rpartition("; ")[2]  # before it are names of TensorFlow and of the file
            raise PipelineError(f"{output} cannot be written: {reason}. Give another --output.") from error
        finally:
            _remove(unfinished)
        _remove(old)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
