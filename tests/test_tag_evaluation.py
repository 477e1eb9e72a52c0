"""Tags on MagnaTagATune's standard split: the areas, the logistic regressions, the script."""

import json
import re

import numpy as np
import pytest
from tiny_music import music, write_annotations, write_mp3
from tiny_pipeline import refused, run_script

from music_featurization.artifacts import FRONT_END, STEP_1
from music_featurization.evaluation import tag_evaluation
from music_featurization.network import front_end
from music_featurization.network.keras_backend import load_keras

SCRIPT = "results_utils/evaluate_tags.py"
TAGS = ("rock", "guitar", "no vocals", "baroque", "sitar")  # baroque is not one of the 50


def area_by_counting_pairs(is_set, values):
    """Compute ROC AUC by its definition: how often a clip with the tag has a higher value than one without."""
    pairs = values[is_set][:, None] - values[~is_set][None]
    return ((pairs > 0) + 0.5 * (pairs == 0)).mean()


def precision_at_each_clip_with_the_tag(is_set, values):
    ranked = is_set[np.argsort(-values)]
    return (np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean()


def test_areas():
    rng = np.random.default_rng(1)
    truth, values = rng.random((60, 3)) < 0.3, rng.permutation(180).reshape(60, 3) / 180
    scores = tag_evaluation.score(truth, values, ["a", "b", "c"])
    for column, tag in enumerate("abc"):
        of_tag = truth[:, column], values[:, column]
        areas = area_by_counting_pairs(*of_tag), precision_at_each_clip_with_the_tag(*of_tag)
        assert scores[tag] == pytest.approx(areas)
    assert tag_evaluation.means(scores)["pr_auc"] == pytest.approx(np.mean([pr_auc for _, pr_auc in scores.values()]))


def test_known_areas_and_tags_without_both_classes():
    truth = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], bool)
    values = np.array([[0.9, 0.5, 0.1, 0.1], [0.8, 0.5, 0.2, 0.2], [0.2, 0.5, 0.3, 0.3], [0.1, 0.5, 0.4, 0.4]])
    scores = tag_evaluation.score(truth, values, ["right", "constant", "none", "all"])
    assert scores == {"right": (1.0, 1.0), "constant": (0.5, 0.5)}


def test_regressions_use_the_training_part_only():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(90, 4))
    features[:, 3] = 7  # a feature without variance
    truth = np.stack([features[:, 0] > 0, features[:, 1] > 0, np.zeros(90, bool)], axis=1)
    truth[30:45, 0] = ~truth[30:45, 0]  # half of the validation part says the opposite
    parts = {part: np.arange(90) // 30 == number for number, part in enumerate(("train", "val", "test"))}
    probabilities, strength = tag_evaluation.fit_and_predict(features, truth, parts)
    areas = tag_evaluation.score(truth[parts["test"]], probabilities, ["x", "y", "never"])
    assert min(areas["x"] + areas["y"]) > 0.95
    assert (probabilities[:, 2] == 0).all()
    assert strength in tag_evaluation.STRENGTHS


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Eight clips in folders d-f, eight in 0-b, four in c; the last of each part has no tag of the 50."""
    root = tmp_path_factory.mktemp("tags")
    rows = []
    for number, folder in enumerate("defdefde" + "01ab01ab" + "cccc"):
        path = f"{folder}/artist-album-01-song {number}-0-4.mp3"
        write_mp3(root / "datasets/mp3_files" / path, music(4, seed=number))
        last = number in (7, 15, 19)
        rows.append((number, ("baroque",) if last else ("rock", "no vocals") if number % 2 else ("guitar",), path))
    write_annotations(root, rows, TAGS)
    assert run_script(STEP_1, root, "--jobs", "1") == 0
    return root


def test_script(collection, capsys):
    assert run_script(SCRIPT, collection, "--train") == 0
    printed = capsys.readouterr().out
    assert (collection / "results/tags.txt").read_text() in printed
    content = json.loads((collection / "results/tags.json").read_text())
    assert content["clips"] == {"train": 7, "val": 3, "test": 7}  # clips with no tag of the 50 are left out
    assert content["tags_without_both_classes"] == ["sitar"]
    assert len(content["tags_not_in_annotations"]) == 46
    assert "sitar" in printed and "7 of 7 test clips are not from MagnaTagATune" in printed
    (by_front_end, by_features) = content["scores"].values()
    assert set(by_front_end["per_tag"]) == set(by_features["per_tag"]) == {"rock", "guitar", "no_vocals"}
    # Here a clip is rock exactly if it has no vocals: features give both one regression, the front end does not.
    assert by_features["per_tag"]["rock"] == by_features["per_tag"]["no_vocals"]
    assert by_front_end["per_tag"]["rock"] != by_front_end["per_tag"]["no_vocals"]


def test_tags_from_embeddings_are_the_front_ends(collection):
    assert run_script(SCRIPT, collection) == 0
    keras = load_keras()
    network = keras.saving.load_model(FRONT_END, compile=False)
    tagger = keras.Model(network.inputs, network.get_layer("mtt_tags").output)
    names = [tag.replace(" ", "_") for tag in front_end.read_about()["tags"]["mtt"]]
    files = sorted((collection / "datasets/embeddings/d").iterdir())
    rows = tag_evaluation.predict_tags(files, names[::-1])
    for row, file in zip(rows, files, strict=True):
        clip = np.load(collection / "datasets/spectrograms/d" / file.name)
        expected = tagger.predict_on_batch(front_end.windows(clip)).mean(axis=0)
        np.testing.assert_allclose(row, expected[::-1], atol=2e-3)  # embeddings are stored as float16


@pytest.mark.parametrize(
    "absent, options, message",
    [("def", (), "No clip in the folders d, e and f"), ("c", ("--train",), "--train needs clips with tags in folders")],
)
def test_missing_parts_are_explained(collection, tmp_path, absent, options, message):
    lines = (collection / "datasets/annotations_final.csv").read_text().splitlines()
    kept = [line for line in lines if not re.search(f'"[{absent}]/', line)]
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/annotations_final.csv").write_text("\n".join(kept) + "\n")
    (tmp_path / "datasets/spectrograms").symlink_to(collection / "datasets/spectrograms")
    assert message in refused(SCRIPT, tmp_path, *options)
