"""The commands that made the results: which options were given, as each step recorded them."""

import argparse
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from music_featurization.artifacts import (
    FORMAT,
    PLOT,
    PREDICTION,
    PROVIDED_MODEL,
    REPORT,
    REPOSITORY,
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
from music_featurization.evaluation import test_results
from music_featurization.feature_tables import feature_table
from music_featurization.network import networks, recipe

NOT_RECORDED = ("root", "overwrite")
# Settings of a training that are always printed, and the defaults of others, which are printed if they differ.
ALWAYS_PRINTED = ("network", "epochs", "batch_size", "seed")
TRAINING_DEFAULTS = {"weights": networks.PRETRAINED, "fine_tune": False, "early_stop": 0, "keep": "all"}


def given_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict:
    """Return the options of a command line that differ from their defaults, ready for JSON.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    arguments : argparse.Namespace
        What `parser` returned.

    Returns
    -------
    dict
        Value by name; `--root` and `--overwrite` are left out, and a path is relative to the repository if it is
        inside.
    """
    defaults = vars(parser.parse_args([]))
    return {
        name: _from_repository(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
        if name not in NOT_RECORDED and (name not in defaults or value != defaults[name])
    }


def lines(artifacts: Artifacts, root: Path | None = None) -> list[str]:
    """Return the commands that make the results again, to be run in the repository's folder.

    Parameters
    ----------
    artifacts : Artifacts
    root : Path, optional
        The value of --root; None for the default.

    Returns
    -------
    list of str
        One line per command, with the options that the result depends on.
    """
    where = ["--root", _from_repository(root)] if root else []
    recorded = (*_data_set(artifacts), *_training(artifacts), *_testing(artifacts))
    made = []
    for script, options in recorded:
        if "genres" in options and any("," in name for name in options["genres"]):
            names = shlex.join(options["genres"])
            made.append(f"printf '%s\\n' {names} > genres.txt")
            options = options | {"genres": "genres.txt"}
        made.append(shlex.join(["python3", script, *where, *_words(options)]))
    return made


def _from_repository(path: Path) -> str:
    path = Path(os.path.abspath(path.expanduser()))
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)


def _words(options: dict) -> list[str]:
    words = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        value = ",".join(map(str, value)) if isinstance(value, list) else value
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def _settings(path: Path) -> dict:
    return read_json(path, "the step", settings=dict | None).get("settings") or {} if path.exists() else {}


def _data_set(artifacts: Artifacts) -> Iterator[tuple[str, dict]]:
    """Steps 0 to 4 as far as they were run."""
    demo = _settings(artifacts.demo_manifest)
    if demo:
        yield STEP_0, {name: demo.get(name) for name in ("pieces", "seed")}
    if artifacts.spectrogram_settings.exists():
        yield STEP_1, {}
    if artifacts.tagged.exists():
        yield STEP_2, _settings(artifacts.tagged_settings)
    if artifacts.genres.exists():
        priority = _settings(artifacts.genres_settings).get("priority")
        is_known = isinstance(priority, list) and priority != list(genres.PRIORITY)
        options = {"genres": [str(genre) for genre in priority]} if is_known else {}
        yield STEP_3, options
    if artifacts.split("test").exists():
        split = _settings(artifacts.split_settings)
        yield (
            STEP_4,
            {name: split.get(name) for name in ("group_by", "split_by", "split_from")},
        )


def _training(artifacts: Artifacts) -> Iterator[tuple[str, dict]]:
    """Training and curves; nothing where the provided network is used."""
    if not artifacts.training_settings.exists():
        return
    settings = read_json(artifacts.training_settings, TRAINING, settings=dict | None).get("settings") or {}
    defaults = TRAINING_DEFAULTS | recipe.RECIPES.get(str(settings.get("network")), {})
    options = {name: settings[name] for name in ALWAYS_PRINTED if name in settings}
    for name, default in defaults.items():
        if settings.get(name, default) != default and name not in ALWAYS_PRINTED:
            options[name] = "off" if default is True else settings[name]
    if settings.get("start_from"):
        options["start_from"] = _checkpoint(settings["start_from"])
    yield TRAINING, options
    yield PLOT, {}


def _checkpoint(made: str) -> str:
    """Return the path of a checkpoint by its fingerprint, as far as it can be known."""
    provided = PROVIDED_MODEL.exists() and fingerprint(PROVIDED_MODEL) == made
    return _from_repository(PROVIDED_MODEL) if provided else f"CHECKPOINT_{made}"


def _testing(artifacts: Artifacts) -> Iterator[tuple[str, dict]]:
    """Testing and what follows; another part of the split only if music_dataset.csv was made of it."""
    about = test_results.record(artifacts)
    if about:
        yield TESTING, about.get("options") or {}
    arrays = artifacts.music_dataset_arrays
    if arrays.exists():
        rows = feature_table.read(arrays).rows
        part = rows["split"].iloc[0] if "split" in rows else "test"
        if part != "test":
            yield TESTING, test_results.record(artifacts, part).get("options") or {"split": part}
        yield FORMAT, {} if part == "test" else {"split": part}
    yield PREDICTION, {}
    yield REPORT, {}
