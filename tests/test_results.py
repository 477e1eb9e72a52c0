"""Testing, formatting and reporting, each through its script's command line."""

import csv
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pipeline import call_script, refused
from tiny_results import make_history, make_model, make_results, make_spectrograms, make_split

from music_featurization.artifacts import FORMAT, MAP, PREDICTION, REPORT, TESTING, Artifacts, PipelineError
from music_featurization.dataset import split
from music_featurization.evaluation import results
from music_featurization.feature_tables import feature_table
from music_featurization.network import checkpoints

SONGS = ("rock", "a.b", "a", 'the "big" rock, live')


@pytest.fixture
def artifacts(tmp_path):
    return make_split(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A root with spectrograms and three checkpoints, of which the second is the best."""
    artifacts = make_split(tmp_path_factory.mktemp("trained"))
    make_spectrograms(artifacts)
    make_history(artifacts, [1.5, 1.2, 1.3])
    for epoch, accuracy in ((1, "0.4000"), (2, "0.4100"), (3, "0.4200")):
        make_model(artifacts.models / f"epoch_{epoch:02d}_{accuracy}.h5", seed=epoch)
    return artifacts


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


# 2-testing.py


def test_testing_writes_the_contract(trained, capsys):
    call_script(TESTING, trained, "--overwrite")
    assert "epoch_02_0.4100.h5 (epoch 2, lowest validation loss: 1.2000)" in capsys.readouterr().out
    clips = results.read_clips(trained, "test")
    prediction, probabilities = np.load(trained.prediction), np.load(trained.probabilities)
    assert prediction.shape == (12,) and prediction.dtype.kind == "i"
    assert probabilities.shape == (12, 6) and probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (prediction == probabilities.argmax(axis=1)).all()
    rows = read_csv(trained.test_features)
    stems = [name.split("/")[1] for name in clips["spectrogram"]]
    columns = zip(clips["genre"], clips["clip_id"], stems, strict=True)
    assert [row[0] for row in rows] == [f"{genre}.{clip_id}_{name}" for genre, clip_id, name in columns]
    table = feature_table.read(trained.test_features.with_suffix(".npz"))
    assert table.features.shape == (12, 512) and len(np.unique(table.features, axis=0)) == 12
    assert (np.array([row[1:] for row in rows], dtype=np.float32) == table.features).all()
    for column in ("clip_id", "spectrogram", "genre"):
        assert table.rows[column].tolist() == clips[column].tolist()
    recordings = [trained.mp3_files / name.replace(".npy", ".mp3") for name in clips["spectrogram"]]
    assert table.recordings == list(map(str, recordings))


def test_testing_again_does_only_what_changed(trained, capsys):
    call_script(TESTING, trained, "--overwrite")
    before = [path.stat().st_mtime_ns for path in results.files(trained)]
    first = trained.test_features.read_bytes()
    call_script(TESTING, trained)
    assert "nothing to do" in capsys.readouterr().out
    assert [path.stat().st_mtime_ns for path in results.files(trained)] == before
    call_script(TESTING, trained, "--model", trained.models / "epoch_01_0.4000.h5")
    assert trained.test_features.read_bytes() != first
    call_script(TESTING, trained)
    assert trained.test_features.read_bytes() == first


def test_other_parts_leave_the_results_of_test_alone(trained):
    call_script(TESTING, trained, "--overwrite")
    before = [path.read_bytes() for path in results.files(trained)]
    for part, count in (("val", 6), ("all", 36)):
        call_script(TESTING, trained, "--split", part, "--batch-size", 5)
        assert len(np.load(results.files(trained, part).prediction)) == count
        assert len(feature_table.read_row_names(trained.results / f"music_dataset_{part}.csv")) == count
    assert [path.read_bytes() for path in results.files(trained)] == before


@pytest.mark.parametrize("part", ["train", "all"])
def test_clips_that_were_in_training_are_marked(trained, tmp_path, capsys, part):
    model = tmp_path / "of_this_split.h5"
    make_model(model, split=split.training_fingerprint(trained))
    call_script(TESTING, trained, "--split", part, "--model", model, "--overwrite")
    out = capsys.readouterr().out
    clips, files = results.read_clips(trained, part), results.files(trained, part)
    known = clips["spectrogram"].isin(results.read_clips(trained, "train")["spectrogram"]).to_numpy()
    marks = feature_table.read(files.features_npz).rows["in_training"]
    assert (marks == np.where(known, "yes", "no")).all() and known.sum() == 18
    right = np.load(files.prediction) == clips["label"].to_numpy()
    accuracy = json.loads(files.record.read_text())["accuracy"]
    assert accuracy["in_training"] == {"clips": 18, "accuracy": pytest.approx(right[known].mean())}
    assert f"18 of them were in training, accuracy {right[known].mean():.4f}\n" in out
    if part == "all":
        assert accuracy["not_in_training"] == {"clips": 18, "accuracy": pytest.approx(right[~known].mean())}
        assert f"18 of them were not in training, accuracy {right[~known].mean():.4f}\n" in out
    else:
        assert "0 of them were not in training\n" in out


def test_no_clip_is_marked_for_a_network_of_another_split(trained, capsys):
    call_script(TESTING, trained, "--split", "all", "--overwrite")
    assert "which were in training is unknown" in capsys.readouterr().out
    files = results.files(trained, "all")
    assert set(feature_table.read(files.features_npz).rows["in_training"]) == {"unknown"}
    assert list(json.loads(files.record.read_text())["accuracy"]) == ["all"]


def test_testing_refuses_a_network_that_does_not_fit(trained, tmp_path):
    other = tmp_path / "other.h5"
    recorded = json.loads(trained.spectrogram_settings.read_text())
    for message, model in (
        ("other.h5 was trained on the classes blues, rock; the data set has classical", {"classes": ("blues", "rock")}),
        ("n_mels = 128; ", {"settings": recorded | {"n_mels": 128}}),
        ("activation_1", {"layer": "elsewhere"}),
    ):
        make_model(other, **{"settings": recorded, **model})
        assert message in refused(TESTING, trained, "--model", other, "--overwrite")
    other.write_bytes(other.read_bytes()[:5000])
    assert "other.h5 is not a readable Keras" in refused(TESTING, trained, "--model", other)
    assert "nowhere.h5 does not exist" in refused(TESTING, trained, "--model", tmp_path / "nowhere.h5")


def test_testing_names_missing_and_corrupt_spectrograms(trained, tmp_path):
    path = trained.spectrograms / results.read_clips(trained, "test")["spectrogram"][3]
    content = path.read_bytes()
    try:
        path.unlink()
        message = refused(TESTING, trained, "--overwrite")
        assert "1 of 12 clips have no spectrogram" in message and "1_generate" in message and str(path) in message
        path.write_bytes(content[:200])
        message = refused(TESTING, trained, "--overwrite")
        assert "not a readable spectrogram" in message and str(path) in message
    finally:
        path.write_bytes(content)
    empty = make_split(tmp_path, clips_per_class=(2, 0, 1))
    model = trained.models / "epoch_01_0.4000.h5"
    assert "no such clips" in refused(TESTING, empty, "--split", "val", "--model", model)


def test_provided_network_is_used_where_nothing_was_trained(artifacts, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "PROVIDED_MODEL", tmp_path / "best_model.h5")
    path, why = checkpoints.best(artifacts)
    assert path == tmp_path / "best_model.h5" and "contains no epoch_" in why


@pytest.mark.parametrize(
    ("kept", "chosen"), [(("01_0.4000", "02_0.4100"), "02_0.4100"), (("01_0.4000", "02_0.9999"), "01_0.4000")]
)
def test_best_checkpoint_is_one_of_this_history(artifacts, kept, chosen):
    """Epoch 3 is best but its file is gone; an epoch 2 with another accuracy is from another training."""
    make_history(artifacts, [1.5, 1.4, 1.3])
    for name in kept:
        (artifacts.models / f"epoch_{name}.h5").touch()
    path, why = checkpoints.best(artifacts)
    assert path.name == f"epoch_{chosen}.h5" and "of the checkpoints still there" in why


def test_checkpoints_without_a_usable_history_are_an_error(artifacts):
    make_history(artifacts, [float("nan")])
    (artifacts.models / "epoch_01_0.4000.h5").touch()
    with pytest.raises(PipelineError, match=r"no validation loss.*--model"):
        checkpoints.best(artifacts)
    artifacts.history.unlink()
    with pytest.raises(PipelineError, match=r"no history\.pkl.*--model"):
        checkpoints.best(artifacts)


# 3-format_dataset.py


def test_music_dataset_reads_as_the_style_space_experiment_does(artifacts, capsys):
    make_results(artifacts)
    call_script(FORMAT, artifacts)
    rows, clips = read_csv(artifacts.music_dataset), results.read_clips(artifacts, "test")
    expected = {"classical": 1, "baroque": 2, "rock": 3, "opera": 4, "medieval": 5, "jazz": 6}
    assert [int(row[0]) for row in rows] == [expected[genre] for genre in clips["genre"]]
    assert [row[1] for row in rows] == [f"{row.clip_id}_{row.spectrogram[2:-4]}" for row in clips.itertuples()]
    table = feature_table.read(artifacts.music_dataset.with_suffix(".npz"))
    assert (np.array([row[2:] for row in rows], dtype=np.float32) == table.features).all()
    assert table.features.shape == (12, 512)
    assert table.names == [row[1] for row in rows] and table.model_fingerprint == "0123"
    call_script(FORMAT, artifacts)
    assert "nothing to do" in capsys.readouterr().out
    make_results(artifacts, seed=2)
    before = artifacts.music_dataset.read_bytes()
    call_script(FORMAT, artifacts)
    assert artifacts.music_dataset.read_bytes() != before


def test_all_clips_feed_the_style_space_experiment(tmp_path, capsys):
    """The experiment draws 50 clips for a run, more than this test set has."""
    artifacts = make_split(tmp_path, clips_per_class=(7, 1, 2))
    make_results(artifacts)
    message = refused(FORMAT, artifacts, "--split", "all")
    assert "music_dataset_all.csv does not exist" in message and "2-testing.py --split all first" in message
    make_results(artifacts, part="all")
    call_script(FORMAT, artifacts, "--split", "all")
    assert "60 clips of all parts with 512 features" in capsys.readouterr().out
    rows = read_csv(artifacts.music_dataset)
    assert np.isfinite(np.array([row[2:] for row in rows], dtype=float)).all()
    assert (np.bincount([int(row[0]) for row in rows])[1:] == 10).all() and len({row[1] for row in rows}) == 60
    call_script(FORMAT, artifacts)  # the test set again
    assert len(feature_table.read_row_names(artifacts.music_dataset)) == 12


def test_other_genres_get_codes_from_1(tmp_path):
    artifacts = make_split(tmp_path, classes=("blues", "r.n.b", "r"))
    make_results(artifacts, classes=("blues", "r.n.b", "r"))
    call_script(FORMAT, artifacts)
    rows = read_csv(artifacts.music_dataset)
    assert [row[0] for row in rows] == ["1", "1", "2", "2", "3", "3"]
    assert [row[1].partition("_")[0] for row in rows] == results.read_clips(artifacts, "test")["clip_id"].tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("rock.1_a.npy,1,2\nrock.2_b.npy,1\n", "line 2: 1 features where the first row has 2"),
        ("rock.1_a.npy,1,x\n", "line 1: could not convert string to float: 'x'"),
        ("rock.1_a.npy\n", "line 1: 0 features"),
        ("polka.1_a.npy,1,2\n", "line 1: 'polka.1_a.npy' does not begin with one of the genres"),
    ],
)
def test_damaged_feature_tables(tmp_path, content, message):
    artifacts = Artifacts(tmp_path)
    artifacts.results.mkdir()
    artifacts.test_features.write_text(content)
    refusal = refused(FORMAT, artifacts)
    assert refusal.startswith(f"{artifacts.test_features} is ") and message in refusal and "--overwrite" in refusal
    assert not artifacts.music_dataset.exists()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SONGS),
    st.from_regex(r"[0-9]{1,6}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1),
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=4),
)
def test_any_name_and_number_survive_the_csv(tmp_path_factory, genre, clip_id, name, numbers):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    written = feature_table.row_name(genre, clip_id, f"f/{name}.npy")
    features = np.array([numbers], dtype=np.float32)
    feature_table.write_without_header(path, [(written,)], features)
    table = feature_table.read(path, SONGS)
    assert feature_table.read_row_names(path) == [written] and table.names == [f"{clip_id}_{name}"]
    assert (table.features == features).all() and table.genres == [genre]
    assert feature_table.split_row_name(written, SONGS) == (genre, f"{clip_id}_{name}")


# manage_prediction.py


def test_report_is_written(artifacts, capsys):
    make_results(artifacts)
    call_script(PREDICTION, artifacts)
    metrics = json.loads(artifacts.metrics.read_text())
    predicted = np.load(artifacts.prediction)
    assert metrics["accuracy"] == pytest.approx((predicted == results.read_clips(artifacts, "test")["label"]).mean())
    assert metrics["leakage"]["song_share"] == 0.5 and metrics["leakage"]["artist_share"] == 1
    assert metrics["leakage"]["other_songs"]["clips"] == 6
    text = artifacts.report.read_text()
    assert f"Test Set Accuracy =  {metrics['accuracy']:.2f}\n" in text and text in capsys.readouterr().out
    assert artifacts.confusion_matrix.read_bytes().startswith(b"\x89PNG") and artifacts.confusion_matrix_svg.exists()


def test_results_of_another_split_of_equal_size_are_refused(artifacts):
    make_results(artifacts)
    lines = artifacts.split("test").read_text().splitlines()
    artifacts.split("test").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    message = refused(PREDICTION, artifacts)
    assert "clip 1 is 125_" in message and " and 136_" in message and TESTING in message


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("prediction", lambda array: array[:-2], "has 10 clips, prediction_probabilities.npy 12"),
        ("prediction", lambda array: array + 6, "labels outside 0-5"),
        ("prediction", lambda array: array[:, None], "numbers in 1 dimensions are needed"),
        ("probabilities", lambda array: array[:, :5], "has 5 classes, the clips have 6"),
        ("probabilities", lambda array: array * np.nan, "not probabilities"),
        ("probabilities", lambda array: array.astype(object), "not a readable array"),
    ],
)
def test_damaged_predictions_are_refused(artifacts, name, change, message):
    make_results(artifacts)
    path = getattr(artifacts, name)
    np.save(path, change(np.load(path)), allow_pickle=True)
    assert message in refused(PREDICTION, artifacts)
    assert not artifacts.report.exists()


def test_unfinished_results_are_refused(artifacts):
    """A run that was killed after it wrote the probabilities, beside the predictions of an earlier one."""
    make_results(artifacts)
    artifacts.testing_record.unlink()
    for script in (PREDICTION, MAP):
        assert "testing.json does not exist: python/2-testing.py was interrupted" in refused(script, artifacts)


def test_predictions_are_not_unpickled(artifacts):
    """np.load of a pickle would run code."""

    class Bomb:
        def __reduce__(self):
            return (artifacts.root.joinpath("boom").mkdir, ())

    make_results(artifacts)
    artifacts.prediction.write_bytes(pickle.dumps(Bomb()))
    assert "prediction.npy" in refused(PREDICTION, artifacts)
    assert not (artifacts.root / "boom").exists()


@pytest.mark.parametrize(("trained_on", "recorded"), [("this split", True), ("another", False), (None, None)])
def test_reports_say_if_the_network_is_not_known_to_be_trained_on_this_split(artifacts, trained_on, recorded):
    trained_on = split.training_fingerprint(artifacts) if trained_on == "this split" else trained_on
    make_results(artifacts, network={"split": trained_on})
    for script, page in ((PREDICTION, artifacts.report), (REPORT, artifacts.report_page)):
        call_script(script, artifacts)
        text = page.read_text(encoding="utf-8")
        assert ("trained on another data set or split" in text) is (recorded is False)
        assert ("not known whether the network was trained" in text) is (recorded is None)
    assert json.loads(artifacts.metrics.read_text())["trained_on_this_split"] is recorded


MAGNATUNE = "joram-moments_of_clarity-08-solipsism"  # of MagnaTagATune; the tiny split's clips are in folders 0-f
PRETRAINED = {"front_end": {"pretrained": True, "heard": "magnatagatune folders 0-c"}}


@pytest.mark.parametrize(
    ("artist", "network", "heard"),
    [
        (MAGNATUNE, PRETRAINED, True),
        ("artist of another collection", PRETRAINED, False),
        (MAGNATUNE, {"front_end": {"pretrained": False}}, None),
        (MAGNATUNE, {}, None),
    ],
)
def test_report_says_what_the_front_end_has_heard(tmp_path, artist, network, heard):
    artifacts = make_split(tmp_path, artist=artist)
    make_results(artifacts, network=network)
    call_script(PREDICTION, artifacts)
    clips = results.read_clips(artifacts, "test")
    unheard = clips["spectrogram"].str[0].isin(list("def")).to_numpy()
    front_end, text = json.loads(artifacts.metrics.read_text())["front_end"], artifacts.report.read_text()
    if heard is None:
        assert front_end is None and "front end" not in text
    elif heard:
        assert front_end["heard_clips"] == (~unheard).sum() == 9
        right = np.load(artifacts.prediction)[unheard] == clips["label"][unheard]
        assert front_end["other_clips"]["accuracy"] == pytest.approx(right.mean())
        assert (
            "MagnaTagATune): 9 (75.0%)" in text
            and f"Accuracy: {right.mean():.4f}\n"
            in text.partition("On the 3 test clips that the front end has not heard:")[2]
        )
    else:
        assert front_end["heard_clips"] == 0 and "has heard none of the test clips" in text


def test_the_originals_artifacts_go_through(tmp_path):
    """Results alone: names in .jpg, softmax over the whole batch, labels as Keras gave them, Windows line ends."""
    artifacts = make_split(tmp_path / "made")
    probabilities = make_results(artifacts)
    original = Artifacts(tmp_path / "original")
    original.results.mkdir(parents=True)
    np.save(original.prediction, probabilities.argmax(axis=1))
    np.save(original.probabilities, (probabilities / 64).astype(np.float32))
    table = artifacts.test_features.read_text().replace(".npy,", ".jpg,").replace("\n", "\r\n")
    original.test_features.write_text(table, newline="")
    for script in (PREDICTION, FORMAT):
        call_script(script, original)
        call_script(script, artifacts)
    ours, theirs = artifacts.report.read_text().splitlines(), original.report.read_text().splitlines()
    assert theirs[:13] == ours[:13] and "Test Set Accuracy" in theirs[9]
    assert "Probabilities of 12 of 12 clips do not add to 1" in original.report.read_text()
    assert "unknown, there is no split" in original.report.read_text()
    assert original.music_dataset.read_bytes() == artifacts.music_dataset.read_bytes()
