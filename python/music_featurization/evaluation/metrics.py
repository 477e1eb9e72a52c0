"""Metrics of a classification, for any number of classes."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from music_featurization.artifacts import STEP_4, PipelineError
from music_featurization.dataset.clip_names import parse

ROW_SUM_TOLERANCE = 1e-3  # how far a row of float32 probabilities may be from 1


class Predictions(NamedTuple):
    """Predictions for N clips and C classes."""

    truth: np.ndarray  # labels from 0 to C - 1, shape (N,)
    predicted: np.ndarray  # labels, shape (N,)
    probabilities: np.ndarray  # 0 or more, shape (N, C); rows need not sum to 1
    classes: Sequence[str]  # genre of each label


class ClassMetrics(TypedDict):
    """Metrics of one class."""

    genre: str
    precision: float
    recall: float | None  # None for a class without a clip, as the F-score
    f_score: float | None
    support: int  # clips


class Metrics(TypedDict):
    """Metrics of a set of clips, ready for JSON.

    A class without a clip has no recall, so balanced accuracy, F-score and ROC AUC are means over the classes that are
    present; `absent` names the others.
    """

    clips: int
    accuracy: float
    balanced_accuracy: float
    matthews: float
    f_score: float
    top: dict[str, float]  # top-k accuracy for k = "1", "2" and "3"
    roc_auc: float | None  # one class against the others, of rows that sum to 1; None if fewer than two are present
    roc_auc_as_saved: float | None  # the same of the rows as they are
    rows_not_summing_to_1: int
    confusion: list[list[int]]  # clips by true class (rows) and predicted class (columns)
    per_class: list[ClassMetrics]
    absent: list[str]


class Leakage(TypedDict):
    """How much of a result depends on songs and artists of the training set."""

    song_share: float  # share of the test clips whose song is in the training set, 0 to 1
    artist_share: float
    other_songs: Metrics | None  # of the clips whose song is not; None if there is none


class FrontEndMetrics(TypedDict):
    """The test clips that a pre-trained front end has heard in its own training; all None if that is not known."""

    heard_clips: int | None
    heard_share: float | None  # 0 to 1
    other_clips: Metrics | None  # of the clips that it has not heard; None if there is none


class Measurement(Metrics):
    """All metrics of a test set."""

    leakage: Leakage | None  # None if the training set is not known
    trained_on_this_split: bool | None  # None if that is not known
    front_end: FrontEndMetrics | None  # None for a network without a pre-trained front end


def evaluate(predictions: Predictions) -> Metrics:
    """Compute all metrics of a set of clips; raise a PipelineError if there is no clip."""
    from sklearn import metrics

    truth, predicted, probabilities, classes = predictions
    if len(truth) == 0:
        raise PipelineError(f"The test set is empty: there is nothing to measure. Run {STEP_4}.")
    per_class = _evaluate_classes(predictions)
    present, normalised = [row for row in per_class if row["support"]], normalise(probabilities)
    sums, labels = np.asarray(probabilities, np.float64).sum(axis=1), np.union1d(truth, predicted)
    return {
        "clips": len(truth),
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "balanced_accuracy": float(np.mean([row["recall"] for row in present])),
        "matthews": float(metrics.matthews_corrcoef(truth, predicted)) if len(labels) > 1 else 0.0,
        "f_score": float(np.mean([row["f_score"] for row in present])),
        "top": {str(k): top_k_accuracy(truth, normalised, k) for k in (1, 2, 3)},
        "roc_auc": roc_auc(truth, normalised),
        "roc_auc_as_saved": roc_auc(truth, probabilities),
        "rows_not_summing_to_1": int((np.abs(sums - 1) > ROW_SUM_TOLERANCE).sum()),
        "confusion": metrics.confusion_matrix(truth, predicted, labels=range(len(classes))).tolist(),
        "per_class": per_class,
        "absent": [row["genre"] for row in per_class if not row["support"]],
    }


def _evaluate_classes(predictions: Predictions) -> list[ClassMetrics]:
    from sklearn.metrics import precision_recall_fscore_support

    truth, predicted, _, classes = predictions
    scores = precision_recall_fscore_support(truth, predicted, labels=range(len(classes)), zero_division=0)
    return [
        {
            "genre": genre,
            "precision": float(precision),
            "recall": float(recall) if support else None,
            "f_score": float(f_score) if support else None,
            "support": int(support),
        }
        for genre, precision, recall, f_score, support in zip(classes, *scores, strict=True)
    ]


def normalise(probabilities: np.ndarray) -> np.ndarray:
    """Scale every row of probabilities, shape (N, C), to sum to 1; a row of zeros becomes 1 / C everywhere."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    sums = probabilities.sum(axis=1, keepdims=True)
    equal = np.full_like(probabilities, 1 / probabilities.shape[1])
    return np.divide(probabilities, sums, out=equal, where=sums > 0)


def top_k_accuracy(truth: np.ndarray, probabilities: np.ndarray, k: int) -> float:
    """Compute the share of clips whose true class is among the `k` most probable.

    Of equally probable classes, those with the lower labels come first. Unlike scikit-learn's function, this one
    accepts two classes, and a `k` above the number of classes.
    """
    ranked = np.argsort(-np.asarray(probabilities), axis=1, kind="stable")[:, :k]
    return float((ranked == np.asarray(truth)[:, None]).any(axis=1).mean())


def roc_auc(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """Compute the area under the ROC curve, one class against the others, as a mean over the classes present.

    It is None when fewer than two classes are present, because then no curve is defined.
    """
    from sklearn.metrics import roc_auc_score

    present = np.unique(truth)
    if len(present) < 2:
        return None
    return float(np.mean([roc_auc_score(truth == label, scores[:, label]) for label in present]))


def _evaluate_part(predictions: Predictions, chosen: np.ndarray) -> Metrics | None:
    """Compute the metrics of the clips where `chosen`, an array of bool, is true; None when there is none."""
    if not chosen.any():
        return None
    truth, predicted, probabilities = (np.asarray(array)[chosen] for array in predictions[:3])
    return evaluate(Predictions(truth, predicted, probabilities, predictions.classes))


def evaluate_leakage(predictions: Predictions, tested: Sequence[str], trained: Sequence[str]) -> Leakage:
    """Measure how much of a result depends on songs and artists that the network was trained on.

    `tested` and `trained` are the paths of the N clips and of those of the training set, named as in MagnaTagATune.
    """
    known = [parse(path) for path in trained]
    songs, artists = {clip.song for clip in known}, {clip.artist for clip in known}
    clips = [parse(path) for path in tested]
    is_shared = np.array([clip.song in songs for clip in clips], dtype=bool)
    return {
        "song_share": float(is_shared.mean()),
        "artist_share": float(np.mean([clip.artist in artists for clip in clips])),
        "other_songs": _evaluate_part(predictions, ~is_shared),
    }


def evaluate_unheard(predictions: Predictions, heard: np.ndarray | None) -> FrontEndMetrics:
    """Measure the result on clips that were not in the training of a pre-trained front end.

    `heard` is a bool for each clip, or None if that is not known.
    """
    if heard is None:
        return {"heard_clips": None, "heard_share": None, "other_clips": None}
    return {
        "heard_clips": int(heard.sum()),
        "heard_share": float(heard.mean()),
        "other_clips": _evaluate_part(predictions, ~heard),
    }
