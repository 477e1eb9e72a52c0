"""Read the two musicnn networks from the wheel `musicnn` 0.1.0 and run their original graphs.

The wheel contains TensorFlow 1 checkpoints. TensorFlow 2.21 reads the variables, but `import_meta_graph` fails on the
training part of the graph. So only the part from the input to the tags is imported, without the attribute
`_output_shapes`.
"""

import ast
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

from music_featurization.artifacts import PipelineError

WHEEL = "musicnn-0.1.0-py3-none-any.whl"
SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
DOWNLOAD = "pip download --no-deps musicnn==0.1.0"
NETWORKS = {"mtt": "MTT_musicnn", "msd": "MSD_musicnn"}  # the folder of each network in the wheel
TENSORS = {
    "penultimate": "model/batch_normalization_10/batchnorm/add_1:0",  # what musicnn's extractor calls penultimate
    "tags": "model/Sigmoid:0",
    "pooled": "model/Flatten/flatten/Reshape:0",  # maximum and mean of each of the 753 channels in turn
}


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack the files of both networks: `mtt.index`, `mtt.data-00000-of-00001`, `mtt.meta`, and the same for `msd`.

    Raises
    ------
    PipelineError
        If the wheel is missing or is another file.
    """
    if not wheel.is_file():
        raise PipelineError(f"{wheel} does not exist. Run {DOWNLOAD}.")
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
        raise PipelineError(f"{wheel} is damaged or is not the wheel of musicnn 0.1.0. Run {DOWNLOAD}.")
    with zipfile.ZipFile(wheel) as archive:
        for name, inside in NETWORKS.items():
            for suffix in (".index", ".data-00000-of-00001", ".meta"):
                (folder / (name + suffix)).write_bytes(archive.read(f"musicnn/{inside}/{suffix}"))


def tag_names(wheel: Path) -> dict[str, list[str]]:
    """Read the 50 tags of each network from `musicnn/configuration.py` in the wheel, without importing it."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read("musicnn/configuration.py").decode())
    lists = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    return {name: ast.literal_eval(lists[f"{name.upper()}_LABELS"]) for name in NETWORKS}


def read_variables(prefix: Path) -> dict[str, np.ndarray]:
    """Read the variables of a checkpoint, float64, by name, without the optimizer's."""
    reader = tf.train.load_checkpoint(str(prefix))
    names = [name for name in reader.get_variable_to_shape_map() if "Adam" not in name and "_power" not in name]
    return {name: reader.get_tensor(name).astype(np.float64) for name in names}


def load_original(prefix: Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Load the original graph of a network, given its checkpoint's path without suffix. It runs on one thread.

    Returns
    -------
    callable
        From windows, (n, 187, 96), to a dict of `penultimate` (n, 200), `tags` (n, 50) and `pooled` (n, 1506).
    """
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    session = tf.compat.v1.Session(graph=_inference_graph(prefix), config=config)
    with session.graph.as_default():
        for name, array in read_variables(prefix).items():
            session.run(tf.compat.v1.assign(session.graph.get_tensor_by_name(f"{name}:0"), array))
    return lambda windows: session.run(TENSORS, {"model/Placeholder:0": windows, "model/Placeholder_2:0": False})


def _inference_graph(prefix: Path) -> tf.Graph:
    meta = tf.compat.v1.MetaGraphDef.FromString(prefix.with_suffix(".meta").read_bytes())
    nodes = {node.name: node for node in meta.graph_def.node}
    needed: set[str] = set()
    waiting = [tensor.removesuffix(":0") for tensor in TENSORS.values()]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [source.removeprefix("^").split(":")[0] for source in nodes[name].input]
    for name in needed:
        nodes[name].attr.pop("_output_shapes", None)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(GraphDef(node=[nodes[name] for name in nodes if name in needed]), name="")
    return graph
