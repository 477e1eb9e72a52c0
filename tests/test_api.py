"""Test the Python interface and tag.py on recordings that the tests make, with the provided networks."""

import doctest
import itertools
import math
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
import soundfile
from tiny_music import SINGER, log_mel_of_librosa, music, write_mp3
from tiny_pipeline import run_script

from music_featurization import api, features, load_features, log_mel, predict, tags, workers
from music_featurization.artifacts import FEATURIZE, FRONT_END, TAG, PipelineError
from music_featurization.dataset.genres import GENRES
from music_featurization.feature_tables import featurize
from music_featurization.network import front_end


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    path = tmp_path_factory.mktemp("track") / "track.wav"
    soundfile.write(path, np.concatenate([music(4, seed=1), music(4, seed=2)]), 16000)
    return path


def test_log_mel(track):
    clip = log_mel(track)
    assert clip.shape == (96, 1 + 8 * 16000 // 256) and clip.dtype == np.float32 and clip.min() >= 0
    assert [other.shape for other in log_mel([track, str(track)])] == [clip.shape] * 2


def test_features_are_those_of_featurize(track, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "run", lambda function, paths, **_: ((path, function(path)) for path in paths))
    assert run_script(FEATURIZE, tmp_path, track, "--out", tmp_path / "f.csv") == 0
    table, ours, genres = load_features(tmp_path / "f.csv"), features(track), predict(track)
    assert ours.shape == (512,) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, table.features[0], rtol=1e-5, atol=1e-5)
    assert list(genres) == list(GENRES) and sum(genres.values()) == pytest.approx(1, abs=1e-5)
    assert max(genres, key=genres.get) == table.genres[0]


@pytest.mark.parametrize(
    "every, starts",
    [(2.0, [0, 2, 4, 6]), (3.0, [0, 3, 6]), (3.2, [0, 3.2, 6.4]), (3.5, [0, 3.5]), (5.0, [0, 5])],
)
def test_features_over_time(track, every, starts):
    """The remainder counts if it is at least half a step: 2 s of 3, 1.6 s of 3.2, 3 s of 5, but not 1 s of 3.5."""
    rows, seconds = features(track, every=every)
    assert rows.shape == (len(starts), 512)
    np.testing.assert_allclose(seconds, starts)


def test_tags_are_the_front_ends(track):
    network = keras.saving.load_model(FRONT_END, compile=False)
    outputs = network.predict(front_end.windows(log_mel(track)), verbose=0)
    means = {name: values.mean(axis=0) for name, values in zip(network.output_names, outputs, strict=True)}
    ours = tags(track)
    assert len(ours) == 100 and list(ours)[:2] == ["mtt_guitar", "mtt_classical"] and list(ours)[50] == "msd_rock"
    expected = np.concatenate([means["mtt_tags"], means["msd_tags"]])
    np.testing.assert_allclose(list(ours.values()), expected, atol=1e-5)


@pytest.mark.parametrize("function", [log_mel, features, predict, tags])
def test_errors_name_the_recording(function, tmp_path):
    (tmp_path / "junk.mp3").write_bytes(b"junk" * 99)
    with pytest.raises(PipelineError, match=r"junk\.mp3: not readable as audio"):
        function([tmp_path / "junk.mp3"])
    with pytest.raises(PipelineError, match=r"gone\.mp3 cannot be read: No such file"):
        function(tmp_path / "gone.mp3")


def test_real_recording_of_a_man_who_sings_alone():
    expected, clip = log_mel_of_librosa(SINGER), log_mel(SINGER)
    assert abs(clip.shape[1] - expected.shape[1]) <= 1
    frames = min(clip.shape[1], expected.shape[1]) - 2  # the last frames depend on how the decoder ends
    np.testing.assert_allclose(clip[:, :frames], expected[:, :frames], atol=0.01)
    probabilities, genres = tags(SINGER), predict(SINGER)
    mtt = sorted((tag for tag in probabilities if tag.startswith("mtt_")), key=probabilities.get)
    assert {"mtt_male vocal", "mtt_man"} <= set(mtt[-8:])
    assert probabilities["mtt_male vocal"] > 5 * probabilities["mtt_female vocal"]
    assert genres["opera"] > genres["classical"] + genres["baroque"]  # a voice without instruments


@pytest.mark.parametrize("every", [0, 1e300, math.nan])
def test_every_must_be_a_duration(track, every):
    with pytest.raises(PipelineError, match=r"is not a number of seconds from 0\.1 to 86400"):
        features(track, every=every)


def test_examples_in_docstrings(tmp_path, monkeypatch):
    shutil.copy(SINGER, tmp_path / "song.mp3")
    monkeypatch.chdir(tmp_path)
    for module in (front_end, featurize, api):  # in this order: an example reads what another one writes
        result = doctest.testmod(module)
        assert result.attempted and not result.failed


# tag.py


def test_tag_prints_the_most_probable_of_each_network(track, tmp_path, capfd):
    (tmp_path / "junk.mp3").write_bytes(b"junk" * 99)
    padded = write_mp3(tmp_path / "padded.mp3", music(4))
    os.truncate(padded, padded.stat().st_size + 30)  # which libmpg123 comments
    assert run_script(TAG, tmp_path, track, tmp_path / "junk.mp3", padded, "--top", 2) == 0
    out, err = capfd.readouterr()
    probabilities, lines = tags(track), out.splitlines()
    assert len(lines) == 6 and lines[0].endswith("track.wav")
    for line, prefix in zip(lines[1:3], ("mtt_", "msd_"), strict=True):
        by_network = [tag for tag in probabilities if tag.startswith(prefix)]
        best = sorted(by_network, key=probabilities.get, reverse=True)[:2]
        assert line.endswith(": " + ", ".join(f"{tag.removeprefix(prefix)} {probabilities[tag]:.2f}" for tag in best))
    assert "junk.mp3: not readable as audio" in err and err.count("\n") == 1
    assert run_script(TAG, tmp_path, tmp_path / "junk.mp3") == 1


def test_tags_over_time_and_their_pictures(track, tmp_path):
    over_time, seconds = tags(track, every=2.0)
    assert list(over_time) == list(tags(track)) and {len(values) for values in over_time.values()} == {4}
    assert seconds.tolist() == [0, 2, 4, 6]
    assert run_script(TAG, tmp_path, track, "--plot", "--output", tmp_path / "pictures") == 0
    parts = itertools.product(("msd", "mtt"), ("dark", "light"), ("png", "svg"))
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        f"track_{network}_{theme}.{ending}" for network, theme, ending in parts
    ]


def test_pictures_of_hostile_and_of_equal_names(track, tmp_path):
    folder = tmp_path / "music"
    for name in (b"a/song.wav", b"b/Song.wav", b"x" * 250 + b".wav", b"caf\xe9 $\\frac$\n.wav"):
        path = Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(track, path)
    assert run_script(TAG, tmp_path, folder, "--plot") == 0
    pictures = list((tmp_path / "results/taggrams").iterdir())
    assert len(pictures) == 4 * 8
    for path in pictures:
        if path.suffix == ".svg":
            ElementTree.parse(path)
