"""Test the Python interface on recordings that the tests make, with the provided networks."""

import doctest
import shutil

import numpy as np
import pytest
import soundfile
from tiny_music import music
from tiny_pipeline import run_script

import music_featurization
from music_featurization import api, load_features, log_mel, predict, tags
from music_featurization.artifacts import FRONT_END, PROVIDED_MODEL, REPOSITORY, PipelineError
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


def test_features_are_those_of_featurize(track, tmp_path):
    assert (
        run_script("python/featurize.py", tmp_path, track, "--out", tmp_path / "f.csv", "--model", PROVIDED_MODEL) == 0
    )
    table = load_features(tmp_path / "f.csv")
    ours = music_featurization.features(track)
    assert ours.shape == (512,) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, table.features[0], rtol=1e-5, atol=1e-5)
    genres = predict(track)
    assert list(genres) == list(GENRES) and sum(genres.values()) == pytest.approx(1, abs=1e-5)
    assert max(genres, key=genres.get) == table.genres[0]


@pytest.mark.parametrize("every, starts", [(2.0, [0, 2, 4, 6]), (3.0, [0, 3, 6]), (3.2, [0, 3.2, 6.4]), (5.0, [0, 5])])
def test_features_over_time(track, every, starts):
    """The remainder counts if it is at least half a step: 2 s of 3, 1.6 s of 3.2, 3 s of 5."""
    rows, seconds = music_featurization.features(track, every=every)
    assert rows.shape == (len(starts), 512)
    np.testing.assert_allclose(seconds, starts)


def test_features_over_time_leave_out_a_short_remainder(track):
    assert len(music_featurization.features(track, every=3.5)[0]) == 2  # 1 s is less than half of 3.5 s


def test_tags_are_the_front_ends(track):
    import keras

    network = keras.saving.load_model(FRONT_END, compile=False)
    outputs = dict(
        zip(network.output_names, network.predict(front_end.windows(log_mel(track)), verbose=0), strict=True)
    )
    wanted = np.concatenate([outputs["mtt_tags"].mean(axis=0), outputs["msd_tags"].mean(axis=0)])
    found = tags(track)
    assert len(found) == 100 and list(found)[:2] == ["mtt_guitar", "mtt_classical"] and list(found)[50] == "msd_rock"
    np.testing.assert_allclose(list(found.values()), wanted, atol=1e-5)


@pytest.mark.parametrize("function", [log_mel, music_featurization.features, predict, tags])
def test_errors_name_the_recording(function, tmp_path):
    (tmp_path / "junk.mp3").write_bytes(b"junk" * 99)
    with pytest.raises(PipelineError, match=r"junk\.mp3: not readable as audio"):
        function([tmp_path / "junk.mp3"])
    with pytest.raises(PipelineError, match=r"gone\.mp3 cannot be read: No such file"):
        function(tmp_path / "gone.mp3")


def test_every_must_be_a_duration(track):
    with pytest.raises(PipelineError, match=r"every=0 is not a number of seconds of 0\.1 or more"):
        music_featurization.features(track, every=0)


def test_other_names_do_not_exist():
    with pytest.raises(AttributeError, match="no attribute 'embed'"):
        music_featurization.embed  # noqa: B018


def test_tag_prints_the_likeliest_of_each_network(track, tmp_path, capsys):
    (tmp_path / "junk.mp3").write_bytes(b"junk" * 99)
    assert run_script("python/tag.py", tmp_path, track, tmp_path / "junk.mp3", "--top", 2) == 0
    said = capsys.readouterr()
    found, lines = tags(track), said.out.splitlines()
    assert len(lines) == 3 and lines[0].endswith("track.wav")
    for line, prefix in zip(lines[1:], ("mtt_", "msd_"), strict=True):
        best = sorted((tag for tag in found if tag.startswith(prefix)), key=found.get, reverse=True)[:2]
        assert line.endswith(": " + ", ".join(f"{tag.removeprefix(prefix)} {found[tag]:.2f}" for tag in best))
    assert "junk.mp3: not readable as audio" in said.err and said.err.count("\n") == 1


def test_tag_fails_if_no_recording_can_be_read(tmp_path):
    (tmp_path / "junk.mp3").write_bytes(b"junk" * 99)
    assert run_script("python/tag.py", tmp_path, tmp_path / "junk.mp3") == 1


def test_examples_in_docstrings(tmp_path, monkeypatch):
    shutil.copy(REPOSITORY / "tests/data/vocadito_10.mp3", tmp_path / "song.mp3")
    monkeypatch.chdir(tmp_path)
    for module in (front_end, featurize, api):  # in this order: an example reads what another one writes
        result = doctest.testmod(module)
        assert result.attempted and not result.failed


def test_tags_over_time_and_their_pictures(track, tmp_path):
    over_time, seconds = tags(track, every=2.0)
    rows, starts = music_featurization.features(track, every=2.0)
    assert list(over_time) == list(tags(track)) and {len(values) for values in over_time.values()} == {len(rows)} == {4}
    np.testing.assert_array_equal(seconds, starts)
    assert run_script("python/tag.py", tmp_path, track, "--plot", "--output", tmp_path / "pictures") == 0
    names = [f"track_{network}_{theme}{ending}" for network in ("msd", "mtt") for theme in ("dark", "light")
             for ending in (".png", ".svg")]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == names
