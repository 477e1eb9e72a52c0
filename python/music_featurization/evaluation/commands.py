"""The commands that made the results, with the options that each step recorded."""

import inspect
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from music_featurization.artifacts import (
    FORMAT,
    MAP,
    PLOT,
    PREDICTION,
    PROVIDED_MODEL,
    REPORT,
    REPOSITORY,
    SOUND_FONT,
    STEP_0,
    STEP_1,
    STEP_2,
    STEP_3,
    STEP_4,
    TESTING,
    TRAINING,
    Artifacts,
    fingerprint,
    read_json,
)
from music_featurization.dataset import genres
from music_featurization.evaluation import results
from music_featurization.feature_tables import feature_table
from music_featurization.network import networks, recipe

# Settings of a training that are always printed, and the defaults of others, which are printed if they differ.
ALWAYS_PRINTED = ("network", "epochs", "batch_size", "seed")
TRAINING_DEFAULTS = {"weights": networks.PRETRAINED, "fine_tune": False, "early_stop": 0, "keep": "all"}


def given_options(function: Callable, **options: Any) -> dict[str, Any]:
    """Return the options that differ from a function's defaults; a path in the repository as text relative to it."""
    parameters = inspect.signature(function).parameters
    return {
        name: _from_repository(value) if isinstance(value, Path) else value
        for name, value in options.items()
        if value != parameters[name].default
    }


def lines(artifacts: Artifacts, root: Path | None = None, map_method: str | None = None) -> list[str]:
    """Return the commands that make the results again in the repository's folder.

    `root` is the value of --root, `map_method` the method of the test set's map, None if there is no map.
    """
    root_option = ["--root", _from_repository(root)] if root else []
    commands = []
    for script, options in (*_data_set(artifacts), *_training(artifacts), *_testing(artifacts, map_method)):
        if "genres" in options and any("," in name for name in options["genres"]):
            names = shlex.join(options["genres"])
            commands.append(f"printf '%s\\n' {names} > genres.txt")
            options = options | {"genres": "genres.txt"}
        commands.append(shlex.join(["python3", script, *root_option, *_words(options)]))
    return commands


def _from_repository(path: Path) -> str:
    path = Path(os.path.abspath(path.expanduser()))
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)


def _words(options: dict) -> list[str]:
    """Return options as words of a command: a tuple is several words, a list one, joined by commas."""
    words = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, tuple):
            words += value
        elif value is not True:
            words.append(",".join(map(str, value)) if isinstance(value, list) else str(value))
    return words


def recorded_settings(path: Path, script: str) -> dict:
    """Read the settings that a script recorded; {} if there is no record."""
    return read_json(path, script, settings=dict | None).get("settings") or {} if path.exists() else {}


def _data_set(artifacts: Artifacts) -> Iterator[tuple[str, dict]]:
    """Yield steps 0 to 4 as far as they were run."""
    if demo := recorded_settings(artifacts.demo_manifest, STEP_0):
        yield STEP_0, {name: demo.get(name) for name in ("pieces", "seed")} | {"soundfont": _soundfonts(demo)}
    if artifacts.spectrogram_settings.exists():
        yield STEP_1, {}
    if artifacts.tagged.exists():
        yield STEP_2, recorded_settings(artifacts.tagged_settings, STEP_2)
    if artifacts.genres.exists():
        priority = recorded_settings(artifacts.genres_settings, STEP_3).get("priority")
        is_other = isinstance(priority, list) and priority != list(genres.PRIORITY)
        yield STEP_3, {"genres": list(map(str, priority or ()))} if is_other else {}
    if artifacts.split("test").exists():
        split = recorded_settings(artifacts.split_settings, STEP_4)
        published = split.get("split_from")
        options = {name: split.get(name) for name in ("group_by", "split_by")}
        yield STEP_4, options | {"split_from": _from_repository(Path(str(published))) if published else None}


def _soundfonts(demo: dict) -> tuple[str, ...] | None:
    """Return the names of the sound fonts, whose folders are not known; None for the one of pretty_midi."""
    recorded = demo.get("soundfonts")
    names = [str(font).rpartition(" ")[0] for font in recorded] if isinstance(recorded, list) else []
    return None if names in ([], [SOUND_FONT]) else tuple(names)


def _training(artifacts: Artifacts) -> Iterator[tuple[str, dict]]:
    """Yield training and curves; nothing if the provided network is used."""
    if not artifacts.training_settings.exists():
        return
    settings = recorded_settings(artifacts.training_settings, TRAINING)
    defaults = TRAINING_DEFAULTS | recipe.RECIPES.get(str(settings.get("network")), {})
    options = {name: settings[name] for name in ALWAYS_PRINTED if name in settings}
    for name, default in defaults.items():
        if settings.get(name, default) != default and name not in ALWAYS_PRINTED:
            options[name] = "off" if default is True else settings[name]
    if settings.get("start_from"):
        options["start_from"] = _checkpoint(settings["start_from"])
    yield TRAINING, options
    yield PLOT, {}


def _checkpoint(model_fingerprint: str) -> str:
    """Return the path of the provided network if it has this fingerprint; the path of another is not known."""
    is_provided = PROVIDED_MODEL.exists() and fingerprint(PROVIDED_MODEL) == model_fingerprint
    return _from_repository(PROVIDED_MODEL) if is_provided else f"CHECKPOINT_{model_fingerprint}"


def _testing(artifacts: Artifacts, map_method: str | None) -> Iterator[tuple[str, dict]]:
    """Yield testing and the steps after it; another part of the split only if music_dataset.csv was made from it."""
    if record := results.read_record(artifacts):
        yield TESTING, record.get("options") or {}
    arrays = artifacts.music_dataset_arrays
    if arrays.exists():
        rows = feature_table.read(arrays).rows
        part = rows["split"].iloc[0] if "split" in rows else "test"
        if part != "test":
            yield TESTING, results.read_record(artifacts, part).get("options") or {"split": part}
        yield FORMAT, {} if part == "test" else {"split": part}
    yield PREDICTION, {}
    if map_method:
        yield MAP, {} if map_method == "tsne" else {"method": map_method}
    yield REPORT, {}
