"""The network that comes with the project: it loads, it is small, and it knows what it is."""

import numpy as np

import checkpoints
from artifacts import PROVIDED_MODEL
from genres import GENRES


def test_provided_network_loads_and_says_what_it_is():
    model, about = checkpoints.load(PROVIDED_MODEL)
    assert PROVIDED_MODEL.stat().st_size < 8e6
    assert tuple(about["classes"]) == GENRES
    assert about["spectrogram_settings"]["n_mels"] == 96
    probabilities = model.predict_on_batch(np.full((1, 96, 130), -80, np.float32))
    assert probabilities.shape == (1, 6) and np.isfinite(probabilities).all()
