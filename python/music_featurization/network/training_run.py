"""One training run from its options to its checkpoints: everything is checked before anything is deleted or written."""

import functools
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import REPOSITORY, STEP_3, STEP_4, Artifacts, PipelineError, fingerprint, first_line
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder
from music_featurization.dataset.split import PARTS, read_classes, read_part, training_fingerprint
from music_featurization.network import embeddings, keras_backend, networks, recipe, run_folder, training

if TYPE_CHECKING:
    import keras
    import pandas


def train(
    *,
    root: Path = REPOSITORY,
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
    network : {"crnn", "vgg16"}
    start_from : Path, optional
        Checkpoint to continue from.
    weights : str, optional
        See `networks.build_network`; not together with `start_from`.
    fine_tune : bool
        Train the pre-trained convolutions too.
    early_stop : int
        Stop after this number of epochs without a lower validation loss; 0 for never.
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
    spectrogram_folder.require_our_settings(artifacts.spectrograms)
    embed = functools.partial(embeddings.generate_missing, artifacts, jobs=jobs, dask=dask, overwrite=overwrite)
    if shard:
        embed(_names(tables, PARTS), shard=shard)
        return
    classes = list(read_classes(artifacts))
    check_classes(list(tables["train"]["label"]), list(tables["val"]["label"]), classes)
    front_end = _describe_front_end(network, weights, fine_tune, start_from)
    settings = {
        "network": network,
        "weights": weights or networks.PRETRAINED,
        "fine_tune": fine_tune,
        "epochs": epochs,
        "seed": seed,
        "early_stop": early_stop,
        "keep": keep,
        **recipe.complete(network, changes, len(tables["train"])),
        "start_from": fingerprint(start_from) if start_from else None,
        "front_end": front_end,
        "split": training_fingerprint(artifacts),
    }
    if run_folder.is_finished(artifacts, settings, overwrite):
        print("nothing to do: this run is finished (--overwrite trains again)")
        return
    _run(artifacts, tables, classes, settings, start_from, tensorboard, overwrite, embed)


def check_classes(labels: Sequence[int], validation: Sequence[int], classes: Sequence[str]) -> None:
    """Raise a PipelineError if a class has no training clip or the validation part is empty."""
    missing = [genre for label, genre in enumerate(classes) if label not in set(labels)]
    if missing:
        raise PipelineError(
            f"No training clip is {' or '.join(missing)}: the network cannot learn it. Add clips, or leave the genre "
            f"out in {STEP_3}, and run the steps after it again."
        )
    if not len(validation):
        raise PipelineError(f"The validation part of the split is empty. Add clips and run {STEP_4} again.")


def _run(
    artifacts: Artifacts,
    tables: dict[str, "pandas.DataFrame"],
    classes: list[str],
    settings: dict,
    start_from: Path | None,
    tensorboard: Path | None,
    overwrite: bool,
    embed: Callable[[list[str]], None],
) -> None:
    """Prepare the network and its clips, and train; `embed` computes the embeddings that are missing."""
    model = _build_or_load(settings, classes, start_from)
    if settings["keep"] == "all":
        run_folder.check_disk(artifacts.models, model.count_params() * 4 / 1e6, settings["epochs"])
    embedded = networks.has_provided_front_end(settings)
    if embedded:
        embed(_names(tables, ("train", "val")))
    folder = artifacts.embeddings if embedded else artifacts.spectrograms
    train, validation = (_read_clips(tables[part], folder, embedded) for part in ("train", "val"))
    if not start_from:
        training.standardise(model, train)
    versions, callbacks = _versions(), _tensorboard(model, tensorboard)
    run_folder.begin(artifacts, settings, versions, overwrite)
    print(f"{model.name}: {model.count_params():,} parameters; {len(train.paths)} training clips", flush=True)
    training.fit(
        model,
        train,
        validation,
        artifacts.models,
        epochs=settings["epochs"],
        seed=settings["seed"],
        early_stop=settings["early_stop"],
        keep=settings["keep"],
        settings=settings,
        about={"classes": classes, "spectrogram_settings": spectrogram.SETTINGS, "versions": versions, **settings},
        callbacks=callbacks,
    )


def _names(tables: dict[str, "pandas.DataFrame"], parts: Sequence[str]) -> list[str]:
    return [name for part in parts for name in tables[part]["spectrogram"]]


def _describe_front_end(network: str, weights: str | None, fine_tune: bool, start_from: Path | None) -> dict | None:
    if start_from is None:
        return networks.describe_front_end(network, weights or networks.PRETRAINED, fine_tune)
    if weights:
        raise PipelineError("Give --start-from or --weights, not both: a checkpoint contains its weights.")
    about = networks.require_same_network(start_from, network)
    return networks.describe_front_end(network, networks.PRETRAINED, fine_tune, about)


def _build_or_load(settings: dict, classes: list[str], start_from: Path | None) -> "keras.Model":
    """Build the network, or load the one to start from, with the seed and precision of the settings."""
    keras = keras_backend.load_keras()
    keras.utils.set_random_seed(settings["seed"])
    keras_backend.use_precision(settings["precision"])
    if start_from:
        return networks.load_network(start_from, settings["network"], classes, fine_tune=settings["fine_tune"])
    options = {key: settings[key] for key in ("weights", "fine_tune")}
    return networks.build_network(settings["network"], len(classes), **options)


def _read_clips(table: "pandas.DataFrame", folder: Path, embedded: bool) -> training.Clips:
    """Return the clips of a part of the split, after reading each once: a damaged file is found before training."""
    clips = training.Clips([folder / name for name in table["spectrogram"]], list(table["label"]), embedded)
    for path in clips.paths:
        clips.load(path)
    return clips


def _versions() -> dict[str, str]:
    import keras

    versions = {name: metadata.version(name) for name in ("keras", "music_featurization")}
    return versions | {"python": platform.python_version(), "backend": keras.backend.backend()}


def _tensorboard(model: "keras.Model", folder: Path | None) -> list["keras.callbacks.Callback"]:
    """Return the callbacks that write TensorBoard's logs into `folder`; none if it is None."""
    import keras

    if folder is None:
        return []
    try:
        callback = keras.callbacks.TensorBoard(log_dir=str(folder))
        callback.set_model(model)
    except Exception as error:  # TensorFlow has errors of its own; with another backend it may be missing
        raise PipelineError(
            f"--tensorboard {folder}: logs cannot be written there ({first_line(error)}). Give another folder."
        ) from error
    return [callback]
