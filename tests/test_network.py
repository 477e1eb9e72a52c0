"""The networks: what they take and give, whatever the clip's length, and that their files need no code of ours."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import scipy.fft

from music_featurization.artifacts import PipelineError
from music_featurization.network import checkpoints, networks, training
from music_featurization.network.keras_backend import load_keras

keras = load_keras()


def clips(n=2, mels=96, frames=300, seed=0):
    return np.clip(np.random.default_rng(seed).normal(-40, 15, (n, mels, frames)), -80, 0).astype(np.float32)


@pytest.fixture(scope="module")
def crnn():
    keras.utils.set_random_seed(1)
    model = networks.build_network("crnn", (96, None), 6)
    networks.standardise(model, clips(8))
    return model


@pytest.mark.parametrize("mels, frames, classes", [(96, 130, 6), (128, 387, 10), (64, 1254, 2)])
def test_any_bands_length_and_classes(mels, frames, classes):
    model = networks.build_network("crnn", (mels, None), classes)
    probabilities = model.predict_on_batch(clips(2, mels, frames))
    assert probabilities.shape == (2, classes)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


def test_features_are_512_and_not_negative(crnn):
    features = keras.Model(crnn.inputs, crnn.get_layer("activation_1").output).predict_on_batch(clips())
    assert features.shape == (2, 512)
    assert features.min() == 0 < features.max()
    assert crnn.get_layer("dense_1").units == 512


def test_silence_gives_finite_numbers(crnn):
    assert np.isfinite(crnn.predict_on_batch(np.full((1, 96, 300), -80, np.float32))).all()


def test_padding_hardly_changes_the_result(crnn):
    clip = clips(1, frames=864)
    padded = np.pad(clip, ((0, 0), (0, 0), (0, 480)), constant_values=-80)
    as_loud = np.pad(clip, ((0, 0), (0, 0), (0, 480)), constant_values=-20)
    expected = crnn.predict_on_batch(clip)
    assert np.abs(crnn.predict_on_batch(padded) - expected).max() < 0.01
    assert np.abs(crnn.predict_on_batch(as_loud) - expected).max() > 0.01  # so the first is no accident


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_changes_little_and_trains(crnn, policy):
    silent_bands = clips(4)
    silent_bands[:, 80:] = -80  # the norm of their rises is 1e-12, which float16 takes for 0
    training.use_precision(policy)
    try:
        half = networks.build_network("crnn", (96, None), 6)
    finally:
        training.use_precision("float32")
    half.set_weights(crnn.get_weights())
    assert half.get_layer("spacing_1").compute_dtype == policy.removeprefix("mixed_")
    difference = half.predict_on_batch(silent_bands) - crnn.predict_on_batch(silent_bands)
    assert np.abs(difference).max() < 0.01
    training.compile_network(half, training.RECIPE, 10)
    assert np.isfinite(half.train_on_batch(silent_bands, np.eye(6, dtype=np.float32)[:4])).all()
    assert all(np.isfinite(weights).all() for weights in half.get_weights())


@pytest.mark.parametrize("rate, spacing, direction", [(1.7, 0.1, 0), (4.0, 0.06, 1), (0.7, 0.25, 1), (2.6, 0.16, 0)])
def test_gabor_filter_of_a_drifting_ripple_answers_most(rate, spacing, direction):
    fps, bands = 13.0, 96
    frames, sound = keras.Input((None, bands)), keras.Input((None, 1))
    model = keras.Model([frames, sound], networks.modulations(frames, sound, fps))
    t, f = np.arange(390)[:, None] / fps, np.arange(bands)
    sign = 1 if direction == 0 else -1
    ripple = 10 * np.cos(2 * np.pi * (rate * t + sign * spacing * f)).astype(np.float32)
    answers = model.predict_on_batch([ripple[None], np.ones((1, 390, 1), np.float32)]).mean(1).ravel()
    regions, starts, blocks = bands // networks.REGION, 0, {}
    for value in networks.SPACINGS:
        filters = networks.waves_in_frequency(value).shape[-1]
        block = answers[starts : starts + regions * filters].reshape(regions, filters)
        starts += block.size
        blocks[value] = block[1:-1].mean(0)  # at the edges there is only half a filter
    assert starts == len(answers)
    best = max(blocks, key=lambda value: blocks[value].max())
    assert best == spacing
    assert blocks[best].argmax() == 1 + 2 * networks.RATES.index(rate) + direction


def test_steady_sound_has_no_modulation():
    frames, sound = keras.Input((None, 96)), keras.Input((None, 1))
    model = keras.Model([frames, sound], networks.modulations(frames, sound, 13.0))
    steady = np.tile(np.linspace(70, 10, 96, dtype=np.float32), (1, 390, 1))
    assert np.abs(model.predict_on_batch([steady, np.ones((1, 390, 1), np.float32)])).max() < 1e-3


def test_standard_deviation_is_the_standard_deviation():
    x, sound = keras.Input((None, 3)), keras.Input((None, 1))
    model = keras.Model([x, sound], networks.mean_and_deviation(x, sound))
    values = np.random.default_rng(0).normal(5, 2, (2, 40, 3)).astype(np.float32)
    sounding = np.ones((2, 40, 1), np.float32)
    sounding[1, 25:] = 0
    mean, deviation = model.predict_on_batch([values, sounding])
    for i, frames in enumerate((40, 25)):
        assert np.allclose(mean[i, 0], values[i, :frames].mean(0), atol=1e-4)
        assert np.allclose(deviation[i, 0], values[i, :frames].std(0), atol=1e-4)


def test_onset_correlations_are_correlations_of_the_bands_rises():
    x, sound = keras.Input((None, 96)), keras.Input((None, 1))
    model = keras.Model([x, sound], networks.onset_correlations(x, sound))
    levels = np.random.default_rng(0).uniform(0, 80, (1, 200, 96)).astype(np.float32)
    levels[:, :, 48:56] = levels[:, :, :8]  # the seventh group moves as the first
    sounding = np.ones((1, 200, 1), np.float32)
    sounding[:, 150:] = 0
    got = model.predict_on_batch([levels, sounding]).reshape(12, 12)
    rises = np.maximum(np.diff(levels[0, :150].reshape(150, 12, 8).mean(2), axis=0), 0)
    assert np.allclose(got, np.corrcoef(rises.T), atol=1e-4)
    assert np.isclose(got[0, 6], 1, atol=1e-4)


def test_mean_cepstrum_leaves_silence_out():
    x, sound = keras.Input((None, 96)), keras.Input((None, 1))
    model = keras.Model([x, sound], networks.mean_cepstrum(x, sound))
    levels = np.random.default_rng(0).uniform(0, 80, (1, 200, 96)).astype(np.float32)
    sounding = np.ones((1, 200, 1), np.float32)
    sounding[:, 150:] = 0
    expected = scipy.fft.dct(levels[0, :150].mean(0))[: networks.CEPSTRUM] / 2
    assert np.allclose(model.predict_on_batch([levels, sounding])[0], expected, rtol=1e-4, atol=0.05)


@pytest.mark.parametrize("mels", [96, 128])
def test_each_kind_of_statistics_has_its_share_of_the_variance(mels):
    model = networks.build_network("crnn", (mels, None), 6)
    layers = {kind: model.get_layer(f"{kind}_share") for kind in networks.SHARES}
    variances = {kind: layer.scale**2 * layer.output.shape[-1] for kind, layer in layers.items()}
    assert {kind: value / sum(variances.values()) for kind, value in variances.items()} == pytest.approx(
        networks.SHARES
    )


def test_file_loads_in_bare_python(crnn, tmp_path):
    checkpoints.save(crnn, tmp_path / "net.h5", {"classes": ["a"]})
    batch = clips()
    np.save(tmp_path / "clips.npy", batch)
    code = (
        "import sys, keras, numpy; m = keras.saving.load_model(sys.argv[1]);"
        "numpy.save(sys.argv[3], m.predict_on_batch(numpy.load(sys.argv[2])))"
    )
    files = [str(tmp_path / name) for name in ("net.h5", "clips.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", code, *files], check=True, cwd=tmp_path)
    assert np.allclose(np.load(files[2]), crnn.predict_on_batch(batch), atol=1e-6)
    assert (tmp_path / "net.h5").stat().st_size < 8e6


def test_checkpoint_keeps_what_is_known_about_it(crnn, tmp_path):
    about = {"classes": ["opéra", "jazz"], "spectrogram_settings": {"n_mels": 96}}
    checkpoints.save(crnn, tmp_path / "net.h5", about)
    assert checkpoints.load(tmp_path / "net.h5")[1] == about
    crnn.save(tmp_path / "foreign.h5")
    assert checkpoints.load(tmp_path / "foreign.h5")[1] == {}
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["foreign.h5", "net.h5"]


@pytest.mark.parametrize("damage", ["missing", "junk", "cut"])
def test_damaged_checkpoint_is_explained(crnn, tmp_path, damage):
    path = tmp_path / "net.h5"
    if damage == "junk":
        path.write_bytes(b"no network" * 100)
    if damage == "cut":
        checkpoints.save(crnn, path, {})
        path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(PipelineError, match=r"net\.h5"):
        checkpoints.load(path)


def test_jet_picture_is_matplotlibs_jet():
    levels = np.linspace(0, 1, 101)
    clip, x = keras.Input((1, None)), None
    x = networks.jet_picture(clip, 1, size=101)
    model = keras.Model(clip, x)
    for name, weights in zip(("jet_knots", "jet_colours"), networks.jet_weights(), strict=True):
        model.get_layer(name).set_weights(weights)
    picture = model.predict_on_batch((levels * 80 - 80)[None, None].astype(np.float32))[0, 0]
    rgb = (picture + networks.IMAGENET_MEAN)[:, ::-1] / 255
    assert np.abs(rgb - matplotlib.colormaps["jet"](levels)[:, :3]).max() < 0.04


def test_choi_network_has_features_too():
    model = networks.build_network("musictagger", (96, None), 6)
    assert model.predict_on_batch(clips(1, frames=400)).shape == (1, 6)
    assert model.get_layer("activation_1").output.shape == (None, 32)


def test_unknown_network_and_missing_weights_are_explained(tmp_path):
    with pytest.raises(PipelineError, match="crnn"):
        networks.build_network("resnet", (96, None), 6)
    with pytest.raises(PipelineError, match="--weights none"):
        networks.build_network("vgg16", (96, None), 6, weights=str(tmp_path / "none.h5"))
