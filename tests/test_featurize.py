"""Test featurize.py and similar.py on a folder of all kinds of recordings, with a tiny network."""

import csv
import os
import sys
from datetime import datetime

import numpy as np
import pandas
import pytest
import soundfile
from tiny_music import music, write_wav
from tiny_pipeline import call_script, refused
from tiny_results import make_model

from music_featurization import tags, workers
from music_featurization.artifacts import FEATURIZE, SIMILAR, fingerprint
from music_featurization.audio import spectrogram
from music_featurization.dataset.genres import GENRES
from music_featurization.feature_tables import feature_table, featurize, table_run, track_features
from music_featurization.network import checkpoints, front_end, prediction
from music_featurization.style_space import neighbours

RATE = 16000
NASTY = 'a, "b"\r\nc.wav'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four recordings that can be used, three that cannot, and a picture."""
    folder = tmp_path_factory.mktemp("music")
    (folder / "sub").mkdir()
    soundfile.write(folder / "long.wav", music(60), RATE, subtype="FLOAT")
    soundfile.write(folder / "sub" / "stereo.flac", np.stack([music(5, 44100, 1)] * 2, axis=1), 44100)
    soundfile.write(folder / "clip.mp3", music(10, seed=2), RATE, format="MP3")
    write_wav(folder / NASTY, seed=3)
    write_wav(folder / "short.wav", 0.05)
    soundfile.write(folder / "silent.wav", np.zeros(5 * RATE), RATE)
    (folder / "junk.mp3").write_bytes(b"not music")
    (folder / "cover.jpg").write_bytes(b"not music either")
    return folder


@pytest.fixture(scope="module")
def table(folder, tiny_model, tmp_path_factory):
    """The table of the folder, made by worker processes."""
    out = tmp_path_factory.mktemp("out") / "features.csv"
    assert call_script(FEATURIZE, None, folder, "--model", tiny_model, "--out", out, "--jobs", "2") == 0
    return out


def test_one_row_per_track(table, folder, tiny_model):
    with open(table, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:7] == ["path", "seconds", "genre", "model", "note", "bytes", "modified"]
    assert header[7:13] == [f"probability_{genre}" for genre in GENRES]
    assert header[13:] == [f"feature_{number:03d}" for number in range(512)]
    paths = [folder / name for name in (NASTY, "clip.mp3", "long.wav", "sub/stereo.flac")]
    assert [row[0] for row in rows] == list(map(str, paths))
    assert {row[3] for row in rows} == {fingerprint(tiny_model)}
    seconds = [float(row[1]) for row in rows]
    assert seconds == pytest.approx([4, 10, 58.2, 5], abs=0.2)  # 1.8 s after two windows of a minute are left out
    for row, path in zip(rows, paths, strict=True):
        assert row[4:6] == ["", str(path.stat().st_size)]
        assert datetime.fromisoformat(row[6]).timestamp() == pytest.approx(path.stat().st_mtime, abs=0.002)
        probabilities = [float(number) for number in row[7:13]]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert row[2] == GENRES[int(np.argmax(probabilities))]


def test_failures_have_reasons(table, folder):
    assert sorted(path.name for path in table.parent.iterdir()) == ["features.csv", "features.failures.csv"]
    with open(table.with_name("features.failures.csv"), encoding="utf-8", newline="") as file:
        listed = dict(csv.reader(file))
    assert "audio" in listed.pop(str(folder / "junk.mp3"))
    assert listed == {
        "path": "error",
        str(folder / "short.wav"): "shorter than 0.1 s: 0.05 s",
        str(folder / "silent.wav"): "silent from beginning to end",
    }


def test_features_are_the_means_over_windows(table, folder, tiny_model, tmp_path):
    samples, whole, paths = music(60), round(29.1 * RATE), [tmp_path / "0.npy", tmp_path / "1.npy"]
    for path, start in zip(paths, (0, whole), strict=True):
        np.save(path, spectrogram.log_mel([samples[start : start + whole]]))
    probabilities, features = prediction.predict(checkpoints.load(tiny_model), paths)
    assert np.abs(features[0] - features[1]).max() > 1e-4
    content = feature_table.read(table)
    row = content.names.index(str(folder / "long.wav"))
    assert content.features[row] == pytest.approx(np.mean(features, axis=0), rel=1e-5, abs=1e-6)
    assert content.rows["probability_opera"][row] == pytest.approx(np.mean(probabilities, axis=0)[2], rel=1e-5)


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_other_formats_contain_the_same(table, ending, tmp_path):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    expected = feature_table.read(table)
    feature_table.write(tmp_path / f"a{ending}", expected)
    copy = feature_table.read(tmp_path / f"a{ending}")
    pandas.testing.assert_frame_equal(copy.rows, expected.rows, check_dtype=False)
    assert (copy.features == expected.features).all() and copy.recordings == expected.recordings


def test_run_again_adds_what_is_missing(featurize_here, folder, tmp_path):
    out, more, first = tmp_path / "f.npz", write_wav(tmp_path / "more.wav"), (folder / "clip.mp3", folder / "sub")
    featurize_here(*first, "--out", out)
    before = feature_table.read(out)
    assert "2 tracks: 2 done, 0 to do" in featurize_here(*first, "--out", out)
    assert "3 tracks: 2 done, 1 to do" in featurize_here(more, *first, "--out", out)
    after = feature_table.read(out)
    kept = after.select(after.rows["recording"].isin(before.names).to_numpy())
    assert len(after.rows) == 3
    pandas.testing.assert_frame_equal(kept.rows, before.rows)
    assert (kept.features == before.features).all()


@pytest.mark.parametrize("lacks", ["probability_jazz", "note", "feature_511"])
def test_table_from_which_a_column_was_removed(featurize_here, folder, tiny_model, tmp_path, lacks):
    out, more = tmp_path / "f.csv", write_wav(tmp_path / "more.wav")
    featurize_here(folder / "clip.mp3", "--out", out)
    pandas.read_csv(out).drop(columns=lacks).to_csv(out, index=False)
    before = out.read_bytes()
    message = refused(FEATURIZE, None, more, "--out", out, "--model", tiny_model)
    assert f"{out} " in message and lacks.split("_")[0] in message and "--overwrite" in message
    assert out.read_bytes() == before


@pytest.mark.parametrize("tracks_per_part", [1, 64])
@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_interrupted_run_keeps_what_is_finished(
    featurize_here, folder, tmp_path, monkeypatch, tracks_per_part, options
):
    out, outcomes = tmp_path / "f.csv", workers.run
    monkeypatch.setattr(featurize, "TRACKS_PER_PART", tracks_per_part)

    def interrupted(*args, **options):
        for number, outcome in enumerate(outcomes(*args, **options)):
            if number == 4:
                raise KeyboardInterrupt
            yield outcome

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(workers, "run", interrupted)
        featurize_here(folder, "--out", out, *options)
    parts = [feature_table.read(path) for path in table_run.parts(out)]
    assert not out.exists() and sum(len(part.rows) for part in parts) == 3
    assert "7 tracks: 3 done, 4 to do" in featurize_here(folder, "--out", out)
    assert len(feature_table.read(out).rows) == 4
    assert not table_run.partial_folder(out).exists()


@pytest.mark.parametrize(
    ("every", "start", "end"),
    [
        (29.1, [0, 29.1], [29.1, 58.2]),
        (25, [0, 25], [25, 50]),  # 10 s remain, less than half
        (24, [0, 24, 48], [24, 48, 60]),
        (58.2, [0], [58.2]),  # in two windows
        (300, [0], [60]),
    ],
)
def test_time_steps_are_rows(featurize_here, folder, tiny_model, tmp_path, every, start, end):
    command = (folder / "long.wav", "--out", tmp_path / "f.csv")
    featurize_here(*command, "--every", every, "--tags")
    rows = feature_table.read(tmp_path / "f.csv").rows
    assert rows["start"].tolist() == start and rows["end"].tolist() == end
    assert rows["seconds"].sum() == pytest.approx(end[-1])
    assert list(rows)[:4] == ["recording", "start", "end", "seconds"]
    assert [name for name in rows if name.startswith(("mtt_", "msd_"))] == front_end.tag_names()
    message = refused(FEATURIZE, None, *command, "--model", tiny_model)
    assert f"contains steps of {max(np.subtract(end, start)):g} s with tags by the network" in message
    assert "makes whole tracks without tags" in message
    other_step = refused(FEATURIZE, None, *command, "--model", tiny_model, "--every", "12", "--tags")
    assert f"contains steps of {max(np.subtract(end, start)):g} s with tags" in other_step
    featurize_here(*command, "--overwrite")
    assert "start" not in feature_table.read(tmp_path / "f.csv").rows


def test_tags_are_those_of_the_interface(featurize_here, folder, tmp_path):
    """With a network that has no front end of its own."""
    featurize_here(folder / "long.wav", "--out", tmp_path / "f.npz", "--tags")
    rows, expected = feature_table.read(tmp_path / "f.npz").rows, tags(folder / "long.wav")
    np.testing.assert_allclose(rows[list(expected)].iloc[0].to_numpy(float), list(expected.values()), atol=1e-6)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.9])
def test_short_track_is_repeated_to_one_window(tmp_path, seconds):
    soundfile.write(tmp_path / "a.wav", music(seconds), RATE, subtype="FLOAT")
    log_mel = spectrogram.log_mel([music(seconds)])
    repeated = np.take(log_mel, np.arange(187) % log_mel.shape[1], axis=1)
    networks = track_features.load_networks()
    result = track_features.analyse(tmp_path / "a.wav", networks)
    for expected, computed in zip(networks.analyse(repeated), result[3:6], strict=True):
        np.testing.assert_allclose(computed[0], expected, rtol=1e-4, atol=1e-5)


def test_windows_cover_a_track_of_any_length(tmp_path):
    path = tmp_path / "a.wav"
    for seconds, lengths in ((0.1, [0.1]), (29.1, [29.1]), (43, [29.1]), (44, [29.1, 14.9]), (90, [29.1] * 3)):
        samples = music(seconds)
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        windows = [np.concatenate(window.blocks) for window in track_features.windows(path) if not window.is_short]
        assert [len(window) / RATE for window in windows] == pytest.approx(lengths, abs=1e-3)
        joined = np.concatenate(windows)
        assert (joined == samples[: len(joined)]).all()


@pytest.mark.parametrize("every", [None, 3, 58.2, 300])
def test_music_after_minutes_of_silence(tmp_path, every):
    """What remains after whole windows or steps is used where nothing else can be."""
    soundfile.write(tmp_path / "a.wav", np.concatenate([np.zeros(120 * RATE), music(1.4)]), RATE)
    result = track_features.analyse(tmp_path / "a.wav", track_features.load_networks(), every)
    assert result.features.shape == (1, 512) and result.end == pytest.approx(121.4, abs=0.01)


def test_shards_are_joined(featurize_here, folder, tiny_model, tmp_path):
    for part in (1, 2, 3):
        out = featurize_here(folder, "--out", tmp_path / "f.csv", "--shard", f"{part}/3")
        assert f"in shard {part} of 3" in out and not (tmp_path / "f.csv").exists()
    assert list(tmp_path.glob("f.failures-*-of-3.csv"))
    (tmp_path / "f.failures_of_mine.csv").touch()  # of the user: it is kept
    assert "7 tracks: 4 done, 3 to do" in featurize_here(folder, "--out", tmp_path / "f.csv")
    featurize_here(folder, "--out", tmp_path / "whole.csv")
    for name in ("csv", "failures.csv"):
        assert (tmp_path / f"f.{name}").read_bytes() == (tmp_path / f"whole.{name}").read_bytes()
    assert len(os.listdir(tmp_path)) == 5
    both = ("--out", tmp_path / "f.csv", "--shard", "1/3", "--overwrite")
    assert "cannot be combined" in refused(FEATURIZE, None, folder, "--model", tiny_model, *both)


def test_names_that_no_table_can_contain_fail_alone(featurize_here, folder, tmp_path):
    write_wav(tmp_path / "m/a.wav").rename(tmp_path / os.fsdecode(b"m/\xff.wav"))
    featurize_here(tmp_path / "m", folder / "clip.mp3", "--out", tmp_path / "f.csv")
    assert len(feature_table.read(tmp_path / "f.csv").rows) == 1
    assert "not valid UTF-8" in (tmp_path / "f.failures.csv").read_text()


def test_table_in_the_home_folder(featurize_here, folder, tmp_path, monkeypatch):
    """Shells do not replace the ~ here."""
    monkeypatch.setenv("HOME", str(tmp_path))
    featurize_here(folder / "clip.mp3", "--out=~/tables/f.csv")
    assert os.listdir(tmp_path / "tables") == ["f.csv"]


def test_a_file_is_tried_whatever_its_name(featurize_here, tmp_path):
    (tmp_path / "notes.txt").write_text("no music")
    featurize_here(tmp_path / "notes.txt", "--out", tmp_path / "f.csv", status=1)
    assert "notes.txt" in (tmp_path / "f.failures.csv").read_text() and not (tmp_path / "f.csv").exists()


def test_arguments_that_cannot_be_used(table, folder, tiny_model, tmp_path, monkeypatch):
    def message(path=folder, model=tiny_model, out=tmp_path / "f.csv"):
        return refused(FEATURIZE, None, path, "--model", model, "--out", out)

    make_model(tmp_path / "other.h5", seed=2)
    make_model(tmp_path / "mels.h5", settings={**spectrogram.SETTINGS, "n_mels": 64})
    (tmp_path / "empty").mkdir()
    assert "contains no recording" in message(path=tmp_path / "empty")
    assert "does not exist" in message(path=tmp_path / "none")
    assert "does not exist" in message(model=tmp_path / "none.h5")
    assert "n_mels = 64" in message(model=tmp_path / "mels.h5")
    assert fingerprint(tmp_path / "other.h5") in message(model=tmp_path / "other.h5", out=table)
    assert ".parquet" in message(out=tmp_path / "f.xlsx")
    for name in ("annotations.csv", "f.npz", "f.parquet"):
        (tmp_path / name).write_text("clip_id\tjazz\n")
        words = f"{tmp_path / name} is no table of python/featurize.py, and is not replaced"
        assert words in refused(FEATURIZE, None, folder, "--out", tmp_path / name, "--overwrite")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install pyarrow" in message(out=tmp_path / "f.parquet")


# similar.py


def similar(capsys, *args):
    assert call_script(SIMILAR, None, *args) == 0
    return capsys.readouterr().out.splitlines()


def test_similar_lists_the_nearest_first(table, folder, capsys):
    head, *lines = similar(capsys, "long", "--features", table, "--top", "2")
    assert str(folder / "long.wav") in head and not any("long.wav" in line for line in lines)
    cosines = [float(line.split()[0]) for line in lines]
    assert len(cosines) == 2 and cosines[0] >= cosines[1]


def test_similar_to_a_recording_that_is_not_in_the_table(table, folder, tiny_model, tmp_path, capsys):
    copy = tmp_path / "copy.mp3"
    copy.write_bytes((folder / "clip.mp3").read_bytes())
    _, line = similar(capsys, copy, "--features", table, "--top", "1", "--model", tiny_model)
    assert line.startswith("1.000") and line.endswith(str(folder / "clip.mp3"))
    make_model(tmp_path / "other.h5", seed=2)
    message = refused(SIMILAR, None, copy, "--features", table, "--model", tmp_path / "other.h5")
    assert "another network" in message and "--model" in message
    short = refused(SIMILAR, None, folder / "short.wav", "--features", table, "--model", tiny_model)
    assert "shorter than 0.1 s" in short


def test_similar_names_what_it_cannot_use(table, tmp_path):
    assert "fits 4 tracks" in refused(SIMILAR, None, "music", "--features", table)
    assert "neither" in refused(SIMILAR, None, "no such thing", "--features", table)
    (tmp_path / "a.csv").write_text("path,genre\nx,y\n")
    (tmp_path / "a.npz").write_bytes(b"PK")
    for name, words in (("a.csv", "a.csv"), ("a.npz", "a.npz"), ("none.npz", "featurize.py")):
        assert words in refused(SIMILAR, None, "x", "--features", tmp_path / name)


def test_time_steps_are_averaged_for_similar(featurize_here, folder, tmp_path, capsys):
    featurize_here(folder / "long.wav", folder / "clip.mp3", "--every", "29.1", "--out", tmp_path / "f.npz")
    assert len(similar(capsys, "long", "--features", tmp_path / "f.npz")) == 2


def test_cosine_against_its_definition():
    features = np.array([[1, 0], [2, 2], [0, 3], [0, 0]], np.float32)
    matches = neighbours.nearest(features[0], features, top=5, leave_out=0)
    assert [row for _, row in matches] == [1, 2, 3]
    assert [cosine for cosine, _ in matches] == pytest.approx([np.sqrt(0.5), 0, 0])
