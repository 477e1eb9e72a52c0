"""Run all scripts in their order on tiny recordings, each on what the one before it wrote."""

import csv
import pickle

import numpy as np
import pytest
import tiny_music
from tiny_pipeline import AFTER_TRAINING, DATA_STEPS, contents, run_all, table

from music_featurization.artifacts import TRAINING, Artifacts
from music_featurization.dataset.genres import STYLE_SPACE_CODES

SCRIPTS = (*DATA_STEPS, (TRAINING, "--epochs", 2), *AFTER_TRAINING)
CLIPS = 72


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A root in which every script has run once."""
    root = tiny_music.make_collection(tmp_path_factory.mktemp("pipeline"), CLIPS, seconds=4)
    run_all(root, *SCRIPTS)
    return Artifacts(root)


def test_every_script_uses_what_the_one_before_wrote(finished):
    import keras

    last = sorted(finished.models.glob("epoch_*.h5"))[-1]
    assert last.name.startswith("epoch_02_") and len(pickle.loads(finished.history.read_bytes())["val_loss"]) == 2
    assert keras.saving.load_model(last).get_layer("activation_1").output.shape[-1] == 512
    assert "<svg" in finished.curve("loss").read_text() and "<svg" in finished.curve("accuracy").read_text()
    test, probabilities = table(finished.root, "train_test_val/test.csv"), np.load(finished.probabilities)
    assert probabilities.shape == (len(test), 6) and probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    rows = list(csv.reader(finished.music_dataset.read_text().splitlines()))
    assert [row[0] for row in rows] == [str(STYLE_SPACE_CODES[genre]) for genre in test["genre"]]
    assert [row[1].partition("_")[0] for row in rows] == list(test["clip_id"])
    features = np.array([row[2:] for row in rows], dtype=float)
    assert features.shape == np.unique(features, axis=0).shape == (len(test), 512) and (features >= 0).all()
    accuracy = (np.load(finished.prediction) == test["label"].astype(int)).mean()
    assert f"TOP_1: {accuracy:.4f}\n" in finished.report.read_text()
    for picture in (finished.confusion_matrix, finished.report_page, finished.style_space_page):
        assert picture.stat().st_size > 10_000
    assert len(list(finished.results.glob("walk_classical_rock.*"))) == 3


def test_second_run_changes_nothing(finished):
    before = contents(finished.root)
    run_all(finished.root, *SCRIPTS)
    after = contents(finished.root)
    assert sorted(after) == sorted(before)
    assert [name for name in before if after[name] != before[name]] == []
