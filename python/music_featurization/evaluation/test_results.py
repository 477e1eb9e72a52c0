"""What 2-testing.py leaves in results/: its files, and reading them back with the clips they belong to."""

from typing import NamedTuple

import numpy as np

from music_featurization.artifacts import PipelineError, fingerprint, read_array, read_json, replacing, write_json
from music_featurization.dataset.genres import GENRES
from music_featurization.evaluation import metrics
from music_featurization.features import feature_table
from music_featurization.network import checkpoints

TESTING = "python/2-testing.py"
PARTS = ("test", "val", "train", "all")


class Files(NamedTuple):
    """Paths of what 2-testing.py writes for one part of the split."""

    prediction: object
    probabilities: object
    features: object
    features_npz: object
    record: object  # JSON: the fingerprints of the model and the clips, and the classes

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

    classes: tuple
    clips: object
    trained: list | None
    trained_on_this_split: bool | None
    predicted: np.ndarray
    probabilities: np.ndarray
    about: dict


def files(artifacts, part="test"):
    """Where the results of one part of the split lie.

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
        record = folder / "testing.json"
    else:
        prediction = folder / f"prediction_{part}.npy"
        probabilities = folder / f"prediction_probabilities_{part}.npy"
        features = folder / f"music_dataset_{part}.csv"
        record = folder / f"testing_{part}.json"
    return Files(prediction, probabilities, features, features.with_suffix(".npz"), record)


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
    return read_json(path, TESTING, classes=list | None, model=str | None, network=dict | None)


def about_run(artifacts, part, model_file, classes):
    """What a run of 2-testing.py is made from.

    Parameters
    ----------
    artifacts : Artifacts
    part : str
        Of the split; see `files`.
    model_file : Path
    classes : sequence of str

    Returns
    -------
    dict
        `split`, `classes`, `model_file` (its name), `model` and `clips` (fingerprints), `network` (what the model says
        of its training).
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
    }


def is_made(paths, about):
    """Tell whether the files exist and were made by a run of the same model over the same clips."""
    return paths.exist() and all(
        read_json(paths.record, TESTING).get(key) == about[key] for key in ("split", "classes", "model", "clips")
    )


def write(paths, clips, classes, probabilities, features, about):
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
        That of `about_run`, for `is_made`.
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
    feature_table.write_csv(paths.features, [(name,) for name in names], features)
    feature_table.write_npz(
        paths.features_npz, features, names, clips["genre"], classes=list(classes), model=about["model"]
    )
    write_json(paths.record, about)


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


def measure(results):
    """All metrics of results; see `metrics.evaluate_with_leakage`, to which it adds `trained_on_this_split`."""
    found = metrics.evaluate_with_leakage(
        results.clips["label"].to_numpy(),
        results.predicted,
        results.probabilities,
        results.classes,
        results.clips["spectrogram"],
        results.trained,
    )
    return {**found, "trained_on_this_split": results.trained_on_this_split}


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
            f"Run datasets_utils/4_save_train_and_test.py and {TESTING} first."
        )
    rows = [feature_table.split_row_name(name, classes) for name in feature_table.read_names(features)]
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
    tested = [feature_table.split_row_name(name, classes) for name in feature_table.read_names(features)]
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
