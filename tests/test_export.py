"""Test that exported networks give what Keras gives, without Keras, by the code that export.py prints."""

import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tiny_music import music, write_mp3
from tiny_pipeline import contents, refused, run_script

from music_featurization.artifacts import EXPORT, PROVIDED_MODEL
from music_featurization.audio import decoding, spectrogram
from music_featurization.feature_tables import track_features
from music_featurization.network import checkpoints, export, front_end, networks, prediction


@pytest.fixture(autouse=True)
def packages(request):
    for name in ("onnx", "tf2onnx", "onnxruntime") if "onnx" in request.node.name else ():
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


def run_printed(code, folder):
    """Run the printed code on a recording in a folder; return its clip and results."""
    save = "\nfor name in ('clip', 'genres', 'features'): np.save(f'{name}.npy', globals()[name])\nimport sys\n"
    bare = "assert not any(name.startswith('music_featurization') for name in sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code + save + bare], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [np.load(folder / f"{name}.npy") for name in ("clip", "genres", "features")]


def earlier_export(output, format):
    """Write the beginning of a file, or a folder, that --overwrite may replace."""
    if format == "onnx":
        output.write_bytes(b"\x08\x0a\x12\x00")
    else:
        output.mkdir()
        (output / "saved_model.pb").write_text("earlier")


def network_file(network_name, folder):
    """Return the provided crnn, or write a network of random weights."""
    if network_name == "crnn":
        return PROVIDED_MODEL
    about = checkpoints.read_about(PROVIDED_MODEL) | {"network": network_name, "front_end": None}
    model = networks.build_network(network_name, len(about["classes"]), weights="none")
    checkpoints.save(model, folder / "network.h5", about)
    return folder / "network.h5"


@pytest.mark.parametrize(
    ("format", "network_name"), [("onnx", "crnn"), ("savedmodel", "crnn"), ("savedmodel", "vgg16")]
)
def test_printed_code_gives_what_keras_gives(tmp_path, capsys, format, network_name):
    song, output = write_mp3(tmp_path / "song.mp3", music(7)), tmp_path / 'exported "again"'
    model_file = network_file(network_name, tmp_path)
    command = (EXPORT, tmp_path, model_file, "--format", format, "--output", output)
    earlier_export(output, format)
    before = contents(tmp_path)
    assert "exists. Give --overwrite" in refused(*command) and contents(tmp_path) == before
    assert run_script(*command, "--overwrite") == 0
    clip, genres, features = run_printed(capsys.readouterr().out.split("\n\n", 1)[1], tmp_path)
    log_mel = spectrogram.log_mel(decoding.stream(song, strict=False))
    ours = front_end.whole_windows(log_mel)[None]
    assert clip.shape == ours.shape == (1, 96, 2 * 187) and np.abs(clip - ours).max() < 0.01
    np.save(tmp_path / "log_mel.npy", clip[0])
    model = checkpoints.load(model_file)
    expected_genres, expected_features = prediction.predict(model, [tmp_path / "log_mel.npy"])
    assert genres.shape == (1, 6) and np.abs(genres - expected_genres).max() < 1e-4
    assert features.shape == (1, 512) and np.abs(features - expected_features).max() < 1e-4
    np.save(tmp_path / "log_mel.npy", log_mel)
    of_file = prediction.predict(model, [tmp_path / "log_mel.npy"])[1]
    of_track = track_features.analyse(song, track_features.load_networks(model_file)).features
    assert np.abs(of_track - of_file).max() < 1e-4  # featurize.py fits the clip to windows as 2-testing.py does
    assert not list(tmp_path.glob(".unfinished-*"))
    export._require_free(output, format, overwrite=True)  # raises nothing: what is written may be replaced
    if format == "onnx":
        check_any_number_of_clips_and_windows(output, model, tmp_path)


def check_any_number_of_clips_and_windows(onnx_file, model, folder):
    import onnxruntime

    session, rng = onnxruntime.InferenceSession(onnx_file), np.random.default_rng(0)
    assert session.get_inputs()[0].shape == ["clips", 96, "frames"]
    for clips, windows in ((1, 1), (3, 10), (2, 4)):
        batch = rng.uniform(0, 4, (clips, 96, 187 * windows)).astype(np.float32)
        genres, features = session.run(["genres", "features"], {"spectrogram": batch})
        for i, clip in enumerate(batch):
            np.save(folder / f"{i}.npy", clip)
        expected = prediction.predict(model, [folder / f"{i}.npy" for i in range(clips)])
        assert np.abs(genres - expected[0]).max() < 1e-4 and np.abs(features - expected[1]).max() < 1e-4


@pytest.mark.parametrize("format", ["onnx", "savedmodel"])
def test_what_cannot_be_exported_is_explained(tmp_path, monkeypatch, format):
    def refusal(model_file, *options):
        before = contents(tmp_path)
        message = refused(EXPORT, tmp_path, model_file, "--format", format, "--output", tmp_path / "out", *options)
        assert contents(tmp_path) == before
        return message

    (tmp_path / "junk.h5").write_bytes(b"junk")
    assert "junk.h5 is not a readable Keras .h5 file" in refusal(tmp_path / "junk.h5")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("keep")
    assert "is not an exported network" in refusal(PROVIDED_MODEL, "--overwrite")
    mine = shutil.copy(PROVIDED_MODEL, tmp_path / "mine.h5")
    assert "mine.h5 is not an exported network" in refusal(mine, "--output", mine, "--overwrite")
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    assert "KERAS_BACKEND=tensorflow" in refusal(PROVIDED_MODEL, "--output", tmp_path / "new")


def test_full_disk_leaves_the_earlier_export(tmp_path, monkeypatch):
    import tensorflow as tf

    def save(module, folder, **options):
        os.makedirs(folder)
        raise tf.errors.ResourceExhaustedError(None, None, f"{{SaveV2}} {folder}; No space left on device")

    earlier_export(tmp_path / "out", "savedmodel")
    before = contents(tmp_path)
    monkeypatch.setattr(tf.saved_model, "save", save)
    arguments = ("--format", "savedmodel", "--output", tmp_path / "out", "--overwrite")
    assert "out cannot be written: No space left on device" in refused(EXPORT, tmp_path, PROVIDED_MODEL, *arguments)
    assert contents(tmp_path) == before
    (tmp_path / "out").rename(tmp_path / ".out-old")  # as if killed before the new export is in its place
    refused(EXPORT, tmp_path, PROVIDED_MODEL, *arguments)
    assert contents(tmp_path) == before


def test_missing_package_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    command = (EXPORT, tmp_path, PROVIDED_MODEL, "--format", "onnx", "--output", tmp_path / "x.onnx")
    assert "pip install -r requirements-export.txt" in refused(*command)
