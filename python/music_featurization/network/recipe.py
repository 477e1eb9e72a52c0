"""The recipe of a training run: its settings beyond the data and the network, each an option of 1-training.py."""

import argparse
import math
from typing import Any

from music_featurization import command_line
from music_featurization.artifacts import PipelineError

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")

_COMMON = {"class_weights": True, "precision": "auto"}
RECIPES: dict[str, dict] = {
    "crnn": {"batch_size": 16, "learning_rate": 1e-3, "weight_decay": 0.01, **_COMMON},
    "vgg16": {"batch_size": 16, "learning_rate": 1e-4, "weight_decay": 0.0, **_COMMON},
}


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add an option for every setting to a command line; the result lacks those that the user does not give."""

    def add(flag: str, metavar: str, text: str, **options: Any) -> None:
        name = flag.strip("-").replace("-", "_")
        values = {network: settings[name] for network, settings in RECIPES.items()}
        default = ", ".join(f"{network} {value}" for network, value in values.items())
        if len(set(values.values())) == 1:
            default = str(values["crnn"]).replace("True", "on")
        text = f"{text} (default: {default})"
        parser.add_argument(flag, default=argparse.SUPPRESS, metavar=metavar, help=text, **options)

    batch_size = "clips per step; the default is lowered to the number of training clips"
    class_weights = "on gives every class the same weight in the loss, however few its clips; off weights clips equally"
    precision = (
        f"{', '.join(PRECISIONS)}; auto is mixed_float16 on a GPU, else float32; a pre-trained front end keeps float32"
    )
    add("--batch-size", "N", batch_size, type=command_line.positive)
    add("--learning-rate", "X", "highest learning rate of the schedule", type=command_line.non_negative)
    add("--weight-decay", "X", "weight decay of AdamW", type=command_line.non_negative)
    add("--class-weights", "on|off", class_weights, type=command_line.parse_switch)
    add("--precision", "NAME", f"numbers to compute with: {precision}", choices=PRECISIONS)


def complete(network_name: str, changes: dict, clips: int) -> dict:
    """Return a network's recipe with these changes, the batch size fitted to the number of training clips.

    Raises a PipelineError if a setting does not exist or cannot be used.
    """
    if unknown := sorted(set(changes) - set(RECIPES[network_name])):
        raise PipelineError(f"There is no setting {', '.join(unknown)}. There are {', '.join(RECIPES[network_name])}.")
    recipe = RECIPES[network_name] | changes
    if "batch_size" not in changes:
        recipe["batch_size"] = max(1, min(recipe["batch_size"], clips))
    if recipe["precision"] not in PRECISIONS:
        raise PipelineError(f"--precision {recipe['precision']} does not exist. Choose from {', '.join(PRECISIONS)}.")
    if recipe["batch_size"] > clips:
        raise PipelineError(f"--batch-size {recipe['batch_size']} is more than the {clips} training clips. Lower it.")
    for name in ("learning_rate", "weight_decay"):
        if not 0 <= recipe[name] < math.inf:
            raise PipelineError(f"--{name.replace('_', '-')} {recipe[name]} is not a number of 0 or more.")
    return recipe
