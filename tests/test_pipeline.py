"""Run all scripts in their order on tiny recordings, each on what the one before it wrote."""

import csv
import json
import pickle
import re

import numpy as np
import pandas
import pytest
import tiny_music
from tiny_pipeline import AFTER_TRAINING, DATA_STEPS, contents, run_script

from music_featurization.artifacts import TRAINING, Artifacts
from music_featurization.dataset.genres import STYLE_SPACE_CODES

SCRIPTS = (*DATA_STEPS, (TRAINING, "--epochs", 2), *AFTER_TRAINING)
CLIPS = 72


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A root in which every script has run once."""
    root = tiny_music.make_collection(tmp_path_factory.mktemp("pipeline"), CLIPS, seconds=4)
    for script, *args in SCRIPTS:
        assert run_script(script, root, *args) == 0, script
    return Artifacts(root)


def test_training(finished):
    import keras

    history = pickle.loads(finished.history.read_bytes())
    checkpoints = sorted(finished.models.glob("epoch_*.h5"))
    accuracies = history["val_categorical_accuracy"]
    assert [file.name for file in checkpoints] == [f"epoch_{n:02d}_{a:.4f}.h5" for n, a in enumerate(accuracies, 1)]
    assert len(history["loss"]) == len(history["val_loss"]) == 2
    assert json.loads(finished.training_settings.read_text())["settings"]["epochs"] == 2
    assert keras.saving.load_model(checkpoints[0]).get_layer("activation_1").output.shape[-1] == 512
    assert "<svg" in finished.curve("loss").read_text() and "<svg" in finished.curve("accuracy").read_text()


def test_predictions_and_features(finished):
    test = pandas.read_csv(finished.split("test"))
    prediction, probabilities = np.load(finished.prediction), np.load(finished.probabilities)
    assert prediction.shape == (len(test),) and probabilities.shape == (len(test), 6)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (prediction == probabilities.argmax(axis=1)).all()
    tested, formatted = (
        list(csv.reader(path.read_text().splitlines())) for path in (finished.test_features, finished.music_dataset)
    )
    stems = [path.split("/")[1].removesuffix(".npy") for path in test["spectrogram"]]
    assert [row[0] for row in tested] == [
        f"{clip.genre}.{clip.clip_id}_{stem}.npy" for clip, stem in zip(test.itertuples(), stems, strict=True)
    ]
    assert [row[:2] for row in formatted] == [
        [str(STYLE_SPACE_CODES[clip.genre]), f"{clip.clip_id}_{stem}"]
        for clip, stem in zip(test.itertuples(), stems, strict=True)
    ]
    assert [row[2:] for row in formatted] == [row[1:] for row in tested]
    assert {len(row) for row in tested} == {513}
    features = np.array([row[1:] for row in tested], dtype=float)
    assert (features >= 0).all() and len(np.unique(features, axis=0)) == len(test)


def test_report(finished):
    test, prediction = pandas.read_csv(finished.split("test")), np.load(finished.prediction)
    accuracy = (prediction == test["label"]).mean()
    assert json.loads(finished.metrics.read_text())["accuracy"] == pytest.approx(accuracy)
    assert re.search(rf"accuracy\D+{accuracy:.3f}", finished.report.read_text(), re.IGNORECASE)
    for picture in (finished.confusion_matrix, finished.report_page, finished.style_space_page):
        assert picture.stat().st_size > 10_000
    assert len(list(finished.results.glob("walk_classical_rock.*"))) == 3


def test_second_run_changes_nothing(finished):
    before = contents(finished.root)
    for script, *args in SCRIPTS:
        assert run_script(script, finished.root, *args) == 0, script
    after = contents(finished.root)
    assert sorted(after) == sorted(before)
    assert [name for name in before if after[name] != before[name]] == []
