"""Test the networks: the parts of the CRNN, weights, precision, and files that load without this project."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from music_featurization.artifacts import PROVIDED_MODEL, PipelineError
from music_featurization.audio import spectrogram
from music_featurization.network import checkpoints, front_end, networks, recipe, training, vgg16
from music_featurization.network import crnn as crnn_module
from music_featurization.network.keras_backend import load_keras, use_precision
from music_featurization.network.prediction import predict

keras = load_keras()
ABOUT = {"classes": ["a", "b", "c"], "spectrogram_settings": spectrogram.SETTINGS, "network": "crnn"}
BARE = """
import sys, keras, numpy
model = keras.saving.load_model(sys.argv[1])
clips = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], model.predict(clips, verbose=0))
numpy.save(sys.argv[4], model(clips[:, :, :187]))
silence = keras.saving.load_model(sys.argv[5]).predict(numpy.zeros((1, 96, 1820), "float32"), verbose=0)
assert silence.shape == (1, 6) and abs(silence.sum() - 1) < 1e-5
assert type(model.get_layer("embeddings")) is keras.layers.TimeDistributed
assert not any(name.startswith("music_featurization") for name in sys.modules)
"""


def log_mels(count=2, windows=2, seed=0):
    """Make random spectrograms of whole windows, values rounded to float16, shape (count, 96, frames)."""
    rng = np.random.default_rng(seed)
    loud = rng.uniform(0, 1, (count, 96, 1))  # each clip has loud bands of its own
    return (rng.uniform(0, 4, (count, 96, 187 * windows)) * loud).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def embedder():
    return front_end.build_embedder(pretrained=True, trainable=False)


@pytest.fixture(scope="module")
def crnn(embedder):
    keras.utils.set_random_seed(1)
    network = crnn_module.crnn(embedder, 3)
    crnn_module.standardise(network, [front_end.embed(embedder, clip) for clip in log_mels(4, seed=1)])
    # The initial weights are near 0, so that the probabilities of all clips would be nearly equal.
    network.get_layer("genres").set_weights([np.random.default_rng(0).normal(0, 0.02, (512, 3)), np.zeros(3)])
    return network


@pytest.fixture(scope="module")
def file(crnn, tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "crnn.h5"
    checkpoints.save(crnn, path, ABOUT)
    return path


# Windows


@pytest.mark.parametrize("frames, count", [(1, 1), (186, 1), (187, 1), (280, 1), (281, 2), (1820, 10)])
def test_windows_repeat_the_clip_or_leave_its_end_out(frames, count):
    clip = np.random.default_rng(0).random((96, frames)).astype(np.float16)
    windows = front_end.windows(clip)
    assert windows.shape == (count, 187, 96) and windows.dtype == np.float32
    joined = windows.reshape(-1, 96).T
    kept = min(frames, 187 * count)
    assert (joined[:, :kept] == clip[:, :kept]).all()
    assert (joined[:, kept:] == np.tile(clip, 187)[:, : joined.shape[1] - kept]).all()


# The CRNN


def test_clips_of_several_lengths_one_after_the_other(crnn, embedder):
    """Compare with the front end alone: see `crnn.TimeDistributed` for the fault."""
    head = crnn_module.head_of(crnn)
    for windows in (1, 3, 2):
        clips = log_mels(2, windows)
        probabilities = crnn.predict_on_batch(clips)
        expected = head.predict_on_batch(np.stack([front_end.embed(embedder, clip) for clip in clips]))
        assert probabilities.shape == (2, 3) and np.abs(probabilities - expected).max() < 1e-5
        assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.xfail(keras.backend.backend() == "tensorflow", strict=True, reason="remove crnn.TimeDistributed then")
def test_keras_own_time_distributed_is_right():
    windows = keras.Input((None, 4))
    model = keras.Model(windows, keras.layers.TimeDistributed(keras.layers.Dense(2))(windows))
    batch = np.ones((1, 6, 4), np.float32)
    assert [model.predict_on_batch(batch[:, :count]).shape[1] for count in (2, 4, 6)] == [2, 4, 6]


def test_frames_after_the_last_whole_window_are_not_used(crnn):
    clips = log_mels(1, 2)
    assert np.allclose(crnn.predict_on_batch(clips[:, :, :300]), crnn.predict_on_batch(clips[:, :, :187]), atol=1e-6)
    assert np.abs(crnn.predict_on_batch(clips) - crnn.predict_on_batch(clips[:, :, :187])).max() > 1e-3


def test_both_parts_of_an_embedding_get_the_same_variance(crnn):
    rng = np.random.default_rng(0)
    clips = [rng.normal(3, rng.uniform(0.5, 5, 1608), (5, 1608)).astype(np.float32) for _ in range(40)]
    embeddings, layer = crnn.get_layer("embeddings").output, crnn.get_layer("standardise")
    before = layer.get_weights()
    try:
        crnn_module.standardise(crnn, clips)
        values = keras.Model(embeddings, layer.output).predict_on_batch(np.stack(clips)).reshape(-1, 1608)
    finally:
        layer.set_weights(before)
    parts = np.split(values, [front_end.PARTS["penultimate"]], axis=1)
    assert np.abs(values.mean(0)).max() < 1e-3
    assert parts[0].var(0).sum() == pytest.approx(parts[1].var(0).sum(), rel=0.02)


def test_only_a_tuned_or_random_front_end_is_trained(crnn):
    embedder = front_end.embedder_of(crnn)
    assert len(crnn.trainable_weights) == 10 and not embedder.trainable_weights
    for options in ({"fine_tune": True}, {"weights": "none"}):
        network = networks.build_network("crnn", 3, **options)
        inside = front_end.embedder_of(network)
        constant = {weight.path for weight in inside.non_trainable_weights}
        assert constant == {"shared_ones/kernel", "shared_ones/bias"}
        assert len(network.trainable_weights) == 10 + len(embedder.weights) - len(constant)
        same = [np.array_equal(a, b) for a, b in zip(inside.get_weights(), embedder.get_weights(), strict=True)]
        assert all(same) is ("fine_tune" in options)


# Prediction


def test_embeddings_spectrograms_and_bare_keras_agree(crnn, file, embedder, tmp_path):
    clips, paths = log_mels(3), [[tmp_path / f"{part}{i}.npy" for i in range(3)] for part in ("clip", "embedding")]
    for clip, spectrogram_file, embedding_file in zip(clips, *paths, strict=True):
        np.save(spectrogram_file, clip.astype(np.float16))
        np.save(embedding_file, front_end.embed(embedder, clip).astype(np.float16))
    probabilities, features = predict(crnn, paths[0], 2)
    assert np.ptp(probabilities, axis=0).max() > 0.05  # otherwise the comparison would mean nothing
    from_embeddings = predict(crnn, paths[1], 2, embedded=True)
    assert np.abs(from_embeddings[0] - probabilities).max() < 2e-3
    assert np.abs(from_embeddings[1] - features).max() < 2e-3 * features.max()
    np.save(tmp_path / "clips.npy", clips)
    files = [str(path) for path in (file, tmp_path / "clips.npy", tmp_path / "out.npy", tmp_path / "first.npy")]
    subprocess.run(
        [sys.executable, "-c", BARE, *files, PROVIDED_MODEL], check=True, cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    assert np.abs(np.load(files[2]) - probabilities).max() < 1e-5
    assert np.abs(np.load(files[3]) - crnn.predict_on_batch(clips[:, :, :187])).max() < 1e-5


def test_prediction_does_not_depend_on_the_batch(crnn, tmp_path):
    paths = [tmp_path / f"{i}.npy" for i in range(7)]
    for i, path in enumerate(paths):  # one to three windows
        np.save(path, log_mels(1, 3, seed=i)[0, :, : 60 + 80 * i])
    one, many = predict(crnn, paths, 1), predict(crnn, paths, 4)
    assert np.allclose(one[0], many[0], atol=1e-5) and np.allclose(one[1], many[1], atol=1e-4)
    assert one[0].dtype == one[1].dtype == np.float32 and one[1].shape == (7, 512)


# Precision


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_changes_little_and_is_saved_in_float32(crnn, embedder, policy):
    use_precision(policy)
    try:
        half = crnn_module.crnn(embedder, 3)
    finally:
        use_precision("float32")
    half.set_weights(crnn.get_weights())
    assert half.get_layer("dense_1").compute_dtype == policy.removeprefix("mixed_")
    clips = log_mels()
    expected = crnn.predict_on_batch(clips)
    assert np.abs(half.predict_on_batch(clips) - expected).max() < (0.02 if policy == "mixed_float16" else 0.1)
    written = checkpoints.in_float32(half)
    assert {layer.compute_dtype for layer in written.layers} == {"float32"}
    assert np.abs(written.predict_on_batch(clips) - expected).max() < 1e-5
    assert checkpoints.in_float32(crnn) is crnn


# Recipe


def test_class_weights_make_classes_equal():
    weights = training.class_weights([0, 0, 0, 2], 3)
    assert weights == pytest.approx([4 / 9, 4 / 3, 4 / 3]) and weights.dtype == np.float32


@pytest.mark.parametrize("pretrained, share", [(True, 0.1), (False, 1.0)])
def test_a_pretrained_front_end_learns_at_a_tenth_of_the_rate(pretrained, share):
    """AdamW moves every weight by the learning rate while the gradients keep their sign."""
    keras.utils.set_random_seed(1)
    windows, inside = keras.Input((None, 4)), keras.Input((4,))
    front = keras.Model(inside, keras.layers.Dense(3, name="inner")(inside))
    x = keras.layers.TimeDistributed(front, name="embeddings")(windows)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(windows, keras.layers.Dense(2, activation="softmax", name="genres")(x))
    training.compile_network(model, recipe.RECIPES["crnn"] | {"weight_decay": 0.0}, 10, pretrained=pretrained)
    before = [layer.get_weights()[0] for layer in (front.get_layer("inner"), model.get_layer("genres"))]
    batch = np.random.default_rng(0).random((4, 3, 4)).astype(np.float32), np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    for _ in range(3):
        model.train_on_batch(*batch)
    after = [layer.get_weights()[0] for layer in (front.get_layer("inner"), model.get_layer("genres"))]
    moved = [np.abs(b - a).mean() for a, b in zip(before, after, strict=True)]
    assert moved[0] / moved[1] == pytest.approx(share, rel=0.1)


def test_default_batch_size_is_lowered_to_the_number_of_clips():
    assert recipe.complete("crnn", {}, 5)["batch_size"] == 5
    assert recipe.complete("crnn", {}, 500)["batch_size"] == 16
    with pytest.raises(PipelineError, match="--batch-size 16 is more than the 5 training clips"):
        recipe.complete("crnn", {"batch_size": 16}, 5)
    with pytest.raises(PipelineError, match="There is no setting mixup"):
        recipe.complete("crnn", {"mixup": 0.3}, 5)


# The front end in a network's description


@pytest.mark.parametrize(
    "network, weights, fine_tune, provided",
    [
        ("crnn", "pretrained", False, True),
        ("crnn", "pretrained", True, False),
        ("crnn", "none", False, False),
        ("vgg16", "pretrained", False, False),
    ],
)
def test_only_the_unchanged_front_end_is_the_provided_one(network, weights, fine_tune, provided):
    about = {"front_end": networks.describe_front_end(network, weights, fine_tune)}
    assert networks.has_provided_front_end(about) is provided
    if network == "crnn":
        again = {"front_end": networks.describe_front_end(network, "pretrained", False, about)}
        assert networks.has_provided_front_end(again) is provided
        heard = about["front_end"]["heard"]
        assert (heard is None) is (weights == "none") and again["front_end"]["heard"] == heard


@pytest.mark.parametrize("about", [{}, {"front_end": None}, {"front_end": "x"}, {"front_end": {"pretrained": True}}])
def test_incomplete_description_is_not_the_provided_front_end(about):
    assert not networks.has_provided_front_end(about)


# Files


def test_file_is_small_repeatable_and_contains_its_description(crnn, file, tmp_path):
    assert file.stat().st_size < 12e6 and checkpoints.read_about(file) == ABOUT
    checkpoints.save(crnn, tmp_path / "again.h5", ABOUT)
    assert (tmp_path / "again.h5").read_bytes() == file.read_bytes()
    crnn.save(tmp_path / "foreign.h5")
    assert checkpoints.read_about(tmp_path / "foreign.h5") == {}
    checkpoints.save(crnn, tmp_path / "net.h5", ABOUT | {"classes": ["opéra"]})
    assert checkpoints.read_about(tmp_path / "net.h5")["classes"] == ["opéra"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["again.h5", "foreign.h5", "net.h5"]


def test_load_to_train_further(crnn, file):
    same = networks.load_network(file, "crnn", ABOUT["classes"])
    assert all(np.array_equal(a, b) for a, b in zip(same.get_weights(), crnn.get_weights(), strict=True))
    assert len(same.trainable_weights) == 10
    other = networks.load_network(file, "crnn", ["x", "y"], fine_tune=True)
    assert other.output_shape == (None, 2) and other.name == "crnn"
    assert np.array_equal(other.get_layer("dense_1").kernel, crnn.get_layer("dense_1").kernel)
    frozen = {weight.path for weight in front_end.embedder_of(other).non_trainable_weights}
    assert frozen == {"shared_ones/kernel", "shared_ones/bias"}


# VGG16


def test_jet_image_is_matplotlibs_jet(monkeypatch):
    monkeypatch.setattr(vgg16, "IMAGE_SIZE", 101)
    levels = np.linspace(0, 1, 101)
    clip = keras.Input((1, None))
    model = keras.Model(clip, vgg16.jet_image(clip, 1))
    for name, weights in zip(("jet_knots", "jet_colours"), vgg16.jet_weights(), strict=True):
        model.get_layer(name).set_weights(weights)
    image = model.predict_on_batch((levels * vgg16.TOP)[None, None].astype(np.float32))[0, 0]
    rgb = (image + vgg16.IMAGENET_MEAN)[:, ::-1] / 255
    assert np.abs(rgb - matplotlib.colormaps["jet"](levels)[:, :3]).max() < 0.04


def test_vgg16_has_the_features_and_a_frozen_base():
    model = networks.build_network("vgg16", 3, weights="none")
    assert {weight.path.split("/")[0] for weight in model.trainable_weights} == {"dense_1", "genres"}
    with_features = keras.Model(model.inputs, [model.output, model.get_layer("activation_1").output])
    probabilities, features = with_features.predict_on_batch(log_mels(1, 1))
    assert probabilities.shape == (1, 3) and features.shape == (1, 512)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
