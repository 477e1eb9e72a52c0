"""The networks by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import FRONT_END, PipelineError, fingerprint
from music_featurization.network import checkpoints

if TYPE_CHECKING:
    import keras

NETWORKS = ("crnn", "vgg16")
PRETRAINED, RANDOM = "pretrained", "none"  # values of --weights


def build_network(
    network_name: str, n_classes: int, *, weights: str = PRETRAINED, fine_tune: bool = False
) -> "keras.Model":
    """Build a network.

    Parameters
    ----------
    network_name : {"crnn", "vgg16"}
    weights : str
        Where the convolutions start: "pretrained" (crnn: `models/front_end.h5`; vgg16: ImageNet, downloaded by Keras),
        "none" for random weights or, for vgg16, a file of VGG16 weights.
    fine_tune : bool
        Train the pre-trained convolutions too. Random ones are always trained.

    Returns
    -------
    keras.Model
        float32 (batch, 96, frames) to float32 (batch, n_classes).

    Raises
    ------
    PipelineError
        If the weights cannot be loaded or do not belong to this network.
    """
    from music_featurization.network import crnn, front_end, vgg16

    if network_name == "vgg16":
        return vgg16.vgg16(n_classes, weights="imagenet" if weights == PRETRAINED else weights, fine_tune=fine_tune)
    if weights not in (PRETRAINED, RANDOM):
        raise PipelineError(f"--weights {weights}: crnn starts from {PRETRAINED} or {RANDOM}, not from a file.")
    random = weights == RANDOM
    embedder = front_end.build_embedder(pretrained=not random, trainable=fine_tune or random)
    return crnn.crnn(embedder, n_classes)


def load_network(path: Path, network_name: str, classes: Sequence[str], *, fine_tune: bool = False) -> "keras.Model":
    """Load a trained network to train it further, with a new last layer if its classes are others.

    Parameters
    ----------
    path : Path
        A checkpoint that `require_same_network` accepts.
    network_name : {"crnn", "vgg16"}
    classes : sequence of str
        In label order.
    fine_tune : bool
        Train its convolutions too.

    Returns
    -------
    keras.Model
    """
    import keras

    from music_featurization.network import front_end

    model, about = checkpoints.load(path), checkpoints.read_about(path)
    if model.name != network_name:
        raise PipelineError(f"{path} contains the network {model.name}, not {network_name}. Give --network.")
    if embedder := front_end.embedder_of(model):
        front_end.set_trainable(embedder, fine_tune)
    for layer in model.layers:
        if layer.name.startswith("block"):  # of VGG16
            layer.trainable = fine_tune
    if list(about.get("classes", [])) == list(classes):
        return model
    classifier = keras.layers.Dense(len(classes), activation="softmax", dtype="float32", name="genres")
    return keras.Model(model.input, classifier(model.get_layer("genres").input), name=model.name)


def require_same_network(path: Path, network_name: str) -> dict:
    """Check by a checkpoint's `about` that training can start from it, and return that `about`.

    Raises
    ------
    PipelineError
        If it cannot be read, contains another network, or was trained on spectrograms made with other settings.
    """
    about = checkpoints.read_about(path)
    if about.get("network", network_name) != network_name:
        raise PipelineError(f"{path} contains the network {about['network']}, not {network_name}. Give --network.")
    checkpoints.require_our_spectrograms(path, about)
    return about


def describe_front_end(network_name: str, weights: str, fine_tune: bool, start_from: dict | None = None) -> dict | None:
    """Describe a network's front end for the checkpoint's `about`; None for a network without one.

    Parameters
    ----------
    network_name, weights, fine_tune
        As for `build_network`.
    start_from : dict, optional
        The `about` of the checkpoint that training starts from.

    Returns
    -------
    dict or None
        `pretrained` and `fine_tuned` (bool), `file` (fingerprint of `models/front_end.h5`, None if it was not used) and
        `heard` (the music it was trained on, None for random weights).
    """
    from music_featurization.network.front_end import HEARD

    if network_name != "crnn":
        return None
    if start_from is not None:
        described = dict(start_from.get("front_end") or {"pretrained": False, "file": None, "heard": None})
        return described | {"fine_tuned": bool(fine_tune or described.get("fine_tuned", True))}
    pretrained = weights == PRETRAINED
    return {
        "pretrained": pretrained,
        "fine_tuned": bool(fine_tune or not pretrained),
        "file": fingerprint(FRONT_END) if pretrained and FRONT_END.exists() else None,
        "heard": HEARD if pretrained else None,
    }


def has_provided_front_end(about: dict) -> bool:
    """Return by a checkpoint's `about` whether its front end is `models/front_end.h5`, unchanged."""
    described = about.get("front_end")
    if not isinstance(described, dict) or not described.get("pretrained") or described.get("fine_tuned"):
        return False
    return FRONT_END.exists() and described.get("file") == fingerprint(FRONT_END)
