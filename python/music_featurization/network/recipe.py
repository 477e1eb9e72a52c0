"""The recipe of a training run: its settings, class weights and optimizer."""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from music_featurization import command_line
from music_featurization.artifacts import PipelineError

if TYPE_CHECKING:
    import keras

WARM_UP = 0.05  # share of all steps over which the learning rate rises
FRONT_END_RATE = 0.1  # of the learning rate: what is pre-trained changes slowly
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")

# Settings beyond the data and the network; each is an option of 1-training.py. Reasons: extras/benchmarks/README.md.
RECIPES = {
    "crnn": {
        "batch_size": 16,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "class_weights": True,
        "precision": "auto",
    },
    "vgg16": {
        "batch_size": 16,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "class_weights": True,
        "precision": "auto",
    },
}


def class_weights(labels: Sequence[int], n_classes: int) -> np.ndarray:
    """Return the weight of each class that makes all classes count the same.

    Parameters
    ----------
    labels : sequence of int
        Of the training clips.
    n_classes : int

    Returns
    -------
    numpy.ndarray, float32, shape (n_classes,)
        clips / (classes * clips of the class), as scikit-learn's "balanced".
    """
    counts = np.maximum(np.bincount(labels, minlength=n_classes), 1)
    return (len(labels) / (n_classes * counts)).astype(np.float32)


def compile_network(model: "keras.Model", recipe: dict, steps: int, *, pretrained: bool = True) -> None:
    """Give a network its optimizer: AdamW, the learning rate rising at first, then falling as a cosine to 0.

    Parameters
    ----------
    model : keras.Model
    recipe : dict
        As in `RECIPES`.
    steps : int
        Of the whole run.
    pretrained : bool
        Whether its front end has been trained before; then the front end learns at a tenth of the rate.
    """
    import keras

    warm_up = max(1, int(WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=recipe["learning_rate"], warmup_steps=warm_up
    )
    optimizer = _adamw(_front_end_indices(model) if pretrained else frozenset())(
        schedule, weight_decay=recipe["weight_decay"]
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # XLA makes convolutions about twice slower on a CPU under TensorFlow.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, "categorical_crossentropy", metrics=["categorical_accuracy"], jit_compile=jit)
    model.optimizer.build(model.trainable_variables)  # including what Keras has wrapped around it, for resuming


def _front_end_indices(model: "keras.Model") -> frozenset[int]:
    """Return which of a network's trainable variables are its front end's."""
    from music_featurization.network.front_end import embedder_of

    embedder = embedder_of(model)
    inside = {id(variable) for variable in embedder.trainable_variables} if embedder else set()
    return frozenset(i for i, variable in enumerate(model.trainable_variables) if id(variable) in inside)


def _adamw(slow: frozenset[int]) -> type:
    """Return an AdamW that changes the variables of these indices at `FRONT_END_RATE` of the learning rate."""
    import keras

    if not slow:
        return keras.optimizers.AdamW

    class SlowerFrontEnd(keras.optimizers.AdamW):
        def update_step(self, gradient, variable, learning_rate):
            # By index: under TensorFlow, `variable` is a tf.Variable, which has no path.
            rate = FRONT_END_RATE if self._get_variable_index(variable) in slow else 1.0
            super().update_step(gradient, variable, learning_rate * rate)

    return SlowerFrontEnd


HELP = {
    "batch_size": "clips per step; by default fewer if there are fewer training clips",
    "learning_rate": "highest learning rate",
    "weight_decay": "of AdamW",
    "class_weights": "whether every class counts the same, however few its clips: on or off",
    "precision": f"one of {', '.join(PRECISIONS)}; auto is mixed_float16 on a GPU, else float32; a pre-trained "
    "front end computes in float32",
}


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add an option for every setting to a command line; those not given are absent from its result."""
    types = {"batch_size": command_line.positive, "class_weights": command_line.parse_switch, "precision": str}
    for name, text in HELP.items():
        defaults = {network: settings[name] for network, settings in RECIPES.items()}
        shown = [f"{network} {'on' if value is True else value}" for network, value in defaults.items()]
        shown = shown if len(set(defaults.values())) > 1 else [shown[0].split(" ")[1]]
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=types.get(name, command_line.non_negative),
            choices=PRECISIONS if name == "precision" else None,
            default=argparse.SUPPRESS,
            metavar={"class_weights": "on|off", "precision": "WHICH"}.get(name, "X"),
            help=f"{text} (default: {', '.join(shown)})",
        )


def complete(network_name: str, changes: dict, clips: int) -> dict:
    """Return a network's recipe with these changes, the batch size fitted to the number of training clips.

    Raises
    ------
    PipelineError
        If a setting does not exist or cannot be used.
    """
    if unknown := sorted(set(changes) - set(RECIPES[network_name])):
        raise PipelineError(f"There is no setting {', '.join(unknown)}. There are {', '.join(RECIPES[network_name])}.")
    recipe = RECIPES[network_name] | changes
    if "batch_size" not in changes:
        recipe["batch_size"] = max(1, min(recipe["batch_size"], clips))
    _check(recipe, clips)
    return recipe


def _check(recipe: dict, clips: int) -> None:
    if recipe["precision"] not in PRECISIONS:
        raise PipelineError(f"--precision {recipe['precision']} does not exist. Choose from {', '.join(PRECISIONS)}.")
    if recipe["batch_size"] > clips:
        raise PipelineError(f"--batch-size {recipe['batch_size']} is more than the {clips} training clips. Lower it.")
    for name in ("learning_rate", "weight_decay"):
        if not (np.isfinite(recipe[name]) and recipe[name] >= 0):
            raise PipelineError(f"--{name.replace('_', '-')} {recipe[name]} is not a number of 0 or more.")


def threads() -> int:
    """Return the number of threads that read batches."""
    return min(4, os.cpu_count() or 1)
