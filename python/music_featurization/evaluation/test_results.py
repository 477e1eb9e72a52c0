"""What 2-testing.py leaves in results/: its files, and reading them back with the clips they belong to."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.artifacts import (
    STEP_4,
    TESTING,
    Artifacts,
    PipelineError,
    fingerprint,
    read_array,
    read_json,
    replacing,
    write_json,
)
from music_featurization.dataset.genres import GENRES
from music_featurization.evaluation.metrics import Predictions
from music_featurization.feature_tables import feature_table, tracks
from music_featurization.network import checkpoints

if TYPE_CHECKING:
    import pandas

PARTS = ("test", "val", "train", "all")


class Files(NamedTuple):
    """Paths of what 2-testing.py writes for one part of the split."""

    prediction: Path
    probabilities: Path
    features: Path
    features_npz: Path
    record: Path  # JSON: the fingerprints of the model and the clips, and the classes

    def exist(self):
        """Tell whether all of them are there."""
        return all(path.exists() for path in self)


class Tested(NamedTuple):
    """Predictions and the clips they belong to.

    `clips` has the columns of the split's CSVs; `trained` are the spectrograms of the training set, None when not
    known; `trained_on_this_split` tells whether the network learned from just these, None when not known;
    `predicted` (N,) int; `probabilities` (N, C) float as saved; `about` is the record of 2-testing.py, {} for results
    of other origin.
    """

    classes: tuple[str, ...]
    clips: pandas.DataFrame
    trained: list[str] | None
    trained_on_this_split: bool | None
    predicted: np.ndarray
    probabilities: np.ndarray
    about: dict

    @property
    def predictions(self) -> Predictions:
        """The arrays that the metrics are computed from."""
        return Predictions(self.clips["label"].to_numpy(), self.predicted, self.probabilities, self.classes)


def files(artifacts, part="test"):
    """Where the results of one part of the split are stored.

    Parameters
    ----------
    artifacts : Artifacts
    part : {"test", "val", "train", "all"}
        All but `test` have names of their own, so that they never replace the test's.

    Returns
    -------
    Files
    """
    folder = artifacts.results
    if part == "test":
        prediction, probabilities, features = artifacts.prediction, artifacts.probabilities, artifacts.test_features
        record = artifacts.testing_record
    else:
        prediction = folder / f"prediction_{part}.npy"
        probabilities = folder / f"prediction_probabilities_{part}.npy"
        features = folder / f"music_dataset_{part}.csv"
        record = folder / f"testing_{part}.json"
    return Files(prediction, probabilities, features, features.with_suffix(".npz"), record)


def newest_table(artifacts: Artifacts, part: str = "test") -> Path:
    """Return the .npz of features, or the CSV beside it where that is newer or alone."""
    table, arrays = files(artifacts, part).features, files(artifacts, part).features_npz
    if arrays.exists() and not (table.exists() and table.stat().st_mtime_ns > arrays.stat().st_mtime_ns):
        return arrays
    return table


def read_clips(artifacts, part):
    """Clips of one part of the split, or of `all` three in the order train, val, test; see `split.read_part`."""
    import pandas

    from music_featurization.dataset import split

    parts = ("train", "val", "test") if part == "all" else (part,)
    return pandas.concat([split.read_part(artifacts, part) for part in parts], ignore_index=True)


def record(artifacts, part="test"):
    """The record of 2-testing.py, {} where there is none because the results come from elsewhere."""
    path = files(artifacts, part).record
    if not path.exists():
        return {}
    return read_json(path, TESTING, classes=list | None, model=str | None, network=dict | None, options=dict | None)


def about_run(artifacts, part, model_file, classes, options=None):
    """What a run of 2-testing.py is made from.

    Parameters
    ----------
    artifacts : Artifacts
    part : str
        Of the split; see `files`.
    model_file : Path
    classes : sequence of str
    options : dict, optional
        Options of the command line that were given.

    Returns
    -------
    dict
        `split`, `classes`, `model_file` (its name), `model` and `clips` (fingerprints), `network` (what the model says
        of its training), `options`, `date` (today).
    """
    known = {key: value for key, value in checkpoints.read_about(model_file).items() if key != "classes"}
    parts = ("train", "val", "test") if part == "all" else (part,)
    return {
        "split": part,
        "classes": list(classes),
        "model_file": model_file.name,
        "model": fingerprint(model_file),
        "clips": fingerprint(*map(artifacts.split, parts), artifacts.spectrogram_settings),
        "network": known,
        "options": options or {},
        "date": datetime.date.today().isoformat(),
    }


def is_up_to_date(paths, about):
    """Tell whether the files exist and were made by a run of the same model over the same clips."""
    return paths.exist() and all(
        read_json(paths.record, TESTING).get(key) == about[key] for key in ("split", "classes", "model", "clips")
    )


def training_clips(artifacts: Artifacts, about: dict) -> set[str] | None:
    """Return the spectrograms that a network was trained on; None when it is not known to be trained on this split.

    Parameters
    ----------
    artifacts : Artifacts
    about : dict
        As `about_run` returns it.

    Returns
    -------
    set of str or None
    """
    return set(read_clips(artifacts, "train")["spectrogram"]) if _trained_on_this_split(artifacts, about) else None


def accuracies(clips: pandas.DataFrame, probabilities: np.ndarray, trained: set[str] | None) -> dict:
    """Accuracy of clips, apart for those that the network was trained on.

    Parameters
    ----------
    clips : pandas.DataFrame
        N rows with the columns of the split's CSVs.
    probabilities : numpy.ndarray of float, shape (N, C)
    trained : set of str or None
        As `training_clips` returns it.

    Returns
    -------
    dict
        `all`, and where `trained` is known `in_training` and `not_in_training`: each a dict of `clips` and `accuracy`
        (None without clips).
    """
    right = probabilities.argmax(axis=1) == clips["label"].to_numpy()
    groups = {"all": np.ones(len(right), dtype=bool)}
    if trained is not None:
        known = clips["spectrogram"].isin(trained).to_numpy()
        groups |= {"in_training": known, "not_in_training": ~known}
    return {
        name: {"clips": int(chosen.sum()), "accuracy": float(right[chosen].mean()) if chosen.any() else None}
        for name, chosen in groups.items()
    }


def describe(part: str, found: dict, features: Path) -> str:
    """Say how many clips are right; apart for those in training unless the part has none of them.

    Parameters
    ----------
    part : str
        Of the split.
    found : dict
        As `accuracies` returns it.
    features : Path
        The table that was written.
    """
    line = f"{found['all']['clips']} clips of {part} done, accuracy {found['all']['accuracy']:.4f}: {features}"
    if part not in ("train", "all"):
        return line
    if "in_training" not in found:
        return f"{line}\nwhich were in training is unknown: the network is not known to be trained on this split"
    for name, what in (("in_training", "in training"), ("not_in_training", "not in training")):
        accuracy = f", accuracy {found[name]['accuracy']:.4f}" if found[name]["clips"] else ""
        line += f"\n{found[name]['clips']} of them were {what}{accuracy}"
    return line


def write(paths, clips, classes, probabilities, features, about, trained=None, mp3_files=None):
    """Write the results of one part of the split.

    Parameters
    ----------
    paths : Files
    clips : pandas.DataFrame
        N rows with the columns of the split's CSVs.
    classes : sequence of str, length C
    probabilities : numpy.ndarray of float32, shape (N, C)
        The class of highest probability, the first of equals, becomes the prediction.
    features : numpy.ndarray of float32, shape (N, D)
    about : dict
        As `about_run` returns it; `accuracies` are added to it in the record.
    trained : set of str or None
        As `training_clips` returns it: the .npz says of every clip whether it was `in_training` (yes, no, unknown).
    mp3_files : Path, optional
        The folder of the recordings, whose paths are stored in the .npz.
    """
    paths.record.unlink(missing_ok=True)  # comes back last: an interrupted run does not pass for a finished one
    for path, array in (
        (paths.probabilities, probabilities.astype(np.float32)),
        (paths.prediction, probabilities.argmax(axis=1).astype(np.int64)),
    ):
        with replacing(path) as temporary:
            np.save(temporary, array)
    columns = zip(clips["genre"], clips["clip_id"], clips["spectrogram"], strict=True)
    names = [feature_table.row_name(*row) for row in columns]
    feature_table.write_without_header(paths.features, [(name,) for name in names], features)
    known = ["unknown" if trained is None else "yes" if name in trained else "no" for name in clips["spectrogram"]]
    rows = clips[["clip_id", "spectrogram", "genre"]].assign(model=about["model"], in_training=known, recording="")
    if mp3_files is not None:
        rows["recording"] = [tracks.find_recording(mp3_files, name) for name in rows["spectrogram"]]
    table = feature_table.FeatureTable(rows, features, mp3_files or paths.features.parent)
    feature_table.write(paths.features_npz, table)
    write_json(paths.record, {**about, "accuracy": accuracies(clips, probabilities, trained)})


def read(artifacts):
    """Read the results of the test set and check that they belong to its clips.

    Parameters
    ----------
    artifacts : Artifacts

    Returns
    -------
    Tested
        Where there is no split the clips are those that music_dataset_testing.csv names: results alone, such as the
        published original's, are enough for a report.

    Raises
    ------
    PipelineError
        If a file is missing or damaged, or the results are not those of this test set.
    """
    paths = files(artifacts)
    predicted = read_array(paths.prediction, TESTING, dimensions=1)
    probabilities = read_array(paths.probabilities, TESTING, dimensions=2)
    about = record(artifacts)
    if artifacts.split("test").exists():
        classes, clips, trained = _clips_of_split(artifacts)
    else:
        classes, clips, trained = _clips_by_name(paths.features, about)
    _check_sizes(artifacts, len(clips), predicted, probabilities)
    _check_values(paths, predicted, probabilities, classes)
    if trained is not None and paths.features.exists():
        _check_names(artifacts, paths.features, clips, classes)
    here = _trained_on_this_split(artifacts, about)
    return Tested(classes, clips, trained, here, predicted.astype(int), probabilities, about)


def _trained_on_this_split(artifacts, about):
    trained_on = (about.get("network") or {}).get("split")
    if trained_on is None or not artifacts.split("test").exists():
        return None
    from music_featurization.dataset import split

    return trained_on == split.training_fingerprint(artifacts)


def _clips_of_split(artifacts):
    from music_featurization.dataset import split

    trained = read_clips(artifacts, "train")["spectrogram"].tolist()
    return tuple(split.read_classes(artifacts)), read_clips(artifacts, "test"), trained


def classes_of(artifacts):
    """Genres in label order: the split's, else those 2-testing.py wrote down, else the six of MagnaTagATune."""
    from music_featurization.dataset import split

    if artifacts.split("test").exists():
        return tuple(split.read_classes(artifacts))
    return tuple(record(artifacts).get("classes") or GENRES)


def _clips_by_name(features, about):
    import pandas

    classes = tuple(about.get("classes") or GENRES)
    if not features.exists():
        raise PipelineError(
            "There is neither a split nor a music_dataset_testing.csv to tell which clips were tested. "
            f"Run {STEP_4} and {TESTING} first."
        )
    rows = [feature_table.split_row_name(name, classes) for name in feature_table.read_row_names(features)]
    clips = pandas.DataFrame(
        {
            "clip_id": [clip.partition("_")[0] for _, clip in rows],
            "spectrogram": [f"{clip.partition('_')[2]}.npy" for _, clip in rows],
            "genre": [genre for genre, _ in rows],
            "label": [classes.index(genre) for genre, _ in rows],
        }
    )
    return classes, clips, None


def _check_sizes(artifacts, clips, predicted, probabilities):
    if not clips == len(predicted) == len(probabilities):
        where = artifacts.split("test")
        where = where if where.exists() else artifacts.test_features
        raise PipelineError(
            f"The results do not match the split: {artifacts.prediction} has {len(predicted)} clips, "
            f"{artifacts.probabilities.name} {len(probabilities)}, {where} {clips}. "
            f"Run {TESTING} --overwrite, or give another --root for results of another split."
        )


def _check_values(paths, predicted, probabilities, classes):
    if probabilities.shape[1] != len(classes):
        raise PipelineError(
            f"{paths.probabilities} has {probabilities.shape[1]} classes, the clips have {len(classes)} "
            f"({', '.join(classes)}). Run {TESTING} --overwrite."
        )
    if not np.isin(predicted, np.arange(len(classes))).all():
        raise PipelineError(f"{paths.prediction} holds labels outside 0-{len(classes) - 1}. Run {TESTING} --overwrite.")
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        raise PipelineError(
            f"{paths.probabilities} holds numbers that are no probabilities. Run {TESTING} --overwrite."
        )


def _check_names(artifacts, features, clips, classes):
    """Equal numbers of clips do not make equal clips: another seed or grouping gives another test set."""
    tested = [feature_table.split_row_name(name, classes) for name in feature_table.read_row_names(features)]
    columns = zip(clips["genre"], clips["clip_id"], clips["spectrogram"], strict=True)
    of_split = [feature_table.split_row_name(feature_table.row_name(*row), classes) for row in columns]
    for number, (ours, theirs) in enumerate(zip(tested, of_split, strict=False), start=1):
        if ours != theirs:
            raise PipelineError(
                f"The results do not match the split: clip {number} is {ours[1]} ({ours[0]}) in {features} and "
                f"{theirs[1]} ({theirs[0]}) in {artifacts.split('test')}. Run {TESTING} --overwrite."
            )
    if len(tested) != len(of_split):
        raise PipelineError(
            f"The results do not match the split: {features} has {len(tested)} clips, {artifacts.split('test')} "
            f"{len(of_split)}. Run {TESTING} --overwrite."
        )
