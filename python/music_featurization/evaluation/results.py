"""The results of 2-testing.py: writing them, and reading them together with the clips they belong to."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np

from music_featurization.artifacts import (
    STEP_4,
    TESTING,
    Artifacts,
    PipelineError,
    fingerprint,
    read_array,
    read_json,
    write_array,
    write_json,
)
from music_featurization.command_line import plural
from music_featurization.dataset import split
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


class Accuracy(TypedDict):
    """Accuracy of a group of clips; None if there is no clip."""

    clips: int
    accuracy: float | None


class TestSetResults(NamedTuple):
    """Predictions and the clips they belong to."""

    classes: tuple[str, ...]
    clips: pandas.DataFrame  # N rows with the columns of the split's CSVs
    trained: list[str] | None  # spectrograms of the training set; None without a split
    trained_on_this_split: bool | None  # whether the network was trained on that set; None if not known
    predicted: np.ndarray  # int, shape (N,)
    probabilities: np.ndarray  # as saved, shape (N, C)
    record: dict  # of 2-testing.py; {} for results of other origin

    @property
    def predictions(self) -> Predictions:
        """The arrays that the metrics are computed from."""
        return Predictions(self.clips["label"].to_numpy(), self.predicted, self.probabilities, self.classes)


def files(artifacts: Artifacts, part: str = "test") -> Files:
    """Return where the results of one of `PARTS` are stored; all but `test` have names of their own."""
    prediction, probabilities, record = artifacts.prediction, artifacts.probabilities, artifacts.testing_record
    features = artifacts.test_features
    if part != "test":
        prediction, probabilities, record, features = (
            path.with_stem(f"{path.stem}_{part}")
            for path in (prediction, probabilities, record, artifacts.music_dataset)
        )
    return Files(prediction, probabilities, features, features.with_suffix(".npz"), record)


def newest_table(artifacts: Artifacts, part: str = "test") -> Path:
    """Return the .npz of features, or the CSV beside it where that is newer or alone."""
    table, arrays = files(artifacts, part).features, files(artifacts, part).features_npz
    if arrays.exists() and not (table.exists() and table.stat().st_mtime_ns > arrays.stat().st_mtime_ns):
        return arrays
    return table


def read_clips(artifacts: Artifacts, part: str) -> pandas.DataFrame:
    """Read the clips of one part of the split, or of `all` three in the order train, val, test."""
    import pandas

    return pandas.concat([split.read_part(artifacts, name) for name in _parts(part)], ignore_index=True)


def _parts(part: str) -> tuple[str, ...]:
    return split.PARTS if part == "all" else (part,)


def read_record(artifacts: Artifacts, part: str = "test") -> dict:
    """Read the record of 2-testing.py; {} if there is none because the results come from elsewhere."""
    path = files(artifacts, part).record
    if not path.exists():
        return {}
    return read_json(path, TESTING, classes=list | None, model=str | None, network=dict | None, options=dict | None)


def require_finished(artifacts: Artifacts, part: str = "test") -> None:
    """Raise a PipelineError if 2-testing.py was interrupted while it replaced results: it writes the record last."""
    paths = files(artifacts, part)
    if paths.features_npz.exists() and not paths.record.exists():  # results that come from elsewhere have no .npz
        raise PipelineError(
            f"{paths.record} does not exist: {TESTING} was interrupted, and its results may be of several networks. "
            "Run it again."
        )


def new_record(artifacts: Artifacts, part: str, model_file: Path, classes: Sequence[str], options: dict) -> dict:
    """Describe what a run of 2-testing.py is made from.

    Returns
    -------
    dict
        `split`, `classes`, `model_file` (its name), `model` and `clips` (fingerprints), `network` (what the checkpoint
        says about its training), `options` (of the command line, as given), `date` (today).
    """
    network = checkpoints.read_about(model_file)
    return {
        "split": part,
        "classes": list(classes),
        "model_file": model_file.name,
        "model": fingerprint(model_file),
        "clips": fingerprint(*map(artifacts.split, _parts(part)), artifacts.spectrogram_settings),
        "network": {key: value for key, value in network.items() if key != "classes"},
        "options": options,
        "date": datetime.date.today().isoformat(),
    }


def is_up_to_date(artifacts: Artifacts, record: dict) -> bool:
    """Return whether the results exist and were made by a run of the same model over the same clips."""
    paths = files(artifacts, record["split"])
    if not all(path.exists() for path in paths):
        return False
    existing = read_json(paths.record, TESTING)
    return all(existing.get(key) == record[key] for key in ("split", "classes", "model", "clips"))


def _accuracies(clips: pandas.DataFrame, predicted: np.ndarray, trained: set[str] | None) -> dict[str, Accuracy]:
    is_right = predicted == clips["label"].to_numpy()
    groups = {"all": np.ones(len(is_right), dtype=bool)}
    if trained is not None:
        known = clips["spectrogram"].isin(trained).to_numpy()
        groups |= {"in_training": known, "not_in_training": ~known}
    return {
        name: {"clips": int(chosen.sum()), "accuracy": float(is_right[chosen].mean()) if chosen.any() else None}
        for name, chosen in groups.items()
    }


def describe(part: str, accuracy: dict[str, Accuracy], table: Path) -> str:
    """Describe what `write` returned in a line, and in further lines the clips that were in training and the others."""
    total = accuracy["all"]
    line = f"{plural(total['clips'], 'clip')} of {part} done, accuracy {total['accuracy']:.4f}: {table}"
    if part not in ("train", "all"):
        return line
    if "in_training" not in accuracy:
        return f"{line}\nwhich were in training is unknown: the network is not known to be trained on this split"
    for name, what in (("in_training", "in training"), ("not_in_training", "not in training")):
        group = accuracy[name]
        value = f", accuracy {group['accuracy']:.4f}" if group["clips"] else ""
        line += f"\n{group['clips']} of them were {what}{value}"
    return line


def write(
    artifacts: Artifacts, record: dict, clips: pandas.DataFrame, probabilities: np.ndarray, features: np.ndarray
) -> dict[str, Accuracy]:
    """Write the results of one part of the split.

    Parameters
    ----------
    record : dict
        As returned by `new_record`; the accuracies are added to it in the file.
    clips : pandas.DataFrame
        N rows with the columns of the split's CSVs. The .npz says for each clip whether it was `in_training`: yes, no,
        or unknown if the network is not known to be trained on this split.
    probabilities : numpy.ndarray, float32, shape (N, C)
        The class of highest probability, the first of equals, becomes the prediction.
    features : numpy.ndarray, float32, shape (N, D)

    Returns
    -------
    dict of str to Accuracy
        `all`, and if it is known what the network was trained on, `in_training` and `not_in_training`.
    """
    paths = files(artifacts, record["split"])
    is_known = _trained_on_this_split(artifacts, record)
    trained = set(read_clips(artifacts, "train")["spectrogram"]) if is_known else None
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    paths.record.unlink(missing_ok=True)  # written last: an interrupted run does not pass for a finished one
    write_array(paths.probabilities, probabilities.astype(np.float32))
    write_array(paths.prediction, predicted)
    feature_table.write_without_header(paths.features, [(name,) for name in _row_names(clips)], features)
    marks = ["unknown" if trained is None else "yes" if name in trained else "no" for name in clips["spectrogram"]]
    rows = clips[["clip_id", "spectrogram", "genre"]].assign(model=record["model"], in_training=marks)
    rows["recording"] = [tracks.find_recording(artifacts.mp3_files, name) for name in rows["spectrogram"]]
    feature_table.write(paths.features_npz, feature_table.FeatureTable(rows, features, artifacts.mp3_files))
    accuracy = _accuracies(clips, predicted, trained)
    write_json(paths.record, {**record, "accuracy": accuracy})
    return accuracy


def _row_names(clips: pandas.DataFrame) -> list[str]:
    columns = zip(clips["genre"], clips["clip_id"], clips["spectrogram"], strict=True)
    return [feature_table.row_name(*row) for row in columns]


def read(artifacts: Artifacts) -> TestSetResults:
    """Read the results of the test set and check that they belong to its clips.

    Without a split the clips are those that music_dataset_testing.csv names: results alone, such as the published
    original's, are enough for a report.

    Raises
    ------
    PipelineError
        If a file is missing or damaged, or the results are not those of this test set.
    """
    paths, record, classes = files(artifacts), read_record(artifacts), classes_of(artifacts)
    predicted = read_array(paths.prediction, TESTING, dimensions=1)
    probabilities = read_array(paths.probabilities, TESTING, dimensions=2)
    require_finished(artifacts)
    has_split = artifacts.split("test").exists()
    if has_split:
        clips, source = read_clips(artifacts, "test"), artifacts.split("test")
        trained = read_clips(artifacts, "train")["spectrogram"].tolist()
    else:
        clips, source = _clips_by_name(paths.features, classes), paths.features
        trained = None
    _require_equal_sizes(paths, len(clips), predicted, probabilities, source)
    _require_probabilities(paths, predicted, probabilities, classes)
    if has_split and paths.features.exists():
        _require_equal_names(paths.features, clips, classes, source)
    is_ours = _trained_on_this_split(artifacts, record)
    return TestSetResults(classes, clips, trained, is_ours, predicted.astype(int), probabilities, record)


def _trained_on_this_split(artifacts: Artifacts, record: dict) -> bool | None:
    trained_on = (record.get("network") or {}).get("split")
    if trained_on is None or not artifacts.split("test").exists():
        return None
    return trained_on == split.training_fingerprint(artifacts)


def classes_of(artifacts: Artifacts) -> tuple[str, ...]:
    """Return the genres in label order: the split's, those that 2-testing.py recorded, or MagnaTagATune's six."""
    if artifacts.split("test").exists():
        return split.read_classes(artifacts)
    return tuple(read_record(artifacts).get("classes") or GENRES)


def _clips_by_name(features: Path, classes: tuple[str, ...]) -> pandas.DataFrame:
    if not features.exists():
        raise PipelineError(
            "There is neither a split nor a music_dataset_testing.csv that says which clips were tested. "
            f"Run {STEP_4} and {TESTING} first."
        )
    clips = feature_table.read(features, classes).rows[["clip_id", "spectrogram", "genre"]]
    return clips.assign(label=[classes.index(genre) for genre in clips["genre"]])


def _require_equal_sizes(
    paths: Files, clips: int, predicted: np.ndarray, probabilities: np.ndarray, source: Path
) -> None:
    if not clips == len(predicted) == len(probabilities):
        raise PipelineError(
            f"The results do not match the split: {paths.prediction} has {len(predicted)} clips, "
            f"{paths.probabilities.name} {len(probabilities)}, {source} {clips}. "
            f"Run {TESTING} --overwrite, or give another --root for results of another split."
        )


def _require_probabilities(
    paths: Files, predicted: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]
) -> None:
    if probabilities.shape[1] != len(classes):
        problem = f"{paths.probabilities} has {probabilities.shape[1]} classes, the clips have {len(classes)} "
        problem += f"({', '.join(classes)})"
    elif not np.isin(predicted, np.arange(len(classes))).all():
        problem = f"{paths.prediction} contains labels outside 0-{len(classes) - 1}"
    elif not np.isfinite(probabilities).all() or (probabilities < 0).any():
        problem = f"{paths.probabilities} contains numbers that are not probabilities"
    else:
        return
    raise PipelineError(f"{problem}. Run {TESTING} --overwrite.")


def _require_equal_names(features: Path, clips: pandas.DataFrame, classes: tuple[str, ...], source: Path) -> None:
    """Compare the clips: another seed or grouping gives another test set, which may be of the same size."""
    try:
        in_table, in_split = (
            [feature_table.split_row_name(name, classes) for name in names]
            for names in (feature_table.read_row_names(features), _row_names(clips))
        )
    except ValueError as error:
        raise PipelineError(f"In {features} or {source}, {error}. Run {TESTING} --overwrite.") from error
    pairs = zip_longest(in_table, in_split, fillvalue=("no genre", "missing"))
    for number, (ours, theirs) in enumerate(pairs, start=1):
        if ours != theirs:
            raise PipelineError(
                f"The results do not match the split: clip {number} is {ours[1]} ({ours[0]}) in {features} and "
                f"{theirs[1]} ({theirs[0]}) in {source}. Run {TESTING} --overwrite."
            )
