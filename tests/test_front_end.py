"""Test that the front end gives the outputs of the original networks, and that it loads without this project."""

import importlib.util
import json
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from music_featurization.artifacts import FRONT_END, REPOSITORY

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
def front_end():
    return keras.saving.load_model(FRONT_END)


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED) as arrays:
        return dict(arrays)


def test_outputs_match_the_original_networks(front_end, stored):
    assert (front_end.name, front_end.input.name, front_end.input_shape) == ("front_end", "window", (None, 187, 96))
    assert front_end.output_names == list(SIZES)
    outputs = front_end.predict(stored["windows"].astype(np.float32), verbose=0)
    for name, values in zip(front_end.output_names, outputs, strict=True):
        scale = 100 if name.endswith("pooled") else 1  # pooled values reach 100
        assert values.shape == (len(stored["windows"]), SIZES[name])
        np.testing.assert_allclose(values, stored[name], rtol=0, atol=1e-4 * scale, err_msg=name)
        # A network that ignores its input could not pass the comparison.
        assert np.ptp(stored[name], axis=0).max() > 0.1, name


def test_silence_gives_finite_values(front_end):
    assert all(np.isfinite(values).all() for values in front_end.predict(np.zeros((1, 187, 96), np.float32), verbose=0))


def test_gradient_reaches_every_layer(front_end, stored):
    """One step of fine-tuning changes all trainable weights, and not the channel of ones."""
    tuned = keras.models.clone_model(front_end)
    tuned.set_weights(front_end.get_weights())
    network = keras.Model(tuned.input, tuned.get_layer("mtt_penultimate").output)
    network.compile("sgd", "mse")
    before = [weight.numpy().copy() for weight in network.trainable_weights]
    network.fit(stored["windows"].astype(np.float32), np.zeros((4, 200)), epochs=1, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, network.trainable_weights, strict=True))
    assert network.get_layer("shared_ones").get_weights()[0].max() == 0


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
