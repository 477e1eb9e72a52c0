"""The networks by name: build one, load one to train it further, describe its front end."""

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
    """Build one of `NETWORKS`, from spectrograms, float32 (batch, 96, frames), to probabilities (batch, n_classes).

    Parameters
    ----------
    weights : str
        Weights of the convolutions: "pretrained" (crnn: `models/front_end.h5`; vgg16: ImageNet, downloaded by Keras),
        "none" for random weights or, for vgg16, a file of VGG16 weights.
    fine_tune : bool
        Train the pre-trained convolutions too. Random ones are always trained.

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
    is_random = weights == RANDOM
    embedder = front_end.build_embedder(pretrained=not is_random, trainable=fine_tune or is_random)
    return crnn.crnn(embedder, n_classes)


def load_network(path: Path, network_name: str, classes: Sequence[str], *, fine_tune: bool = False) -> "keras.Model":
    """Load a checkpoint to train it further, with a new last layer if its classes are not these.

    With `fine_tune` its convolutions are trained too. Check the checkpoint with `require_same_network` first.
    """
    import keras

    from music_featurization.network import front_end

    model, about = checkpoints.load(path), checkpoints.read_about(path)
    if model.name != network_name:
        raise _other_network(path, model.name, network_name)
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

    Raises a PipelineError if it is unreadable, contains another network, or was trained on other spectrograms.
    """
    about = checkpoints.read_about(path)
    if about.get("network", network_name) != network_name:
        raise _other_network(path, about["network"], network_name)
    checkpoints.require_our_network(path, about)
    return about


def _other_network(path: Path, name: str, expected: str) -> PipelineError:
    return PipelineError(
        f"{path} contains the network {name}, not {expected}. "
        "Give the --network that it contains, or another --start-from."
    )


def describe_front_end(network_name: str, weights: str, fine_tune: bool, start_from: dict | None = None) -> dict | None:
    """Describe a network's front end for the checkpoint's `about`; None for a network without one.

    `start_from` is the `about` of the checkpoint that training starts from. The description contains `pretrained` and
    `fine_tuned` (bool), `file` (fingerprint of `models/front_end.h5`, None if it was not used) and `heard` (the music
    that it was trained on, None for random weights).
    """
    from music_featurization.network.front_end import HEARD

    if network_name != "crnn":
        return None
    if start_from is not None:
        description = dict(start_from.get("front_end") or {"pretrained": False, "file": None, "heard": None})
        return description | {"fine_tuned": bool(fine_tune or description.get("fine_tuned", True))}
    pretrained = weights == PRETRAINED
    return {
        "pretrained": pretrained,
        "fine_tuned": bool(fine_tune or not pretrained),
        "file": fingerprint(FRONT_END) if pretrained and FRONT_END.exists() else None,
        "heard": HEARD if pretrained else None,
    }


def has_provided_front_end(about: dict) -> bool:
    """Return whether a checkpoint's front end is `models/front_end.h5`, unchanged, according to its `about`."""
    description = about.get("front_end")
    if not isinstance(description, dict) or not description.get("pretrained") or description.get("fine_tuned"):
        return False
    return FRONT_END.exists() and description.get("file") == fingerprint(FRONT_END)
