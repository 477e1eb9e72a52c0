"""The training loop: the optimizer, the epochs, evaluation and progress."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from music_featurization.artifacts import PipelineError
from music_featurization.command_line import plural
from music_featurization.network import checkpoints, front_end, run_folder
from music_featurization.network.batches import load_clip, load_embedding, training_batches
from music_featurization.network.networks import RANDOM
from music_featurization.network.prediction import predict

if TYPE_CHECKING:
    import keras

STANDARDISED_ON = 1000  # clips at most
THREADS = min(4, os.cpu_count() or 1)  # that read batches
WARM_UP = 0.05  # share of all steps over which the learning rate rises
FRONT_END_RATE = 0.1  # of the learning rate: pre-trained weights change slowly


class Clips(NamedTuple):
    """Clips of one part of the split: files of spectrograms or of embeddings, and labels."""

    paths: Sequence[Path]
    labels: Sequence[int]
    embedded: bool

    def load(self, path: Path) -> np.ndarray:
        """Read one clip: (windows, 1608), or (mels, frames) with a whole number of windows."""
        return load_embedding(path) if self.embedded else front_end.whole_windows(load_clip(path))


def fit(
    network: "keras.Model",
    train: Clips,
    validation: Clips,
    models: Path,
    *,
    epochs: int,
    seed: int,
    settings: dict,
    about: dict,
    early_stop: int = 0,
    keep: str = "all",
    callbacks: Iterable["keras.callbacks.Callback"] = (),
) -> dict[str, list[float]]:
    """Train a network, write its checkpoints and return the history.

    Parameters
    ----------
    network : keras.Model
        Built with the same seed whenever the run is continued, and standardised. If the clips are embedded, only the
        part after the front end is trained.
    models : Path
        Folder of the checkpoints.
    settings : dict
        See `recipe.RECIPES`.
    about : dict
        Stored in every checkpoint. Its `classes` are the classes in label order, its `weights` the start of the
        convolutions.
    early_stop, keep
        As in `training_run.train`.

    Raises
    ------
    PipelineError
        If the loss is not a number.
    """
    model = trained_part(network, train, settings, epochs, pretrained=about.get("weights") != RANDOM)
    history = run_folder.restore_state(model, models)
    checkpoint, done, seconds = checkpoints.in_float32(network), len(history["loss"]), []
    if done:
        print(f"{plural(done, 'epoch')} done, {epochs - done} to do", flush=True)
        run_folder.write_epoch(checkpoint, models, history, about, keep)  # in case the run was killed before it
    for epoch in range(done + 1, epochs + 1):
        if run_folder.stops_early(history, early_stop):
            print(f"no lower validation loss for {plural(early_stop, 'epoch')}: stopped", flush=True)
            break
        started = time.perf_counter()
        logs, speed = train_epoch(model, train, len(about["classes"]), settings, seed, epoch)
        if checkpoint is not network:
            checkpoint.set_weights(network.get_weights())
        logs |= evaluate(checkpoint, validation, settings["batch_size"])
        history = {key: [*values, float(logs[key])] for key, values in history.items()}
        run_folder.save_state(model, models, history)
        run_folder.write_epoch(checkpoint, models, history, about, keep)
        for callback in callbacks:
            callback.on_epoch_end(epoch - 1, logs)
        seconds.append(time.perf_counter() - started)
        print(progress_line(epoch, epochs, logs, speed, seconds), flush=True)
    (models / run_folder.STATE).unlink(missing_ok=True)
    return history


def trained_part(
    network: "keras.Model", train: Clips, settings: dict, epochs: int, *, pretrained: bool
) -> "keras.Model":
    """Return the part of a network that is trained on these clips, with its optimizer."""
    from music_featurization.network.crnn import head_of

    model = head_of(network) if train.embedded else network
    steps = epochs * -(-len(train.paths) // settings["batch_size"])
    compile_network(model, settings, steps, pretrained=pretrained)
    return model


def compile_network(model: "keras.Model", settings: dict, steps: int, *, pretrained: bool) -> None:
    """Give a network its optimizer: AdamW, with a learning rate that rises, then falls as a cosine to 0.

    A pre-trained front end learns at a tenth of the rate.
    """
    import keras

    warm_up = max(1, int(WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=settings["learning_rate"], warmup_steps=warm_up
    )
    slow = _front_end_indices(model) if pretrained else frozenset()
    optimizer = _adamw(slow)(schedule, weight_decay=settings["weight_decay"])
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # XLA makes convolutions about twice slower on a CPU under TensorFlow.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, "categorical_crossentropy", metrics=["categorical_accuracy"], jit_compile=jit)
    model.optimizer.build(model.trainable_variables)  # including what Keras has wrapped around it, for resuming


def _front_end_indices(model: "keras.Model") -> frozenset[int]:
    """Return which of a network's trainable variables belong to its front end."""
    embedder = front_end.embedder_of(model)
    inside = {id(variable) for variable in embedder.trainable_variables} if embedder else set()
    return frozenset(i for i, variable in enumerate(model.trainable_variables) if id(variable) in inside)


def _adamw(slow: frozenset[int]) -> type:
    """Return an AdamW that changes the variables of these indices at `FRONT_END_RATE` of the learning rate."""
    import keras

    if not slow:
        return keras.optimizers.AdamW

    class SlowerFrontEnd(keras.optimizers.AdamW):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            # By index: under TensorFlow, `variable` is a tf.Variable, which has no path.
            rate = FRONT_END_RATE if self._get_variable_index(variable) in slow else 1.0
            super().update_step(gradient, variable, learning_rate * rate)

    return SlowerFrontEnd


def standardise(network: "keras.Model", train: Clips) -> None:
    """Set the mean and variance of a crnn's embeddings from training clips, evenly spaced if there are very many."""
    from music_featurization.network import crnn

    embedder = front_end.embedder_of(network)
    if embedder is None:
        return
    clips = (train.load(path) for path in train.paths[:: -(-len(train.paths) // STANDARDISED_ON)])
    crnn.standardise(network, [clip if train.embedded else front_end.embed(embedder, clip) for clip in clips])


def class_weights(labels: Sequence[int], n_classes: int) -> np.ndarray:
    """Compute weights by which all classes count the same, float32, as scikit-learn's "balanced" does."""
    counts = np.maximum(np.bincount(labels, minlength=n_classes), 1)
    return (len(labels) / (n_classes * counts)).astype(np.float32)


def train_epoch(
    model: "keras.Model", train: Clips, n_classes: int, settings: dict, seed: int, epoch: int
) -> tuple[dict[str, float], float]:
    """Pass once over the training clips; return mean loss and accuracy, and clips per second."""
    weights = np.ones(n_classes, np.float32)
    if settings["class_weights"]:
        weights = class_weights(train.labels, n_classes)
    batches = training_batches(
        train.paths,
        train.labels,
        n_classes,
        load=train.load,
        time_axis=0 if train.embedded else 1,
        batch_size=settings["batch_size"],
        seed=seed,
        epoch=epoch,
        threads=THREADS,
    )
    started, totals = time.perf_counter(), {"loss": 0.0, "categorical_accuracy": 0.0}
    for clips, targets in batches:
        logs = model.train_on_batch(clips, targets, sample_weight=targets @ weights, return_dict=True)
        for key in totals:  # Keras reports this batch alone
            totals[key] += float(logs[key]) * len(clips) / len(train.paths)
        if not np.isfinite(logs["loss"]):
            raise PipelineError(
                f"The loss is no longer a number in epoch {epoch}. Give a lower --learning-rate (it is "
                f"{settings['learning_rate']:g}) or --precision float32, and start again with --overwrite."
            )
    return totals, len(train.paths) / (time.perf_counter() - started)


def evaluate(network: "keras.Model", validation: Clips, batch_size: int) -> dict[str, float]:
    """Compute loss, accuracy and balanced accuracy on whole clips."""
    labels = np.asarray(validation.labels)
    probabilities, _ = predict(network, validation.paths, batch_size, embedded=validation.embedded)
    is_right = probabilities.argmax(1) == labels
    probability_of_label = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)
    return {
        "val_loss": -np.log(probability_of_label).mean(),
        "val_categorical_accuracy": is_right.mean(),
        "val_balanced_accuracy": np.mean([is_right[labels == label].mean() for label in np.unique(labels)]),
    }


def progress_line(epoch: int, epochs: int, logs: dict[str, float], speed: float, seconds: list[float]) -> str:
    """Return the line that an epoch prints; `seconds` are the durations of the epochs so far."""
    line = (
        f"epoch {epoch:{len(str(epochs))}d}/{epochs}"
        f"  loss {logs['loss']:.4f}  accuracy {logs['categorical_accuracy']:.4f}"
        f"  validation: loss {logs['val_loss']:.4f}  accuracy {logs['val_categorical_accuracy']:.4f}"
        f"  balanced {logs['val_balanced_accuracy']:.4f}"
    )
    if len(seconds) < 2:  # the first epoch includes compilation, which says nothing about the others
        return line
    line += f"  {speed:.0f} clips/s"
    if epoch == epochs:
        return line
    left = np.mean(seconds[1:]) * (epochs - epoch)
    return f"{line}  {left:.0f} s left" if left < 60 else f"{line}  {left / 60:.1f} min left"
