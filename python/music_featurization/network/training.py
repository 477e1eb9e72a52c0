"""The training loop: epochs, evaluation, and what is written after each epoch.

After every epoch the state of the run is written first (weights, optimizer, history), then the checkpoint and
`history.pkl`, which both follow from it. So a run that was killed at any moment continues as if nothing had happened.
"""

import json
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.artifacts import HISTORY_FILE, PipelineError, replacing
from music_featurization.network import checkpoints, front_end, keras_backend, recipe
from music_featurization.network.batches import load_clip, load_embedding, training_batches
from music_featurization.network.networks import RANDOM
from music_featurization.network.prediction import predict

if TYPE_CHECKING:
    import keras

STATE = ".training_state.npz"  # beside the checkpoints; deleted at the end
HISTORY_KEYS = ("loss", "categorical_accuracy", "val_loss", "val_categorical_accuracy", "val_balanced_accuracy")
STANDARDISED_ON = 1000  # clips at most


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
    callbacks: Iterable = (),
    report: Callable[[str], None] = print,
) -> dict[str, list[float]]:
    """Train a network and write its checkpoints.

    Parameters
    ----------
    network : keras.Model
        Freshly built, with the same seed whenever the run is continued, and standardised. If the clips are embedded,
        only the part after its front end is trained.
    train, validation : Clips
    models : Path
        Folder of the checkpoints.
    epochs, seed : int
    settings : dict
        As in `recipe.RECIPES`.
    about : dict
        Stored in every checkpoint; its `classes` are the classes in label order, its `weights` the start of the
        convolutions.
    early_stop : int
        Stop after so many epochs without a lower validation loss; 0 for never.
    keep : {"all", "best"}
        Which checkpoints to keep: every one, or the one of lowest validation loss.
    callbacks : iterable of keras.callbacks.Callback
        Called at the end of every epoch.
    report : callable
        Receives one line of progress at a time.

    Returns
    -------
    dict of str to list of float
        The history.

    Raises
    ------
    PipelineError
        If the loss is not a number.
    """
    model = trained_part(network, train, settings, epochs, pretrained=about.get("weights") != RANDOM)
    history = restore(model, models)
    done_before, started = len(history["loss"]), time.time()
    written = checkpoints.in_float32(network)
    if done_before:
        report(f"{done_before} epochs done, {epochs - done_before} to do")
        write_epoch(written, models, history, about, keep)  # in case the run was killed before these were written
    for epoch in range(done_before + 1, epochs + 1):
        if stops_early(history, early_stop):
            report(f"no lower validation loss for {early_stop} epochs: stopped")
            break
        logs, speed = train_epoch(model, train, len(about["classes"]), settings, seed, epoch)
        if written is not network:
            written.set_weights(network.get_weights())
        logs |= evaluate(written, validation, settings["batch_size"])
        for key, value in logs.items():
            history[key].append(float(value))
        keep_state(model, models, history)
        write_epoch(written, models, history, about, keep)
        for callback in callbacks:
            callback.on_epoch_end(epoch - 1, logs)
        if epoch == done_before + 1:
            started = time.time()  # the first epoch includes compilation, which says nothing about the others
        left = (time.time() - started) / max(1, epoch - done_before - 1) * (epochs - epoch)
        report(progress_line(epoch, epochs, logs, speed, left if epoch > done_before + 1 else None))
    (models / STATE).unlink(missing_ok=True)
    return history


def tensorboard(network: "keras.Model", folder: Path | None) -> list:
    """Return the callbacks that write TensorBoard's logs into `folder`; none if it is None."""
    import keras

    if folder is None:
        return []
    try:
        callback = keras.callbacks.TensorBoard(log_dir=str(folder))
        callback.set_model(network)
    except Exception as error:  # TensorFlow has errors of its own; with another backend it may be missing
        reason = keras_backend.first_line(error)
        raise PipelineError(f"--tensorboard {folder}: logs cannot be written there ({reason}).") from error
    return [callback]


def trained_part(
    network: "keras.Model", train: Clips, settings: dict, epochs: int, *, pretrained: bool
) -> "keras.Model":
    """Return the part of a network that is trained on these clips, compiled; see `recipe.compile_network`."""
    from music_featurization.network.crnn import head_of

    model = head_of(network) if train.embedded else network
    steps = epochs * -(-len(train.paths) // settings["batch_size"])
    recipe.compile_network(model, settings, steps, pretrained=pretrained)
    return model


def standardise(network: "keras.Model", train: Clips) -> None:
    """Set the mean and variance of a crnn's embeddings from training clips, evenly spaced if there are very many."""
    from music_featurization.network import crnn

    embedder = front_end.embedder_of(network)
    if embedder is None:
        return
    clips = (train.load(path) for path in train.paths[:: -(-len(train.paths) // STANDARDISED_ON)])
    crnn.standardise(network, [clip if train.embedded else front_end.embed(embedder, clip) for clip in clips])


def stops_early(history: dict, patience: int) -> bool:
    """Tell whether the last `patience` epochs brought no lower validation loss than those before."""
    losses = history.get("val_loss", [])
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def is_finished(history: dict, epochs: int, early_stop: int) -> bool:
    """Tell whether a run has done the epochs that were asked for, or has stopped early."""
    return len(history.get("val_loss", [])) >= epochs or stops_early(history, early_stop)


def train_epoch(
    model: "keras.Model", train: Clips, n_classes: int, settings: dict, seed: int, epoch: int
) -> tuple[dict[str, float], float]:
    """Pass once over the training clips; return mean loss and accuracy, and clips per second."""
    weights = np.ones(n_classes, np.float32)
    if settings["class_weights"]:
        weights = recipe.class_weights(train.labels, n_classes)
    batches = training_batches(
        train.paths,
        train.labels,
        n_classes,
        load=train.load,
        time_axis=0 if train.embedded else 1,
        batch_size=settings["batch_size"],
        seed=seed,
        epoch=epoch,
        threads=recipe.threads(),
    )
    started, totals = time.time(), {"loss": 0.0, "categorical_accuracy": 0.0}
    for clips, targets in batches:
        logs = model.train_on_batch(clips, targets, sample_weight=targets @ weights, return_dict=True)
        for key in totals:  # Keras reports this batch alone
            totals[key] += float(logs[key]) * len(clips) / len(train.paths)
        if not np.isfinite(logs["loss"]):
            raise PipelineError(
                f"The loss is no longer a number in epoch {epoch}. Give a lower --learning-rate (it is "
                f"{settings['learning_rate']:g}) or --precision float32, and start again with --overwrite."
            )
    return totals, len(train.paths) / (time.time() - started)


def evaluate(network: "keras.Model", validation: Clips, batch_size: int) -> dict[str, float]:
    """Compute loss, accuracy and balanced accuracy on whole clips."""
    labels = np.asarray(validation.labels)
    probabilities, _ = predict(network, validation.paths, batch_size, embedded=validation.embedded)
    right = probabilities.argmax(1) == labels
    of_truth = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)
    return {
        "val_loss": -np.log(of_truth).mean(),
        "val_categorical_accuracy": right.mean(),
        "val_balanced_accuracy": np.mean([right[labels == label].mean() for label in np.unique(labels)]),
    }


def write_epoch(network: "keras.Model", models: Path, history: dict, about: dict, keep: str) -> None:
    """Write the checkpoint of the last epoch and the history; with keep "best" remove the other checkpoints."""
    names = [checkpoints.file_name(i, accuracy) for i, accuracy in enumerate(history["val_categorical_accuracy"], 1)]
    best = int(np.argmin(history["val_loss"]))
    if keep == "all" or best == len(names) - 1:
        checkpoints.save(network, models / names[-1], about | {"epoch": len(names)})
    if keep == "best":
        for name in names[:best] + names[best + 1 :]:
            (models / name).unlink(missing_ok=True)
    with replacing(models / HISTORY_FILE) as temporary:
        temporary.write_bytes(pickle.dumps(history))


def keep_state(model: "keras.Model", models: Path, history: dict) -> None:
    """Write what `restore` needs to continue after this epoch."""
    arrays = {f"v{i}": keras_backend.to_numpy(v) for i, v in enumerate(state_variables(model))}
    with replacing(models / STATE) as temporary:
        np.savez(temporary, history=json.dumps(history), **arrays)


def restore(model: "keras.Model", models: Path) -> dict[str, list[float]]:
    """Load the state of an unfinished run if there is one; return its history, empty lists for a new run."""
    path = models / STATE
    if not path.exists():
        return {key: [] for key in HISTORY_KEYS}
    try:
        with np.load(path) as state:
            for i, variable in enumerate(state_variables(model)):
                variable.assign(state[f"v{i}"])
            history = json.loads(str(state["history"]))
        return {key: [float(value) for value in history[key]] for key in HISTORY_KEYS}
    except Exception as error:  # a damaged .npz can fail anywhere inside zipfile, numpy or Keras
        raise PipelineError(
            f"{path} is not the readable state of this run ({error}). Give --overwrite to train from the beginning."
        ) from error


def state_variables(model: "keras.Model") -> list:
    """Return all that the next step depends on: weights, seeds of the dropout layers, the optimizer's variables."""
    return [*model.variables, *model.optimizer.variables]


def progress_line(epoch: int, epochs: int, logs: dict, speed: float, left: float | None) -> str:
    """Return the line that an epoch prints; `left` is the estimate of the seconds left, None if there is none yet."""
    line = (
        f"epoch {epoch:{len(str(epochs))}d}/{epochs}"
        f"  loss {logs['loss']:.4f}  accuracy {logs['categorical_accuracy']:.4f}"
        f"  validation: loss {logs['val_loss']:.4f}  accuracy {logs['val_categorical_accuracy']:.4f}"
        f"  balanced {logs['val_balanced_accuracy']:.4f}  {speed:.0f} clips/s"
    )
    return line if left is None else f"{line}  {left / 60:.1f} min left"
