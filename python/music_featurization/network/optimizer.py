"""The optimizer of a training run, and the weights of the classes in its loss."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from music_featurization.network.front_end import embedder_of

if TYPE_CHECKING:
    import keras

WARM_UP = 0.05  # share of all steps over which the learning rate rises
FRONT_END_RATE = 0.1  # of the learning rate: what is pre-trained changes slowly


def class_weights(labels: Sequence[int], n_classes: int) -> np.ndarray:
    """Return the weight of each class that makes all classes count the same, float32, as scikit-learn's "balanced"."""
    counts = np.maximum(np.bincount(labels, minlength=n_classes), 1)
    return (len(labels) / (n_classes * counts)).astype(np.float32)


def compile_network(model: "keras.Model", recipe: dict, steps: int, *, pretrained: bool = True) -> None:
    """Give a network its optimizer: AdamW, the learning rate rising at first, then falling as a cosine to 0.

    Parameters
    ----------
    recipe : dict
        See `recipe.RECIPES`.
    steps : int
        Steps of the whole run.
    pretrained : bool
        Whether its front end has been trained before. If so, the front end learns at a tenth of the rate.
    """
    import keras

    warm_up = max(1, int(WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=recipe["learning_rate"], warmup_steps=warm_up
    )
    slow = _front_end_indices(model) if pretrained else frozenset()
    optimizer = _adamw(slow)(schedule, weight_decay=recipe["weight_decay"])
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # XLA makes convolutions about twice slower on a CPU under TensorFlow.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, "categorical_crossentropy", metrics=["categorical_accuracy"], jit_compile=jit)
    model.optimizer.build(model.trainable_variables)  # including what Keras has wrapped around it, for resuming


def _front_end_indices(model: "keras.Model") -> frozenset[int]:
    """Return which of a network's trainable variables belong to its front end."""
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
