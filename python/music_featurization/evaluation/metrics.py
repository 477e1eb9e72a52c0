"""Metrics of a classification, for any number of classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from music_featurization.artifacts import STEP_4, PipelineError
from music_featurization.dataset.clip_names import parse

ROW_SUM_TOLERANCE = 1e-3  # how far a row of float32 probabilities may be from 1


class Predictions(NamedTuple):
    """Predictions for N clips and C classes.

    `truth` and `predicted` are labels from 0 to C - 1, shape (N,). `probabilities` are 0 or more, shape (N, C); their
    rows need not sum to 1. `classes` is the genre of each label.
    """

    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    classes: Sequence[str]

    def select(self, chosen: np.ndarray) -> "Predictions":
        """Return the predictions for the clips where `chosen`, an array of bool, is true."""
        truth, predicted, probabilities = (np.asarray(array)[chosen] for array in self[:3])
        return Predictions(truth, predicted, probabilities, self.classes)


def evaluate(predictions: Predictions) -> dict:
    """Compute all metrics of a set of clips.

    Returns
    -------
    dict
        Ready for JSON: `clips`, `accuracy`, `balanced_accuracy`, `matthews`, `f_score` (macro), `top` ({"1": ...}),
        `roc_auc` (macro, one against rest, rows normalised) and `roc_auc_as_saved` (both None where undefined),
        `rows_not_summing_to_1`, `confusion` (C lists of C counts; rows are the truth), `per_class`, `absent`.

    Raises
    ------
    PipelineError
        If there is no clip.

    Notes
    -----
    A class without a clip in `truth` has no recall, so balanced accuracy, F-score and ROC AUC are means over the
    classes that are present; `absent` names the others.
    """
    from sklearn import metrics

    truth, predicted, probabilities, classes = predictions
    if len(truth) == 0:
        raise PipelineError(f"The test set is empty: there is nothing to measure. Run {STEP_4}.")
    labels = np.arange(len(classes))
    precision, recall, f_score, support = metrics.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=0
    )
    present, normalised = support > 0, normalise(probabilities)
    sums = np.asarray(probabilities, np.float64).sum(axis=1)
    return {
        "clips": len(truth),
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "balanced_accuracy": float(recall[present].mean()),
        "matthews": float(metrics.matthews_corrcoef(truth, predicted)),
        "f_score": float(f_score[present].mean()),
        "top": {str(k): top_k_accuracy(truth, normalised, k) for k in (1, 2, 3)},
        "roc_auc": roc_auc(truth, normalised),
        "roc_auc_as_saved": roc_auc(truth, probabilities),
        "rows_not_summing_to_1": int((np.abs(sums - 1) > ROW_SUM_TOLERANCE).sum()),
        "confusion": metrics.confusion_matrix(truth, predicted, labels=labels).tolist(),
        "per_class": [
            {
                "genre": genre,
                "precision": float(precision[label]),
                "recall": float(recall[label]) if present[label] else None,
                "f_score": float(f_score[label]) if present[label] else None,
                "support": int(support[label]),
            }
            for label, genre in enumerate(classes)
        ],
        "absent": [genre for genre, is_present in zip(classes, present, strict=True) if not is_present],
    }


def normalise(probabilities: np.ndarray) -> np.ndarray:
    """Scale every row to sum to 1.

    Parameters
    ----------
    probabilities : numpy.ndarray of float, shape (N, C)
        0 or more. A row of zeros becomes 1 / C everywhere.

    Returns
    -------
    numpy.ndarray, float64, shape (N, C)
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    sums = probabilities.sum(axis=1, keepdims=True)
    equal = np.full_like(probabilities, 1 / probabilities.shape[1])
    return np.divide(probabilities, sums, out=equal, where=sums > 0)


def top_k_accuracy(truth: np.ndarray, probabilities: np.ndarray, k: int) -> float:
    """Compute the share of clips whose true class is among the `k` most probable; of equal ones the lower label counts.

    Unlike scikit-learn's function it accepts two classes, and a `k` above the number of classes.
    """
    ranked = np.argsort(-np.asarray(probabilities), axis=1, kind="stable")[:, :k]
    return float((ranked == np.asarray(truth)[:, None]).any(axis=1).mean())


def roc_auc(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """Compute the area under the ROC curve, one class against the others, as a mean over the classes present.

    Parameters
    ----------
    truth : numpy.ndarray of int, shape (N,)
    scores : numpy.ndarray of float, shape (N, C)

    Returns
    -------
    float or None
        Between 0 and 1; None when fewer than two classes are present, because then no curve is defined.
    """
    from sklearn.metrics import roc_auc_score

    present = np.unique(truth)
    if len(present) < 2:
        return None
    return float(np.mean([roc_auc_score(truth == label, scores[:, label]) for label in present]))


def evaluate_part(predictions: Predictions, chosen: np.ndarray) -> dict | None:
    """Compute the metrics of the clips where `chosen`, an array of bool, is true; None when there is none."""
    return evaluate(predictions.select(chosen)) if chosen.any() else None


def evaluate_leakage(predictions: Predictions, tested: Sequence[str], trained: Sequence[str]) -> dict:
    """Measure how much of a result depends on songs and artists that the network was trained on.

    Parameters
    ----------
    predictions : Predictions
    tested : sequence of str, length N
        Paths of the clips or their spectrograms, named as in MagnaTagATune.
    trained : sequence of str
        The same of the training set.

    Returns
    -------
    dict
        `song_share` and `artist_share`, the shares of clips (0 to 1) whose song or artist is in the training set, and
        `other_songs`, the metrics of the clips whose song is not (None when there is none).
    """
    known = [parse(path) for path in trained]
    songs, artists = {clip.song for clip in known}, {clip.artist for clip in known}
    clips = [parse(path) for path in tested]
    is_shared = np.array([clip.song in songs for clip in clips], dtype=bool)
    return {
        "song_share": float(is_shared.mean()),
        "artist_share": float(np.mean([clip.artist in artists for clip in clips])),
        "other_songs": evaluate_part(predictions, ~is_shared),
    }


def evaluate_unheard(predictions: Predictions, heard: np.ndarray | None) -> dict:
    """Measure the result on clips that were not in the own training of a pre-trained front end.

    Parameters
    ----------
    predictions : Predictions
    heard : numpy.ndarray of bool, shape (N,), or None
        Clips that were in the front end's training; None when that is not known.

    Returns
    -------
    dict
        `heard_clips`, `heard_share` (0 to 1) and `other_clips`, the metrics of the clips that were not heard (None when
        there is none); all None when `heard` is None.
    """
    if heard is None:
        return dict.fromkeys(("heard_clips", "heard_share", "other_clips"))
    return {
        "heard_clips": int(heard.sum()),
        "heard_share": float(heard.mean()),
        "other_clips": evaluate_part(predictions, ~heard),
    }
