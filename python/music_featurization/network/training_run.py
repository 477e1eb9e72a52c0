"""One training run from its options to its checkpoints: everything is checked before anything is deleted or written."""

import platform
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import (
    STEP_3,
    TRAINING,
    Artifacts,
    PipelineError,
    fingerprint,
    read_json,
    remove_unfinished,
    require_same_settings,
    write_json,
)
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder
from music_featurization.dataset.split import PARTS, read_classes, read_part, training_fingerprint
from music_featurization.network import checkpoints, embeddings, history, networks, recipe, training
from music_featurization.network.keras_backend import load_keras, use_precision

if TYPE_CHECKING:
    import keras


def train(
    root: Path,
    *,
    network: str = "crnn",
    epochs: int = 20,
    seed: int = 1,
    start_from: Path | None = None,
    weights: str | None = None,
    fine_tune: bool = False,
    early_stop: int = 0,
    keep: str = "all",
    tensorboard: Path | None = None,
    overwrite: bool = False,
    jobs: int = 1,
    dask: str | None = None,
    shard: tuple[int, int] | None = None,
    **changes: float | bool | str,
) -> None:
    """Train a network on the split under a root folder, as 1-training.py does.

    Parameters
    ----------
    root : Path
        Contains datasets/, models/ and results/.
    network : {"crnn", "vgg16"}
    epochs, seed : int
    start_from : Path, optional
        Checkpoint to continue from.
    weights : str, optional
        See `networks.build_network`; not together with `start_from`.
    fine_tune : bool
        Train the pre-trained convolutions too.
    early_stop : int
        Stop after so many epochs without a lower validation loss; 0 for never.
    keep : {"all", "best"}
        Which checkpoints to keep.
    tensorboard : Path, optional
        Folder for logs.
    overwrite : bool
        Remove the checkpoints of an earlier run, and embeddings made by another front end.
    jobs, dask, shard
        For the embeddings, see `embeddings.generate_missing`. With `shard` nothing is trained.
    **changes
        Settings of `recipe.RECIPES` that differ from the default.

    Raises
    ------
    PipelineError
        If an input is missing or damaged, or `models/` contains another run; nothing has been removed then.
    """
    artifacts = Artifacts(root)
    tables = {part: read_part(artifacts, part) for part in PARTS}
    cluster = {"jobs": jobs, "dask": dask, "overwrite": overwrite}
    spectrogram_folder.require_our_settings(artifacts.spectrograms)
    if shard:
        names = [name for table in tables.values() for name in table["spectrogram"]]
        embeddings.generate_missing(artifacts, names, shard=shard, **cluster)
        return
    classes, made_with = list(read_classes(artifacts)), spectrogram.SETTINGS
    check_classes(tables["train"]["label"], tables["val"]["label"], classes)
    settings = recipe.complete(network, changes, len(tables["train"]))
    front_end = _describe_front_end(network, weights, fine_tune, start_from)
    asked = {
        **{"network": network, "weights": weights or networks.PRETRAINED, "fine_tune": fine_tune},
        **{"epochs": epochs, "seed": seed, "early_stop": early_stop, "keep": keep, **settings},
        "start_from": fingerprint(start_from) if start_from else None,
        "front_end": front_end,
        "split": training_fingerprint(artifacts),
    }
    if is_finished(artifacts, asked, overwrite):
        print("nothing to do: this run is finished (--overwrite trains again)")
        return
    model = _build_or_load(asked, classes, start_from)
    if keep == "all":
        check_disk(artifacts.models, model.count_params() * 4 / 1e6, epochs)
    clips = _read_clips(artifacts, tables, networks.has_provided_front_end({"front_end": front_end}), cluster)
    if not start_from:
        training.standardise(model, clips["train"])
    versions = _versions()
    callbacks = training.tensorboard(model, tensorboard)
    begin(artifacts, asked, versions, overwrite)
    print(f"{network}: {model.count_params():,} parameters; {len(tables['train'])} training clips", flush=True)
    training.fit(
        model,
        clips["train"],
        clips["val"],
        artifacts.models,
        epochs=epochs,
        seed=seed,
        settings=settings,
        about={"classes": classes, "spectrogram_settings": made_with, "versions": versions, **asked},
        early_stop=early_stop,
        keep=keep,
        callbacks=callbacks,
    )


def _build_or_load(asked: dict, classes: list[str], start_from: Path | None) -> "keras.Model":
    """Build the network that was asked for, or load the one to start from; with its seed and precision."""
    keras = load_keras()
    keras.utils.set_random_seed(asked["seed"])
    use_precision(asked["precision"])
    if start_from:
        return networks.load_network(start_from, asked["network"], classes, fine_tune=asked["fine_tune"])
    options = {key: asked[key] for key in ("weights", "fine_tune")}
    return networks.build_network(asked["network"], len(classes), **options)


def _versions() -> dict[str, str]:
    import keras

    versions = {name: metadata.version(name) for name in ("keras", "music_featurization")}
    return versions | {"python": platform.python_version(), "backend": keras.backend.backend()}


def _describe_front_end(network: str, weights: str | None, fine_tune: bool, start_from: Path | None) -> dict | None:
    if start_from is None:
        return networks.describe_front_end(network, weights or networks.PRETRAINED, fine_tune)
    if weights:
        raise PipelineError("Give --start-from or --weights, not both: a checkpoint contains its weights.")
    about = networks.require_same_network(start_from, network)
    return networks.describe_front_end(network, networks.PRETRAINED, fine_tune, about)


def _read_clips(artifacts: Artifacts, tables: dict, embedded: bool, cluster: dict) -> dict[str, training.Clips]:
    """Return the clips of train and val, after computing missing embeddings and reading every file once."""
    tables = {part: tables[part] for part in ("train", "val")}
    if embedded:
        names = [name for table in tables.values() for name in table["spectrogram"]]
        embeddings.generate_missing(artifacts, names, **cluster)
    folder = artifacts.embeddings if embedded else artifacts.spectrograms
    clips = {
        part: training.Clips([folder / name for name in table["spectrogram"]], list(table["label"]), embedded)
        for part, table in tables.items()
    }
    for part in clips.values():
        for path in part.paths:
            part.load(path)
    return clips


def is_finished(artifacts: Artifacts, settings: dict, overwrite: bool) -> bool:
    """Tell whether the same run is already finished; change nothing.

    Parameters
    ----------
    artifacts : Artifacts
    settings : dict
        What the run's result depends on.
    overwrite : bool
        The checkpoints of an earlier run will be removed.

    Raises
    ------
    PipelineError
        If the folder contains checkpoints of a run with other settings and `overwrite` is not set.
    """
    models, record = artifacts.models, artifacts.training_settings
    files = [*checkpoints.list_files(models), *_exist(artifacts.history, models / training.STATE)]
    if overwrite or not files:
        return False
    if not record.exists():
        raise PipelineError(f"{models} contains checkpoints of an unknown run. Move them, or give --overwrite.")
    require_same_settings(models, read_json(record, f"{TRAINING} --overwrite", settings=dict)["settings"], settings)
    if (models / training.STATE).exists():
        return False
    done = history.read(artifacts.history) if artifacts.history.exists() else {}
    if training.is_finished(done, settings["epochs"], settings["early_stop"]):
        return True
    raise PipelineError(
        f"{models} contains {len(done.get('val_loss', []))} of {settings['epochs']} epochs, but not the state to "
        "continue from. Give --overwrite to train from the beginning."
    )


def _exist(*paths: Path) -> list[Path]:
    return [path for path in paths if path.exists()]


def begin(artifacts: Artifacts, settings: dict, versions: dict, overwrite: bool) -> None:
    """Remove an earlier run if `overwrite` is set, and write the settings of this one."""
    remove_unfinished(artifacts.models)
    state = artifacts.models / training.STATE
    if overwrite:
        for path in [*checkpoints.list_files(artifacts.models), artifacts.history, state]:
            path.unlink(missing_ok=True)
    if not state.exists():
        write_json(artifacts.training_settings, {"settings": settings, "versions": versions})


def check_classes(labels: Sequence[int], validation: Sequence[int], classes: Sequence[str]) -> None:
    """Refuse a split that a network cannot learn from.

    Parameters
    ----------
    labels, validation : sequence of int
        Of the training and the validation clips.
    classes : sequence of str
        In label order.

    Raises
    ------
    PipelineError
        If a class has no training clip or the validation part is empty.
    """
    missing = [genre for label, genre in enumerate(classes) if label not in set(labels)]
    if missing:
        raise PipelineError(
            f"No training clip is {' or '.join(missing)}: the network cannot learn it. Add clips, or leave the genre "
            f"out in {STEP_3}, and run the steps after it again."
        )
    if not len(validation):
        raise PipelineError("The validation part of the split is empty. Add clips and run step 4 again.")


def check_disk(models: Path, megabytes_each: float, epochs: int) -> None:
    """Raise a PipelineError if the checkpoints of all epochs do not fit on the disk."""
    existing = next(folder for folder in [Path(models), *Path(models).parents] if folder.exists())
    needed, free = megabytes_each * (epochs + 4), shutil.disk_usage(existing).free / 1e6
    if needed > free:
        raise PipelineError(
            f"{epochs} checkpoints need {needed:,.0f} MB, but only {free:,.0f} MB are free at {models}. "
            "Free some space, or give --keep best or fewer --epochs."
        )
