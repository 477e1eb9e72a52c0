"""Test the networks in models/: the front end against the original networks, best_model.h5 against its card."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import h5py
import joblib
import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from tiny_pipeline import run_all

from music_featurization.artifacts import FRONT_END, PROVIDED_MODEL, REPOSITORY, STEP_2, STEP_3, STEP_4, Artifacts
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder, split
from music_featurization.dataset.genres import GENRES
from music_featurization.demo import demo_dataset, synthesis
from music_featurization.network import checkpoints, front_end
from music_featurization.network.prediction import predict

STORED = REPOSITORY / "tests" / "data" / "front_end_windows.npz"
SIZES = {
    "mtt_penultimate": 200,
    "msd_penultimate": 200,
    "mtt_tags": 50,
    "msd_tags": 50,
    "mtt_pooled": 784,
    "msd_pooled": 424,
}
BARE = """
import sys, keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
stored = np.load(sys.argv[2])
outputs = model.predict(stored["windows"].astype("float32"), verbose=0)
assert all(np.abs(values - stored[name]).max() < 1e-4 for name, values in zip(model.output_names[:4], outputs))
assert keras.backend.backend() == sys.argv[3]
"""


@pytest.fixture(scope="module")
def network():
    return keras.saving.load_model(FRONT_END)


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED) as arrays:
        return dict(arrays)


def test_outputs_match_the_original_networks(network, stored):
    assert (network.name, network.input.name, network.input_shape) == ("front_end", "window", (None, 187, 96))
    assert network.output_names == list(SIZES)
    outputs = network.predict(stored["windows"].astype(np.float32), verbose=0)
    for name, values in zip(network.output_names, outputs, strict=True):
        scale = 100 if name.endswith("pooled") else 1  # pooled values reach 100
        assert values.shape == (len(stored["windows"]), SIZES[name])
        np.testing.assert_allclose(values, stored[name], rtol=0, atol=1e-4 * scale, err_msg=name)
        # A network that ignores its input could not pass the comparison.
        assert np.ptp(stored[name], axis=0).max() > 0.1, name


def test_silence_gives_finite_values(network):
    assert all(np.isfinite(values).all() for values in network.predict(np.zeros((1, 187, 96), np.float32), verbose=0))


def test_gradient_reaches_every_layer(network, stored):
    """One step of fine-tuning changes all trainable weights, and not the channel of ones."""
    tuned = keras.models.clone_model(network)
    tuned.set_weights(network.get_weights())
    trained = keras.Model(tuned.input, tuned.get_layer("mtt_penultimate").output)
    trained.compile("sgd", "mse")
    before = [weight.numpy().copy() for weight in trained.trainable_weights]
    trained.fit(stored["windows"].astype(np.float32), np.zeros((4, 200)), epochs=1, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, trained.trainable_weights, strict=True))
    assert trained.get_layer("shared_ones").get_weights()[0].max() == 0


def test_description_and_size():
    with h5py.File(FRONT_END) as file:
        about = json.loads(file.attrs["about"])
    assert about["name"] == "front_end" and about["version"] == 1
    assert (about["frames"], about["mel_bands"], about["outputs"]) == (187, 96, list(SIZES))
    assert {name: len(set(tags)) for name, tags in about["tags"].items()} == {"mtt": 50, "msd": 50}
    assert (about["tags"]["mtt"][0], about["tags"]["msd"][-1]) == ("guitar", "happy")
    assert {name: len(indices) for name, indices in about["pooled_indices"].items()} == {"mtt": 784, "msd": 424}
    assert about["source"]["wheel"] == "musicnn-0.1.0-py3-none-any.whl" and len(about["source"]["sha256"]) == 64
    assert FRONT_END.stat().st_size < 4e6


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_loads_in_bare_python(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    command = [sys.executable, "-I", "-c", BARE, str(FRONT_END), str(STORED), backend]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# best_model.h5


@pytest.fixture(scope="module")
def provided():
    return checkpoints.load(PROVIDED_MODEL), checkpoints.read_about(PROVIDED_MODEL)


def test_provided_network_loads_and_says_what_it_is(provided):
    model, about = provided
    assert PROVIDED_MODEL.stat().st_size < 12e6
    assert tuple(about["classes"]) == GENRES
    assert about["spectrogram_settings"] == spectrogram.SETTINGS
    assert front_end.embedder_of(model) is not None and model.get_layer("activation_1").output.shape == (None, 512)


def test_provided_network_is_as_good_as_its_card_says(provided, tmp_path):
    # Half a minute: the test clips of the demo are composed.
    artifacts = Artifacts(tmp_path)
    pieces = demo_dataset.plan(120, 10)
    demo_dataset.write_annotations(artifacts.annotations, pieces)
    run_all(tmp_path, (STEP_2,), (STEP_3,), (STEP_4, "--group-by", "song"))
    test = split.read_part(artifacts, "test")
    paths = {name.removesuffix(".npy") + ".mp3" for name in test["spectrogram"]}
    fonts = [synthesis.default_soundfont()]
    wanted = [piece for piece in pieces if paths & {path for _, path in piece.clips()}]
    make = joblib.delayed(demo_dataset.make_clips)
    joblib.Parallel(-1)(make(piece, artifacts.mp3_files, fonts, paths) for piece in wanted)
    folders = {"clips_folder": artifacts.mp3_files, "folder": artifacts.spectrograms}
    assert {spectrogram_folder.generate(path, **folders) for path in paths} == {None}
    probabilities, _ = predict(provided[0], [artifacts.spectrograms / name for name in test["spectrogram"]], 16)
    card = PROVIDED_MODEL.with_suffix(".md").read_text(encoding="utf-8")
    stated = float(re.search(r"\*\*(0\.\d+)\*\* \(accuracy", card).group(1))
    # Other machines round otherwise: one clip of the smallest class may fall on the other side.
    assert balanced_accuracy_score(test["label"], probabilities.argmax(1)) == pytest.approx(stated, abs=0.03)
