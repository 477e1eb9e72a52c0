"""Train a network: the recipe, the loop over epochs, and what is written after each.

Every epoch leaves a checkpoint and a whole `history.pkl`, and, until the last, the state to go on from (weights,
optimizer, averages), so a run that was killed continues as if nothing had happened.
"""

import json
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np

from music_featurization.artifacts import PipelineError, refuse_other_settings, remove_unfinished, replacing, write_json
from music_featurization.network import checkpoints, keras_backend
from music_featurization.network.batches import load_clip, training_batches
from music_featurization.network.prediction import predict, with_features

STATE = ".training_state.npz"  # beside the checkpoints; deleted at the end
HISTORY_KEYS = ("loss", "categorical_accuracy", "val_loss", "val_categorical_accuracy", "val_balanced_accuracy")

# What shapes a run beyond its data and network. extras/benchmarks/README.md has the measured reasons.
RECIPE = {
    "batch_size": 32,
    "clip_seconds": 29.0,
    "crops": 3,
    "crop_seconds": 3.0,
    "learning_rate": 5e-4,
    "weight_decay": 0.3,  # AdamW's
    "epsilon": 4e-3,  # AdamW's; the usual 1e-7 gives a weak input as much weight as a strong one
    "warm_up": 0.05,  # share of all steps
    "average": 0.05,  # window of the running average of the weights, as a share of all steps; 0 for none
    "mixup": 0.0,
    "stretch": 0.0,  # octaves of tempo
    "shift": 0.0,  # mel bands
    "gain": 0.0,  # dB
    "tilt": 0.0,  # dB
    "masks": 0,
    "label_smoothing": 0.0,
    "class_weights": True,
    "precision": "auto",
}
# What other networks need otherwise: they were made for clips of one length and for Adam as it usually is.
OF_OTHERS = {"batch_size": 16, "crops": 0, "weight_decay": 0.0, "epsilon": 1e-7}
CHANGES = {
    "crnn": {},
    "vgg16": OF_OTHERS | {"learning_rate": 1e-4},
    # In bfloat16 on a CPU the gradient of one of its wide filters is now and then NaN; extras/benchmarks/README.md.
    "musictagger": OF_OTHERS | {"learning_rate": 1e-3, "precision": "float32"},
}
EXPLAINED = {
    "batch_size": "clips per step",
    "clip_seconds": "longest stretch that is taken as the whole of a clip",
    "crops": "short stretches taken from each clip per epoch, beside the whole",
    "crop_seconds": "length of the short stretches",
    "learning_rate": "at its highest",
    "weight_decay": "of AdamW",
    "epsilon": "of AdamW: gradients below it make small steps",
    "warm_up": "share of the steps over which the learning rate rises",
    "average": "window of the running average of the weights, as a share of all steps; 0: none",
    "mixup": "parameter of mixup's beta distribution; 0: none",
    "stretch": "tempo changes by up to this many octaves; 0: none",
    "shift": "pitch moves by up to this many mel bands; 0: none",
    "gain": "level changes by up to this many dB; 0: none",
    "tilt": "treble against bass changes by up to this many dB; 0: none",
    "masks": "bands and stretches masked per clip (SpecAugment); 0: none",
    "label_smoothing": "share of each target spread over all classes; 0: none",
    "class_weights": "every class counts the same, however few its clips (on or off)",
    "precision": "auto, float32, mixed_bfloat16 or mixed_float16; auto: float16 on a GPU, bfloat16 on a CPU "
    "with AMX, else float32; a network of --start-from keeps its own",
}
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
AUGMENTATIONS = ("mixup", "stretch", "shift", "gain", "tilt", "masks", "label_smoothing")


def recipe_for(network):
    """The recipe that a network is trained by unless told otherwise: a dict as `RECIPE`."""
    return RECIPE | CHANGES[network]


def stretches(recipe, frames_per_second):
    """Lengths in frames of what is taken of each clip per epoch: the whole, and the short ones."""
    seconds = [recipe["clip_seconds"], *[recipe["crop_seconds"]] * recipe["crops"]]
    lengths = [round(length * frames_per_second) for length in seconds]
    if min(lengths) < 1:
        raise PipelineError(
            f"A stretch of {min(seconds):g} s is shorter than one frame ({1 / frames_per_second:.3f} s). "
            "Give longer --clip-seconds and --crop-seconds."
        )
    return lengths


def steps_per_epoch(recipe, clips):
    """Batches that so many training clips make."""
    return -(-clips // recipe["batch_size"]) + -(-clips * recipe["crops"] // recipe["batch_size"])


def switch(default):
    """What turns the text of a command line into a value of the recipe like this one; "on" and "off" for a bool."""
    if isinstance(default, bool):
        return lambda text: {"on": True, "off": False}[text]
    return type(default)


def start(network, shape, classes, spectrogram_settings, start_from=None, **options):
    """The network to train: new, or one that was trained before, with a new last layer if the classes differ.

    Parameters
    ----------
    network : str
        Name for `build_network`.
    shape : tuple
        (mels, frames or None).
    classes : list of str
        In label order.
    spectrogram_settings : dict
        Of the data.
    start_from : Path, optional
        A checkpoint.
    **options
        For `build_network`.

    Returns
    -------
    keras.Model

    Raises
    ------
    PipelineError
        If the checkpoint was trained on spectrograms made otherwise.
    """
    import keras

    from music_featurization.network.networks import build_network

    if start_from is None:
        return build_network(network, shape, len(classes), **options)
    trained, about = checkpoints.load(start_from)
    if "spectrogram_settings" in about:
        refuse_other_settings(start_from, about["spectrogram_settings"], spectrogram_settings)
    if list(about.get("classes", [])) == list(classes):
        return trained
    # Its own layers up to the last, whatever its width was; the last is new.
    classifier = keras.layers.Dense(len(classes), activation="softmax", dtype="float32", name="genres")
    return keras.Model(trained.inputs, classifier(trained.layers[-1].input), name=trained.name)


def tensorboard(model, folder):
    """The callbacks that write TensorBoard's logs into `folder`; none if it is None."""
    import keras

    if folder is None:
        return []
    callback = keras.callbacks.TensorBoard(log_dir=str(folder))
    callback.set_model(model)
    return [callback]


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


def use_precision(precision):
    """Set Keras's policy for the networks built from now on.

    Parameters
    ----------
    precision : {"auto", "float32", "mixed_bfloat16", "mixed_float16"}
        "auto" is float16 with float32 weights on a GPU; on a CPU bfloat16 where it measured faster (with AMX and
        TensorFlow: 1.3 to 1.8 times as fast, the same accuracy), else float32.

    Raises
    ------
    PipelineError
        If there is no such policy.
    """
    import keras

    if precision not in PRECISIONS:
        raise PipelineError(f"There is no precision {precision!r}. Choose one of {', '.join(PRECISIONS)}.")
    if precision == "auto":
        on_cpu = "mixed_bfloat16" if keras_backend.has_fast_bfloat16() else "float32"
        precision = "mixed_float16" if keras_backend.has_gpu() else on_cpu
    keras.config.set_dtype_policy(precision)


def compile_network(model, recipe, steps):
    """Give the network its optimizer: AdamW, warm-up then cosine, with an average of the weights."""
    import keras

    warm_up = max(1, int(recipe["warm_up"] * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=recipe["learning_rate"], warmup_steps=warm_up
    )
    window = recipe["average"] * steps
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe["weight_decay"],
        epsilon=recipe["epsilon"],
        use_ema=window > 1,
        ema_momentum=1 - 1 / max(window, 1.1),
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # XLA makes these convolutions about twice slower on a CPU under TensorFlow.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, "categorical_crossentropy", metrics=["categorical_accuracy"], jit_compile=jit)
    model.optimizer.build(model.trainable_variables)  # with what Keras has wrapped around it, which `restore` needs


def optimizer_of(model):
    """The AdamW itself, also where Keras has wrapped it in loss scaling for float16."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def averaged(model, copy=None):
    """A copy of the network in float32 whose weights are the optimizer's running average, if it keeps one.

    A copy made before is brought up to date, so that what was compiled for it need not be compiled again.
    """
    import keras

    copy = copy or keras.models.clone_model(model, clone_function=in_float32)
    copy.set_weights(model.get_weights())
    optimizer = optimizer_of(model)
    if optimizer.use_ema:
        for variable, mean in zip(copy.trainable_variables, optimizer._model_variables_moving_average, strict=True):
            variable.assign(mean)
    return copy


def in_float32(layer):
    """The layer, made anew to compute in float32: a network trained on a GPU is for CPUs too, slow in float16."""

    def changed(config):
        return {
            key: "float32" if key == "dtype" else changed(value) if isinstance(value, dict) else value
            for key, value in config.items()
        }

    return type(layer).from_config(changed(layer.get_config()))


def fit(model, train, validation, models, *, epochs, seed, frames_per_second, about, recipe=RECIPE, early_stop=0,
        keep="all", callbacks=(), report=print):  # fmt: skip
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
    frames_per_second : float
        Of the spectrograms.
    about : dict
        Stored in every checkpoint; its `classes` names the classes in label order.
    recipe : dict
        As `RECIPE`.
    early_stop : int
        Stop after so many epochs without a lower validation loss; 0 for never.
    keep : {"all", "best"}
        Which checkpoints stay: every one, or the one of lowest validation loss.
    callbacks : sequence of keras.callbacks.Callback
        Told of the end of every epoch.
    report : callable
        Takes one line of progress.

    Returns
    -------
    dict of str to list of float
        The history.

    Raises
    ------
    PipelineError
        If the loss is not a number.
    """
    models, n_classes = Path(models), len(about["classes"])
    compile_network(model, recipe, steps_per_epoch(recipe, len(train[0])) * epochs)
    history = restore(model, models)
    done_before, started = len(history["loss"]), time.time()
    if not done_before:
        standardise_on(model, train[0])
    else:
        report(f"{done_before} epochs done, {epochs - done_before} to do")
    network = averaged(model)
    evaluated = with_features(network)
    for epoch in range(done_before + 1, epochs + 1):
        if stops_early(history, early_stop):
            report(f"no lower validation loss for {early_stop} epochs: stopped")
            break
        logs, speed = train_epoch(model, train, n_classes, recipe, seed, epoch, frames_per_second)
        averaged(model, network)
        logs |= evaluate(evaluated, validation, recipe["batch_size"])
        for key, value in logs.items():
            history[key].append(float(value))
        write_epoch(network, models, history, about | {"epoch": epoch}, keep)
        keep_state(model, models, history)
        for callback in callbacks:
            callback.on_epoch_end(epoch - 1, logs)
        left = (time.time() - started) / (epoch - done_before) * (epochs - epoch)
        report(progress_line(epoch, epochs, logs, speed, left))
    (models / STATE).unlink(missing_ok=True)
    return history


def standardise_on(model, paths, at_most=1000):
    """Measure what the network standardises by on the training clips, or on evenly spaced ones of very many."""
    from music_featurization.network.networks import standardise

    standardise(model, (load_clip(path) for path in paths[:: -(-len(paths) // at_most)]))


def stops_early(history, patience):
    """Whether the last `patience` epochs brought no lower validation loss than those before."""
    losses = history["val_loss"]
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def train_epoch(model, train, n_classes, recipe, seed, epoch, frames_per_second):
    """One pass over the training clips: mean loss and accuracy, and clips per second."""
    weights = np.ones(n_classes, np.float32)
    if recipe["class_weights"]:
        weights = np.array(list(class_weights(train[1], n_classes).values()), np.float32)
    batches = training_batches(
        *train,
        n_classes,
        batch_size=recipe["batch_size"],
        lengths=stretches(recipe, frames_per_second),
        augment={key: recipe[key] for key in AUGMENTATIONS},
        seed=seed,
        epoch=epoch,
        threads=min(4, os.cpu_count() or 1),
    )
    started, totals = time.time(), {"loss": 0.0, "categorical_accuracy": 0.0}
    for clips, targets in batches:
        logs = model.train_on_batch(clips, targets, sample_weight=targets @ weights, return_dict=True)
        for key in totals:  # Keras tells of this batch alone
            totals[key] += float(logs[key]) * len(clips) / (len(train[0]) * (1 + recipe["crops"]))
        if not np.isfinite(logs["loss"]):
            raise PipelineError(
                f"The loss is no longer a number in epoch {epoch}. Give a lower --learning-rate (it is "
                f"{recipe['learning_rate']:g}) or --precision float32, and start anew with --overwrite."
            )
    speed = len(train[0]) / (time.time() - started)
    return totals, speed


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


def checkpoint_name(epoch, accuracy):
    """`epoch_NN_A.AAAA.h5`."""
    return f"epoch_{epoch:02d}_{accuracy:.4f}.h5"


def write_epoch(network, models, history, about, keep):
    """Write the checkpoint of the last epoch and the history; with keep "best" remove the other checkpoints."""
    names = [checkpoint_name(i, accuracy) for i, accuracy in enumerate(history["val_categorical_accuracy"], 1)]
    best = int(np.argmin(history["val_loss"]))
    if keep == "all" or best == len(names) - 1:
        checkpoints.save(network, models / names[-1], about)
    if keep == "best":
        for name in names[:best] + names[best + 1 :]:
            (models / name).unlink(missing_ok=True)
    with replacing(models / "history.pkl") as temporary:
        temporary.write_bytes(pickle.dumps(history))


def keep_state(model, models, history):
    """Write all that `restore` needs to go on after this epoch."""
    arrays = {f"v{i}": np.asarray(keep_as_array(v)) for i, v in enumerate(state_variables(model))}
    with replacing(models / STATE) as temporary:
        np.savez(temporary, history=json.dumps(history), **arrays)


def keep_as_array(variable):
    """A Keras variable as a numpy array, on any backend."""
    import keras

    return keras.ops.convert_to_numpy(variable)


def restore(model, models):
    """Take up the state of an unfinished run if there is one; the history so far, empty lists for a new run."""
    path = models / STATE
    if not path.exists():
        return {key: [] for key in HISTORY_KEYS}
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
        f"epoch {epoch:{len(str(epochs))}d}/{epochs}"
        f"  loss {logs['loss']:.4f}  accuracy {logs['categorical_accuracy']:.4f}"
        f"  validation: loss {logs['val_loss']:.4f}  accuracy {logs['val_categorical_accuracy']:.4f}"
        f"  balanced {logs['val_balanced_accuracy']:.4f}  {speed:.0f} clips/s  {left / 60:.1f} min left"
    )


def prepare_folder(artifacts, settings, versions, overwrite):
    """Make `models/` ready for this run: empty, or holding the beginning of the same run.

    Parameters
    ----------
    artifacts : artifacts.Artifacts
        Where `models/` lies.
    settings, versions : dict
        What the run's result depends on; with what it runs.
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
    remove_unfinished(artifacts.models)
    state, made = artifacts.models / STATE, artifacts.training_settings
    files = sorted(artifacts.models.glob("epoch_*.h5"))
    if overwrite:
        for path in [*files, artifacts.history, made, state]:
            path.unlink(missing_ok=True)
    elif made.exists():
        refuse_other_settings(artifacts.models, json.loads(made.read_text(encoding="utf-8")).get("settings"), settings)
        return state.exists() or not artifacts.history.exists()
    elif files:
        raise PipelineError(f"{artifacts.models} holds checkpoints of an unknown run. Move them, or give --overwrite.")
    write_json(made, {"settings": settings, "versions": versions})
    return True


def check_data(train, validation, classes, batch_size):
    """Refuse nonsense before the first epoch.

    Parameters
    ----------
    train, validation : tuple of (sequence of Path, sequence of int)
    classes : sequence of str
        In label order.
    batch_size : int

    Raises
    ------
    PipelineError
        If a class has no training clip, a part is empty, a batch is larger than the data, or a spectrogram is
        missing, corrupt or holds NaN.
    """
    missing = [genre for label, genre in enumerate(classes) if label not in set(train[1])]
    if missing:
        raise PipelineError(
            f"No training clip is {' or '.join(missing)}: the network could not learn it. Add clips, or leave the "
            "genre out in datasets_utils/3_remove_double_with_priority.py, and run the steps after it again."
        )
    if not len(validation[0]):
        raise PipelineError("The validation part of the split is empty. Add clips and run step 4 again.")
    if batch_size > len(train[0]):
        raise PipelineError(f"--batch-size {batch_size} is more than the {len(train[0])} training clips. Lower it.")
    for path in [*train[0], *validation[0]]:
        load_clip(path)


def check_disk(models, megabytes_each, epochs):
    """Raise a PipelineError if the checkpoints of all epochs do not fit on the disk."""
    Path(models).mkdir(parents=True, exist_ok=True)
    needed, free = megabytes_each * (epochs + 4), shutil.disk_usage(models).free / 1e6
    if needed > free:
        raise PipelineError(
            f"{epochs} checkpoints need {needed:,.0f} MB, but only {free:,.0f} MB are free at {models}. "
            "Free some space, or give --keep best or fewer --epochs."
        )
