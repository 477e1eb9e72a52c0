"""The numbers of the report, against scikit-learn and by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from music_featurization.artifacts import PipelineError
from music_featurization.evaluation import metrics, report

CLASSES = ("classical", "baroque", "opera")
TRUTH = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [[0.6, 0.29, 0.11], [0.2, 0.68, 0.12], [0.5, 0.37, 0.13], [0.1, 0.76, 0.14], [0.19, 0.28, 0.53], [0.21, 0.09, 0.7]]
)
PREDICTED = PROBABILITIES.argmax(axis=1)
PREDICTIONS = metrics.Predictions(TRUTH, PREDICTED, PROBABILITIES, CLASSES)
TESTED = [f"f/{song}-0-29.npy" for song in ("a-x-01-s", "a-x-01-s", "b-x-01-s", "c-x-01-s", "d-x-01-s", "d-x-02-t")]


def evaluate(truth=TRUTH, predicted=PREDICTED, probabilities=PROBABILITIES, classes=CLASSES):
    return metrics.evaluate(metrics.Predictions(truth, predicted, probabilities, classes))


def text_of(measured, classes=CLASSES, trained=None, **others):
    """Write the report; `trained` are the clips of the training set, None if not known."""
    leakage = None if trained is None else metrics.evaluate_leakage(PREDICTIONS, TESTED, trained)
    return report.text(
        {**measured, "leakage": leakage, "trained_on_this_split": True, "front_end": None, **others}, classes
    )


def test_metrics_by_hand():
    measured = evaluate()
    assert measured["clips"] == 6
    assert measured["accuracy"] == pytest.approx(4 / 6)
    assert measured["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert measured["confusion"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert measured["top"] == pytest.approx({"1": 4 / 6, "2": 1, "3": 1})
    assert measured["absent"] == [] and measured["rows_not_summing_to_1"] == 0
    assert measured["per_class"][0] == pytest.approx(
        {"genre": "classical", "precision": 1, "recall": 2 / 3, "f_score": 0.8, "support": 3}
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 8))
def test_metrics_agree_with_scikit_learn(seed, n_classes):
    rng, labels = np.random.default_rng(seed), range(n_classes)
    truth = np.concatenate([labels, rng.integers(0, n_classes, 40)])
    probabilities = rng.dirichlet(np.ones(n_classes), len(truth))
    predicted = probabilities.argmax(axis=1)
    measured = evaluate(truth, predicted, probabilities, [f"g{label}" for label in labels])
    assert measured["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
    assert measured["matthews"] == pytest.approx(sk.matthews_corrcoef(truth, predicted))
    assert measured["f_score"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"))
    area = sk.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
    assert measured["roc_auc"] == pytest.approx(area, abs=1e-12)
    top = {str(k): sk.top_k_accuracy_score(truth, probabilities, k=k, labels=labels) for k in (1, 2, 3)}
    assert measured["top"] == pytest.approx(top)


def test_class_without_test_clips_is_reported_and_left_out_of_the_means():
    kept = TRUTH != 2
    measured = evaluate(TRUTH[kept], PREDICTED[kept], PROBABILITIES[kept])
    assert measured["absent"] == ["opera"]
    assert measured["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert measured["f_score"] == pytest.approx((4 / 5 + 1 / 2) / 2)
    absent = {"genre": "opera", "precision": 0.0, "recall": None, "f_score": None, "support": 0}
    assert measured["per_class"][2] == absent
    areas = [sk.roc_auc_score(TRUTH[kept] == label, PROBABILITIES[kept][:, label]) for label in (0, 1)]
    assert measured["roc_auc"] == pytest.approx(np.mean(areas))
    assert "No test clip: opera" in text_of(measured)


def test_single_class_has_no_roc_curve_and_no_clip_no_metrics(recwarn):
    for predicted in (PREDICTED, np.zeros(6, int)):
        measured = evaluate(np.zeros(6, int), predicted)
        assert measured["roc_auc"] is None and "ROC AUC = undefined" in text_of(measured)
        assert measured["matthews"] == 0 and not recwarn.list
        json.dumps(measured, allow_nan=False)
    empty = np.zeros(0, int)
    with pytest.raises(PipelineError, match="empty"):
        evaluate(empty, empty, np.zeros((0, 3)))


def test_softmax_over_the_whole_batch_is_corrected_and_reported():
    saved = PROBABILITIES * np.array([1, 0.1, 0.3, 0.7, 0.2, 0.05])[:, None]
    measured = evaluate(probabilities=saved.astype(np.float32))
    assert measured["rows_not_summing_to_1"] == 5
    assert measured["roc_auc"] == pytest.approx(evaluate()["roc_auc"])
    as_saved = np.mean([sk.roc_auc_score(label == TRUTH, saved[:, label]) for label in range(3)])
    assert measured["roc_auc_as_saved"] == pytest.approx(as_saved) != measured["roc_auc"]
    line = next(line for line in text_of(measured).splitlines() if "do not add" in line)
    assert f"as saved {as_saved:.3f}" in line and f"normalised per clip {measured['roc_auc']:.3f}" in line
    assert metrics.normalise(np.array([[0, 0], [1e-30, 3e-30]])) == pytest.approx(np.array([[0.5, 0.5], [0.25, 0.75]]))


def test_fewer_classes_than_k():
    measured = evaluate(np.array([0, 1]), np.array([0, 0]), np.array([[0.9, 0.1], [0.6, 0.4]]), ("a", "b"))
    assert measured["top"] == {"1": 0.5, "2": 1.0, "3": 1.0}


def test_leakage_counts_songs_and_artists_of_train():
    trained = ["0/a-x-01-s-29-58.npy", "1/d-y-01-other-0-29.npy"]
    leakage = metrics.evaluate_leakage(PREDICTIONS, TESTED, trained)
    assert leakage["song_share"] == pytest.approx(2 / 6)
    assert leakage["artist_share"] == pytest.approx(4 / 6)
    assert leakage["other_songs"] == evaluate(TRUTH[2:], PREDICTED[2:], PROBABILITIES[2:])
    text = text_of(evaluate(), trained=trained)
    assert "song is also in train: 33.3%" in text and "artist is also in train: 66.7%" in text
    assert "On the 4 test clips of songs that are not in train:" in text


@pytest.mark.parametrize(
    ("trained", "sentence"),
    [
        (TESTED, "There is no test clip of a song that is not in train"),
        (None, "unknown"),
        (["0/a-x-01-unknown-0-29.npy"], "No test clip is of a song that is also in train\nTest clips whose artist is"),
        ([], "No test clip is of a song or an artist that"),
    ],
)
def test_everything_or_nothing_shared_is_said_once(trained, sentence):
    text = text_of(evaluate(), trained=trained)
    assert sentence in text and "0.0%" not in text.replace("100.0%", "")
    assert text.count("TOP_1") == 1 and text.count("support") == 1


@pytest.mark.parametrize(
    ("heard", "sentence"),
    [
        (6, "MagnaTagATune): 6 (100.0%)\n"),
        (None, "is unknown: there is no split\n"),
    ],
)
def test_clips_that_the_front_end_has_heard(heard, sentence):
    front_end = metrics.evaluate_unheard(PREDICTIONS, None if heard is None else np.arange(6) < heard)
    assert front_end["heard_clips"] == heard and front_end["heard_share"] == (None if heard is None else heard / 6)
    text = text_of(evaluate(), front_end=front_end)
    assert sentence in text and text.count("TOP_1") == 1


def test_report_begins_with_the_originals_lines():
    measured = evaluate()
    assert text_of(measured).splitlines()[:10] == [
        "[[2 1 0]",
        " [0 1 1]",
        " [0 0 1]]",
        "TOP_1: 0.6667",
        "TOP_2: 1.0000",
        "TOP_3: 1.0000",
        "Test Set Accuracy =  0.67",
        f"Test Set Matthews Coef =  {sk.matthews_corrcoef(TRUTH, PREDICTED):.2f}",
        f"Test Set F-score =  {sk.f1_score(TRUTH, PREDICTED, average='macro'):.2f}",
        f"ROC AUC = {measured['roc_auc']:.3f}",
    ]


def test_matrix_of_many_classes_and_clips_is_written_whole():
    labels = np.arange(60)
    truth, classes = np.repeat(labels, 1500), [f"g{label}" for label in labels]
    rows = text_of(evaluate(truth, truth, np.eye(60)[truth], classes), classes).splitlines()[:60]
    matrix = np.array([row.strip("[] ").split() for row in rows], dtype=int)
    assert (matrix == 1500 * np.eye(60)).all()
