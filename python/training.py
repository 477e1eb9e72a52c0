"""Train a network: the recipe, the loop over epochs, and what is written after each.

Every epoch leaves a checkpoint and a whole `history.pkl`, and, until the last, the state to go on from (weights,
optimizer, averages), so a run that was killed continues as if nothing had happened.
"""

import json
import os
import pickle
import platform
import time
from pathlib import Path

import numpy as np

import checkpoints
from artifacts import PipelineError, refuse_other_settings, replacing, write_json
from clip_batches import training_batches
from prediction import predict

STATE = ".training_state.npz"  # beside the checkpoints; deleted at the end


def default_recipe():
    """What shapes a training run beyond its data; each default has its measured reason in extras/benchmarks."""
    return {
        "batch_size": 32,
        "crop_seconds": 10.0,
        "learning_rate": 2e-3,
        "weight_decay": 0.02,
        "warm_up": 0.05,
        "average": 0.05,
        "mixup": 0.3,
        "gain": 6.0,
        "masks": 2,
        "label_smoothing": 0.1,
    }


def class_weights(labels, n_classes):
    """Weight of each class so that all classes count the same, whatever their number of clips.

    Parameters
    ----------
    labels : sequence of int
        Of the training clips.
    n_classes : int
        Number of classes.

    Returns
    -------
    dict of int to float
        For every class: clips / (classes * clips of the class), as scikit-learn's "balanced".
    """
    counts = np.bincount(labels, minlength=n_classes)
    return {label: len(labels) / (n_classes * max(int(count), 1)) for label, count in enumerate(counts)}


def compile_network(model, recipe, steps):
    """Give the network its optimizer: AdamW, warm-up then cosine, with an average of the weights."""
    import keras

    warm_up = max(1, int(recipe["warm_up"] * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=recipe["learning_rate"], warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe["weight_decay"],
        clipnorm=1.0,
        use_ema=True,
        ema_momentum=1 - 1 / max(1.0, recipe["average"] * steps),
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # XLA makes these convolutions about twice slower on a CPU under TensorFlow.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, "categorical_crossentropy", metrics=["categorical_accuracy"], jit_compile=jit)
    model.optimizer.build(model.trainable_variables)


def averaged(model):
    """A copy of the network whose weights are the optimizer's running average."""
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    means = model.optimizer._model_variables_moving_average
    for variable, mean in zip(copy.trainable_variables, means, strict=True):
        variable.assign(mean)
    return copy


def fit(model, train, validation, models, *, epochs, recipe, seed, frames_per_second, about, report=print):
    """Train a network and write its checkpoints.

    Parameters
    ----------
    model : keras.Model
        Freshly built, with the same seed whenever the run is continued.
    train, validation : tuple of (sequence of Path, sequence of int)
        Spectrogram files and labels.
    models : Path
        Folder of the checkpoints.
    epochs, seed : int
        How long; what everything random follows.
    recipe : dict
        As `default_recipe`.
    frames_per_second : float
        Of the spectrograms.
    about : dict
        Stored in every checkpoint; its `classes` names the classes in label order.
    report : callable
        Takes one line of progress.

    Returns
    -------
    dict of str to list of float
        The history.
    """
    n_classes = len(about["classes"])
    steps = -(-len(train[0]) // recipe["batch_size"])
    compile_network(model, recipe, steps * epochs)
    history = restore(model, models)
    if history["loss"]:
        report(f"{len(history['loss'])} epochs done, {epochs - len(history['loss'])} to do")
    weights = np.array([class_weights(train[1], n_classes)[label] for label in range(n_classes)], np.float32)
    started, done_before = time.time(), len(history["loss"])
    for epoch in range(len(history["loss"]) + 1, epochs + 1):
        logs, speed = train_epoch(model, train, n_classes, weights, recipe, seed, epoch, frames_per_second)
        network = averaged(model)
        logs |= evaluate(network, validation, recipe["batch_size"])
        for key, value in logs.items():
            history[key].append(float(value))
        name = f"epoch_{epoch:02d}_{logs['val_categorical_accuracy']:.4f}.h5"
        checkpoints.save(network, Path(models) / name, about | {"epoch": epoch})
        with replacing(Path(models) / "history.pkl") as temporary:
            temporary.write_bytes(pickle.dumps(history))
        keep_state(model, models, history)
        left = (time.time() - started) / (epoch - done_before) * (epochs - epoch)
        report(progress_line(epoch, epochs, logs, speed, left))
    (Path(models) / STATE).unlink(missing_ok=True)
    return history


def train_epoch(model, train, n_classes, weights, recipe, seed, epoch, frames_per_second):
    """One pass over the training clips: mean loss and accuracy, and clips per second."""
    keys = ("mixup", "gain", "masks", "label_smoothing")
    batches = training_batches(
        *train,
        n_classes,
        batch_size=recipe["batch_size"],
        frames=round(recipe["crop_seconds"] * frames_per_second),
        augment={key: recipe[key] for key in keys},
        seed=seed,
        epoch=epoch,
        threads=min(4, os.cpu_count() or 1),
    )
    started = time.time()
    model.reset_metrics()
    for clips, targets in batches:
        logs = model.train_on_batch(clips, targets, sample_weight=targets @ weights, return_dict=True)
    if not np.isfinite(logs["loss"]):
        raise PipelineError(
            f"The loss of epoch {epoch} is {logs['loss']}. Lower --learning-rate (now {recipe['learning_rate']:g}) "
            "or train in float32, and start anew with --overwrite."
        )
    speed = len(train[0]) / (time.time() - started)
    return {"loss": logs["loss"], "categorical_accuracy": logs["categorical_accuracy"]}, speed


def evaluate(model, validation, batch_size):
    """Loss, accuracy and balanced accuracy on whole clips."""
    labels = np.asarray(validation[1])
    probabilities, _ = predict(model, validation[0], batch_size)
    right = probabilities.argmax(1) == labels
    of_truth = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)
    return {
        "val_loss": -np.log(of_truth).mean(),
        "val_categorical_accuracy": right.mean(),
        "val_balanced_accuracy": np.mean([right[labels == label].mean() for label in np.unique(labels)]),
    }


def keep_state(model, models, history):
    """Write all that `restore` needs to go on after this epoch."""
    arrays = {f"v{i}": np.asarray(v) for i, v in enumerate(state_variables(model))}
    with replacing(Path(models) / STATE) as temporary:
        np.savez(temporary, history=json.dumps(history), **arrays)


def restore(model, models):
    """Take up the state of an unfinished run if there is one; the history so far, empty lists for a new run."""
    path = Path(models) / STATE
    if not path.exists():
        keys = ("loss", "categorical_accuracy", "val_loss", "val_categorical_accuracy", "val_balanced_accuracy")
        return {key: [] for key in keys}
    with np.load(path) as state:
        for i, variable in enumerate(state_variables(model)):
            variable.assign(state[f"v{i}"])
        return json.loads(str(state["history"]))


def state_variables(model):
    """Weights, seeds of the dropout layers, optimizer state: everything that the next step depends on."""
    return [*model.variables, *model.optimizer.variables]


def progress_line(epoch, epochs, logs, speed, left):
    """The one line an epoch prints."""
    return (
        f"epoch {epoch:{len(str(epochs))}d}/{epochs}  loss {logs['loss']:.4f}  accuracy {logs['categorical_accuracy']:.4f}"
        f"  validation: loss {logs['val_loss']:.4f}  accuracy {logs['val_categorical_accuracy']:.4f}"
        f"  balanced {logs['val_balanced_accuracy']:.4f}  {speed:.0f} clips/s  {left / 60:.1f} min left"
    )


def prepare_folder(artifacts, settings, overwrite, report=print):
    """Make `models/` ready for this run: empty, or holding the beginning of the same run.

    Parameters
    ----------
    artifacts : artifacts.Artifacts
        Where `models/` lies.
    settings : dict
        What the run's result depends on.
    overwrite : bool
        Remove the checkpoints of an earlier run.

    Returns
    -------
    bool
        False when the same run is already finished.

    Raises
    ------
    PipelineError
        If checkpoints of a run with other settings lie there and `overwrite` is not set.
    """
    files = sorted(artifacts.models.glob("epoch_*.h5"))
    leftovers = [*files, artifacts.history, artifacts.training_settings, artifacts.models / STATE]
    if overwrite:
        for path in leftovers:
            path.unlink(missing_ok=True)
    elif artifacts.training_settings.exists():
        made = json.loads(artifacts.training_settings.read_text(encoding="utf-8"))
        refuse_other_settings(artifacts.models, made.get("settings"), settings)
        return (artifacts.models / STATE).exists() or len(files) < settings["epochs"]
    elif files:
        raise PipelineError(f"{artifacts.models} holds checkpoints of an unknown run. Move them, or give --overwrite.")
    import keras

    versions = {"python": platform.python_version(), "keras": keras.__version__, "backend": keras.backend.backend()}
    write_json(artifacts.training_settings, {"settings": settings, "versions": versions})
    return True
