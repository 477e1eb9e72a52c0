"""A real recording, in the repository: a man sings unaccompanied (see data/README.md)."""

import librosa
import numpy as np
import pytest

from music_featurization import features, log_mel, predict, tags
from music_featurization.artifacts import REPOSITORY

SINGER = REPOSITORY / "tests/data/vocadito_10.mp3"


def test_spectrogram_is_librosas():
    samples, rate = librosa.load(SINGER, sr=16000, res_type="soxr_hq")
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=512, hop_length=256, n_mels=96)
    expected = np.log10(1 + 10000 * power * 0.3 / power.mean())
    clip = log_mel(SINGER)
    assert abs(clip.shape[1] - expected.shape[1]) <= 1
    frames = min(clip.shape[1], expected.shape[1]) - 2  # the last frames depend on how the decoder ends
    np.testing.assert_allclose(clip[:, :frames], expected[:, :frames], atol=0.01)


def test_tags_hear_a_man_singing():
    probabilities = tags(SINGER)
    likeliest = sorted((tag for tag in probabilities if tag.startswith("mtt_")), key=probabilities.get, reverse=True)[
        :8
    ]
    assert {"mtt_male vocal", "mtt_man"} <= set(likeliest)
    assert probabilities["mtt_male vocal"] > 5 * probabilities["mtt_female vocal"]


def test_genres_and_features():
    genres = predict(SINGER)
    assert sum(genres.values()) == pytest.approx(1, abs=1e-5)
    assert genres["opera"] > genres["classical"] + genres["baroque"]  # a voice without instruments
    row = features(SINGER)
    assert row.shape == (512,) and np.isfinite(row).all() and row.any()
