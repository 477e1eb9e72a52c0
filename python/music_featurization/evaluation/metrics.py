"""How good a classification is: every number of the report, for any number of classes."""

import numpy as np

from music_featurization.artifacts import STEP_4, PipelineError
from music_featurization.dataset.clip_names import parse

ROW_SUM_TOLERANCE = 1e-3  # how far a row of float32 probabilities may be from 1


def evaluate(truth, predicted, probabilities, classes):
    """All metrics of one set of clips.

    Parameters
    ----------
    truth, predicted : array of int, shape (N,)
        Labels from 0 to C - 1; N at least 1.
    probabilities : array of float, shape (N, C)
        As saved: at least 0; the rows need not sum to 1.
    classes : sequence of str, length C
        Genre of each label.

    Returns
    -------
    dict
        Ready for JSON: `clips`, `accuracy`, `balanced_accuracy`, `matthews`, `f_score` (macro), `top` ({"1": ...}),
        `roc_auc` (macro, one against rest, rows normalised) and `roc_auc_as_saved` (both None where undefined),
        `rows_not_summing_to_1`, `confusion` (C lists of C counts; rows are the truth), `per_class`, `absent`.

    Notes
    -----
    A class without a clip in `truth` has no recall, so balanced accuracy, F-score and ROC AUC are means over the
    classes that are present; `absent` names the others.
    """
    from sklearn import metrics

    truth, predicted = np.asarray(truth), np.asarray(predicted)
    labels = np.arange(len(classes))
    precision, recall, f_score, support = metrics.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=0
    )
    present = support > 0
    normalised = normalise(probabilities)
    return {
        "clips": len(truth),
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "balanced_accuracy": float(recall[present].mean()),
        "matthews": float(metrics.matthews_corrcoef(truth, predicted)),
        "f_score": float(f_score[present].mean()),
        "top": {str(k): top_k_accuracy(truth, normalised, k) for k in (1, 2, 3)},
        "roc_auc": roc_auc(truth, normalised),
        "roc_auc_as_saved": roc_auc(truth, probabilities),
        "rows_not_summing_to_1": int((np.abs(_row_sums(probabilities) - 1) > ROW_SUM_TOLERANCE).sum()),
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


def _row_sums(probabilities):
    return np.asarray(probabilities, dtype=np.float64).sum(axis=1)


def normalise(probabilities):
    """Scale every row to sum to 1.

    Parameters
    ----------
    probabilities : array of float, shape (N, C)
        At least 0. A row of zeros becomes 1 / C everywhere.

    Returns
    -------
    numpy.ndarray of float64, shape (N, C)
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    sums = probabilities.sum(axis=1, keepdims=True)
    equal = np.full_like(probabilities, 1 / probabilities.shape[1])
    return np.divide(probabilities, sums, out=equal, where=sums > 0)


def top_k_accuracy(truth, probabilities, k):
    """Share of clips whose true class is among the `k` most probable; of equal ones the lower label counts first.

    Parameters
    ----------
    truth : array of int, shape (N,)
    probabilities : array of float, shape (N, C)
    k : int
        More than C counts as C.

    Returns
    -------
    float
        Between 0 and 1.
    """
    # Not scikit-learn's top_k_accuracy_score: that wants another shape for two classes.
    ranked = np.argsort(-np.asarray(probabilities), axis=1, kind="stable")[:, :k]
    return float((ranked == np.asarray(truth)[:, None]).any(axis=1).mean())


def roc_auc(truth, scores):
    """Area under the ROC curve, one class against the rest, mean over the classes present.

    Parameters
    ----------
    truth : array of int, shape (N,)
    scores : array of float, shape (N, C)

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


def shared_with_train(tested, trained):
    """Tell which tested clips have a song or an artist that is also in the training set.

    Parameters
    ----------
    tested, trained : sequence of str
        Paths of clips or spectrograms, named as in MagnaTagATune.

    Returns
    -------
    song, artist : numpy.ndarray of bool, shape (len(tested),)
    """
    tested, trained = [parse(path) for path in tested], [parse(path) for path in trained]
    songs, artists = {clip.song for clip in trained}, {clip.artist for clip in trained}
    song = np.array([clip.song in songs for clip in tested], dtype=bool)
    artist = np.array([clip.artist in artists for clip in tested], dtype=bool)
    return song, artist


def evaluate_with_leakage(truth, predicted, probabilities, classes, tested, trained):
    """`evaluate`, and how much of it rests on songs and artists the network was trained on.

    Parameters
    ----------
    truth, predicted, probabilities, classes
        As for `evaluate`.
    tested : sequence of str, length N
        Paths of the clips.
    trained : sequence of str or None
        Paths of the clips of the training set; None when they are not known.

    Returns
    -------
    dict
        That of `evaluate`, and `leakage`: None when `trained` is None, else a dict of `song_share` and `artist_share`
        (0 to 1) and `other_songs` (`evaluate` of the clips whose song is not in train; None when there is none).

    Raises
    ------
    PipelineError
        If there is no clip.
    """
    if len(truth) == 0:
        raise PipelineError(f"The test set is empty: there is nothing to measure. Run {STEP_4}.")
    found = evaluate(truth, predicted, probabilities, classes)
    if trained is None:
        return {**found, "leakage": None}
    song, artist = shared_with_train(tested, trained)
    return {
        **found,
        "leakage": {
            "song_share": float(song.mean()),
            "artist_share": float(artist.mean()),
            "other_songs": evaluate_some(truth, predicted, probabilities, classes, ~song),
        },
    }


def evaluate_some(truth, predicted, probabilities, classes, chosen: np.ndarray) -> dict | None:
    """`evaluate` of the clips where `chosen`, an array of bool, is true; None when there is none."""
    if not chosen.any():
        return None
    return evaluate(truth[chosen], predicted[chosen], probabilities[chosen], classes)


def evaluate_unheard(truth, predicted, probabilities, classes, heard: np.ndarray | None) -> dict:
    """Measure what a pre-trained front end makes of clips that were not in its own training.

    Parameters
    ----------
    truth, predicted, probabilities, classes
        As for `evaluate`.
    heard : array of bool, shape (N,), or None
        Clips that were in the front end's training; None when that is not known.

    Returns
    -------
    dict
        `heard_clips`, `heard_share` (0 to 1) and `other_clips`, `evaluate` of the clips that were not heard (None when
        there is none); all None when `heard` is None.
    """
    if heard is None:
        return dict.fromkeys(("heard_clips", "heard_share", "other_clips"))
    return {
        "heard_clips": int(heard.sum()),
        "heard_share": float(heard.mean()),
        "other_clips": evaluate_some(truth, predicted, probabilities, classes, ~heard),
    }
