"""featurize.py and similar.py on a folder of all kinds of recordings, with a tiny network."""

import csv
import os
import re
import sys
from datetime import datetime

import numpy as np
import pandas
import pytest
import soundfile
from tiny_pipeline import load_script
from tiny_results import make_model

from music_featurization import tags, workers
from music_featurization.artifacts import PipelineError, fingerprint
from music_featurization.audio import decoding, spectrogram
from music_featurization.dataset.genres import GENRES
from music_featurization.feature_tables import feature_table, table_run, track_features
from music_featurization.network import front_end, prediction
from music_featurization.style_space import neighbours

featurize = load_script("python/featurize.py").main
similar = load_script("python/similar.py").main
RATE = decoding.SAMPLE_RATE
NASTY = 'a, "b"\nc.wav'


def sound(seconds, rate=RATE, seed=0):
    """Noise under a tone of its own, so that no two sound alike."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * rng.uniform(100, 4000) * time)
    return (0.3 * tone + 0.01 * rng.normal(size=len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "network.h5"
    make_model(path)
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    (folder / "sub").mkdir()
    soundfile.write(folder / "long.wav", sound(60), RATE, subtype="FLOAT")
    soundfile.write(folder / "sub" / "stereo.flac", np.stack([sound(5, 44100, 1)] * 2, axis=1), 44100)
    soundfile.write(folder / "clip.mp3", sound(10, 16000, 2), 16000, format="MP3")
    soundfile.write(folder / NASTY, sound(4, seed=3), RATE)
    soundfile.write(folder / "short.wav", sound(0.05), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(5 * RATE), RATE)
    (folder / "junk.mp3").write_bytes(b"not music")
    (folder / "cover.jpg").write_bytes(b"not music either")
    return folder


@pytest.fixture(scope="module")
def table(music, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "features.csv"
    assert not featurize([str(music), "--model", str(model), "--out", str(out), "--jobs", "2"])
    return out


def refused(main, *args):
    with pytest.raises(PipelineError) as error:
        main([str(arg) for arg in args])
    return str(error.value)


def test_one_row_per_track(table, music, model):
    with open(table, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:7] == ["path", "seconds", "genre", "model", "note", "bytes", "modified"]
    assert header[7:13] == [f"probability_{genre}" for genre in GENRES]
    assert header[13:] == [f"feature_{number:03d}" for number in range(512)]
    paths = [music / name for name in (NASTY, "clip.mp3", "long.wav", "sub/stereo.flac")]
    assert [row[0] for row in rows] == list(map(str, paths))
    assert {row[3] for row in rows} == {fingerprint(model)}
    seconds = [float(row[1]) for row in rows]
    assert seconds == pytest.approx([4, 10, 58.2, 5], abs=0.2)  # 1.8 s after two windows of a minute are left out
    for row, path in zip(rows, paths, strict=True):
        assert row[4:6] == ["", str(path.stat().st_size)]
        assert datetime.fromisoformat(row[6]).timestamp() == pytest.approx(path.stat().st_mtime, abs=0.002)
        probabilities = [float(number) for number in row[7:13]]
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert row[2] == GENRES[int(np.argmax(probabilities))]


def test_features_are_the_means_over_windows(table, music, model, tmp_path):
    from music_featurization.network import checkpoints

    samples, whole = sound(60), round(29.1 * RATE)
    network = checkpoints.load(model)
    windows = [spectrogram.log_mel([samples[start : start + whole]]) for start in (0, whole)]
    for number, window in enumerate(windows):
        np.save(tmp_path / f"{number}.npy", window)
    probabilities, features = prediction.predict(network, [tmp_path / "0.npy", tmp_path / "1.npy"])
    assert np.abs(features[0] - features[1]).max() > 1e-4
    content = feature_table.read(table)
    row = content.names.index(str(music / "long.wav"))
    assert content.features[row] == pytest.approx(np.mean(features, axis=0), rel=1e-5, abs=1e-6)
    assert content.rows["probability_opera"][row] == pytest.approx(np.mean(probabilities, axis=0)[2], rel=1e-5)


def test_failures_have_reasons(table, music):
    with open(table.with_name("features.failures.csv"), encoding="utf-8", newline="") as file:
        listed = dict(csv.reader(file))
    assert listed.pop("path") == "error"
    assert set(listed) == {str(music / name) for name in ("junk.mp3", "short.wav", "silent.wav")}
    assert listed[str(music / "short.wav")] == "shorter than 0.1 s: 0.05 s"
    assert listed[str(music / "silent.wav")] == "silent from beginning to end"
    assert "audio" in listed[str(music / "junk.mp3")]


def test_nothing_is_left_beside_the_table(table):
    assert sorted(path.name for path in table.parent.iterdir()) == ["features.csv", "features.failures.csv"]


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_other_formats_hold_the_same(table, ending, tmp_path):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    expected = feature_table.read(table)
    feature_table.write(tmp_path / f"a{ending}", expected)
    copy = feature_table.read(tmp_path / f"a{ending}")
    pandas.testing.assert_frame_equal(copy.rows, expected.rows, check_dtype=False)
    assert (copy.features == expected.features).all() and copy.recordings == expected.recordings


def test_run_again_adds_what_is_missing(music, model, tmp_path, capsys):
    out, more = tmp_path / "f.npz", tmp_path / "more.wav"
    first = [str(music / "clip.mp3"), str(music / "sub"), "--model", str(model), "--out", str(out)]
    featurize(first)
    made = out.read_bytes()
    capsys.readouterr()
    featurize(first)
    assert "2 tracks: 2 done, 0 to do" in capsys.readouterr().out
    soundfile.write(more, sound(3.5), RATE)
    featurize([str(more), *first])
    assert "3 tracks: 2 done, 1 to do" in capsys.readouterr().out
    content = feature_table.read(out)
    assert len(content.rows) == 3
    out.write_bytes(made)
    before = feature_table.read(out)
    kept = content.select(content.rows["recording"].isin(before.names).to_numpy())
    pandas.testing.assert_frame_equal(kept.rows, before.rows)
    assert (kept.features == before.features).all()


def test_interrupted_run_keeps_what_is_finished(music, model, tmp_path, monkeypatch, capsys):
    out = tmp_path / "f.csv"
    args = [str(music), "--model", str(model), "--out", str(out), "--jobs", "1"]
    outcomes = workers.run

    def interrupted(*args, **options):
        for number, outcome in enumerate(outcomes(*args, **options)):
            if number == 4:
                raise KeyboardInterrupt
            yield outcome

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(workers, "run", interrupted)
        featurize(args)
    assert not out.exists() and table_run.parts(out)
    capsys.readouterr()
    featurize(args)
    printed = capsys.readouterr().out
    assert "7 tracks: " in printed and "7 tracks: 0 done" not in printed
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
def test_time_steps_are_rows(music, model, tmp_path, every, start, end):
    out = tmp_path / "w.csv"
    args = [str(music / "long.wav"), "--model", str(model), "--out", str(out)]
    assert featurize([*args, "--every", str(every), "--tags"]) == 0
    rows = feature_table.read(out).rows
    assert rows["start"].tolist() == start and rows["end"].tolist() == end
    assert rows["seconds"].sum() == pytest.approx(end[-1])
    assert list(rows)[:4] == ["recording", "start", "end", "seconds"]
    assert [name for name in rows if name.startswith(("mtt_", "msd_"))] == front_end.tag_names()
    message = refused(featurize, *args)
    assert f"contains steps of {max(np.subtract(end, start)):g} s with tags by the network" in message
    assert "makes whole tracks without tags" in message
    if every == 24:
        assert "steps of 24 s with tags" in refused(featurize, *args, "--every", "12", "--tags")
        featurize([*args, "--overwrite"])
        assert "start" not in feature_table.read(out).rows


def test_tags_are_those_of_the_interface(music, model, tmp_path):
    """With a network that has no front end of its own."""
    featurize([str(music / "long.wav"), "--model", str(model), "--out", str(tmp_path / "f.npz"), "--tags"])
    rows = feature_table.read(tmp_path / "f.npz").rows
    wanted = tags(music / "long.wav")
    np.testing.assert_allclose(rows[list(wanted)].iloc[0].to_numpy(float), list(wanted.values()), atol=1e-6)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.9])
def test_short_track_is_repeated_to_one_window(tmp_path, seconds):
    soundfile.write(tmp_path / "a.wav", sound(seconds), RATE, subtype="FLOAT")
    log_mel = spectrogram.log_mel([sound(seconds)])
    repeated = np.take(log_mel, np.arange(187) % log_mel.shape[1], axis=1)
    networks = track_features.load_networks()
    result = track_features.analyse(tmp_path / "a.wav", networks)
    for wanted, computed in zip(networks.analyse(repeated), result[3:6], strict=True):
        np.testing.assert_allclose(computed[0], wanted, rtol=1e-4, atol=1e-5)


def test_shards_are_joined(music, model, tmp_path, capsys):
    args = [str(music), "--model", str(model), "--jobs", "1", "--out"]
    for part in (1, 2, 3):
        assert featurize([*args, str(tmp_path / "f.csv"), "--shard", f"{part}/3"]) == 0
    assert not (tmp_path / "f.csv").exists() and "in shard 3 of 3" in capsys.readouterr().out
    assert featurize([*args, str(tmp_path / "f.csv")]) == 0
    assert "7 tracks: 4 done, 3 to do" in capsys.readouterr().out
    assert featurize([*args, str(tmp_path / "whole.csv")]) == 0
    assert (tmp_path / "f.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "f.failures.csv").read_bytes() == (tmp_path / "whole.failures.csv").read_bytes()
    assert len(os.listdir(tmp_path)) == 4
    assert "cannot be combined" in refused(featurize, *args, tmp_path / "f.csv", "--shard", "1/3", "--overwrite")


def test_table_of_another_network_is_refused(table, music, tmp_path):
    make_model(tmp_path / "other.h5", seed=2)
    other = ("--model", tmp_path / "other.h5")
    assert fingerprint(tmp_path / "other.h5") in refused(featurize, music, *other, "--out", table)
    soundfile.write(tmp_path / "new.wav", sound(4), RATE)
    message = refused(similar, tmp_path / "new.wav", "--features", table, *other)
    assert "another network" in message and "--model" in message


@pytest.mark.parametrize(
    "path, message",
    [("", "contains no recording"), ("none", "does not exist"), ("notes.txt", None)],
)
def test_bad_paths(path, message, model, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no music, and named")
    args = (tmp_path / path, "--model", model, "--out", tmp_path / "f.csv")
    if message:
        assert message in refused(featurize, *args)
    else:  # a file is tried whatever its name
        assert featurize([str(arg) for arg in args]) == 1
        assert "notes.txt" in (tmp_path / "f.failures.csv").read_text() and not (tmp_path / "f.csv").exists()


def test_bad_names_of_tables(music, model, tmp_path, monkeypatch):
    assert ".parquet" in refused(featurize, music, "--model", model, "--out", tmp_path / "f.xlsx")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install pyarrow" in refused(featurize, music, "--model", model, "--out", tmp_path / "f.parquet")


def test_networks_that_do_not_fit(music, tmp_path):
    assert "does not exist" in refused(featurize, music, "--model", tmp_path / "none.h5", "--out", tmp_path / "f.csv")
    make_model(tmp_path / "other.h5", settings={**spectrogram.SETTINGS, "n_mels": 64})
    message = refused(featurize, music, "--model", tmp_path / "other.h5", "--out", tmp_path / "f.csv")
    assert "n_mels = 64" in message and "n_mels = 96" in message


def test_damaged_table_is_named(table, model, tmp_path):
    (tmp_path / "a.csv").write_text("path,genre\nx,y\n")
    assert "a.csv" in refused(similar, "x", "--features", tmp_path / "a.csv")
    (tmp_path / "a.npz").write_bytes(b"PK")
    assert "a.npz" in refused(similar, "x", "--features", tmp_path / "a.npz")
    assert "featurize.py" in refused(similar, "x", "--features", tmp_path / "none.npz")


def test_windows_cover_a_track_of_any_length(tmp_path):
    path = tmp_path / "a.wav"
    for seconds, expected in ((0.1, [0.1]), (29.1, [29.1]), (43, [29.1]), (44, [29.1, 14.9]), (90, [29.1, 29.1, 29.1])):
        samples = sound(seconds)
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        found = [np.concatenate(window.blocks) for window in track_features.windows(path)]
        assert [len(window) / RATE for window in found] == pytest.approx(expected, abs=1e-3)
        joined = np.concatenate(found)
        assert (joined == samples[: len(joined)]).all()


def test_names_that_no_table_can_hold_fail_alone(music, model, tmp_path):
    odd = os.fsencode(tmp_path / "m") + b"/\xff.wav"
    (tmp_path / "m").mkdir()
    with open(odd, "wb") as file, open(music / "clip.mp3", "rb") as content:
        file.write(content.read())
    out = tmp_path / "f.csv"
    featurize([str(tmp_path / "m"), str(music / "clip.mp3"), "--model", str(model), "--out", str(out)])
    assert len(feature_table.read(out).rows) == 1
    assert "not valid UTF-8" in (tmp_path / "f.failures.csv").read_text()


# similar.py


def test_similar_lists_the_nearest_first(table, music, capsys):
    similar(["long", "--features", str(table), "--top", "2"])
    head, _, listed = capsys.readouterr().out.partition("\n")
    assert str(music / "long.wav") in head and "long.wav" not in listed
    cosines = re.findall(r"^(-?\d\.\d{3})  \w+  ", listed, re.MULTILINE)  # one name contains a line feed
    assert len(cosines) == 2 and float(cosines[0]) >= float(cosines[1])


def test_similar_takes_a_recording_that_is_not_in_the_table(table, music, model, tmp_path, capsys):
    copy = tmp_path / "copy.mp3"
    copy.write_bytes((music / "clip.mp3").read_bytes())
    similar([str(copy), "--features", str(table), "--top", "1", "--model", str(model)])
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith("1.000") and line.endswith(str(music / "clip.mp3"))
    assert "shorter than 0.1 s" in refused(similar, music / "short.wav", "--features", table, "--model", model)


def test_similar_asks_back(table):
    assert "fits 4 tracks" in refused(similar, "music", "--features", table)
    assert "neither" in refused(similar, "no such thing", "--features", table)


def test_cosine_against_its_definition():
    features = np.array([[1, 0], [2, 2], [0, 3], [0, 0]], np.float32)
    found = neighbours.nearest(features[0], features, top=5, leave_out=0)
    assert [row for _, row in found] == [1, 2, 3]
    assert [cosine for cosine, _ in found] == pytest.approx([np.sqrt(0.5), 0, 0])


def test_windows_are_averaged_for_neighbours(music, model, tmp_path, capsys):
    out = tmp_path / "w.npz"
    featurize(
        [str(music / "long.wav"), str(music / "clip.mp3"), "--every", "29.1", "--model", str(model), "--out", str(out)]
    )
    capsys.readouterr()
    similar(["long", "--features", str(out)])
    assert len(capsys.readouterr().out.splitlines()) == 2
