"""Training: repeatable, resumable, and refusing nonsense before the first epoch."""

import importlib.util
import json
import pickle

import numpy as np
import pytest
from tiny_music import REPOSITORY

from music_featurization.artifacts import Artifacts, PipelineError, write_json
from music_featurization.network import augmentation, checkpoints, keras_backend, training
from music_featurization.network import batches as clip_batches
from music_featurization.network.prediction import predict

keras = keras_backend.load_keras()
GENRES = ("low", "high")
SMALL = {"batch_size": 4, "clip_seconds": 3.0, "crops": 0}


def script():
    spec = importlib.util.spec_from_file_location("training_script", REPOSITORY / "python/1-training.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_root(root, clips=12):
    """Spectrograms of two kinds, loud in low or in high bands, of unequal lengths, and their split."""
    where, rng = Artifacts(root), np.random.default_rng(0)
    where.spectrograms.mkdir(parents=True)
    rows = []
    for i in range(clips):
        clip = rng.normal(-60, 5, (96, 140 + 3 * i))
        clip[:48] += 35 * (1 - i % 2)
        clip[48:] += 35 * (i % 2)
        np.save(where.spectrograms / f"{i}.npy", np.clip(clip, -80, 0).astype(np.float16))
        rows.append(f"{i},{i}.npy,{GENRES[i % 2]},{i % 2}")
    where.split_folder.mkdir()
    for part, chosen in (("train", rows[:-4]), ("val", rows[-4:-2]), ("test", rows[-2:])):
        where.split(part).write_text("\n".join(["clip_id,spectrogram,genre,label", *chosen]) + "\n")
    write_json(where.split_folder / "settings.json", {"settings": {"genres": GENRES}, "inputs": ""})
    write_json(where.spectrogram_settings, {"sample_rate": 22050, "hop_length": 512, "n_mels": 96})
    return where


@pytest.fixture
def where(tmp_path):
    return make_root(tmp_path / "root")


def train(where, *flags, epochs=3):
    small = ["--batch-size", "4", "--clip-seconds", "3", "--crops", "0"]
    script().main(["--root", str(where.root), "--epochs", str(epochs), *small, *flags])


def history(where):
    return pickle.loads(where.history.read_bytes())


def test_artifacts_and_that_it_learns(where, capsys):
    train(where, "--epochs", "8", "--crops", "3", "--crop-seconds", "1")
    kept = history(where)
    assert sorted(kept) == sorted(training.HISTORY_KEYS)
    assert {len(values) for values in kept.values()} == {8}
    assert kept["loss"][-1] < kept["loss"][0]
    names = [training.checkpoint_name(i, a) for i, a in enumerate(kept["val_categorical_accuracy"], 1)]
    assert sorted(path.name for path in where.models.iterdir()) == sorted([*names, "history.pkl", "training.json"])
    assert checkpoints.read_about(where.models / names[0])["classes"] == list(GENRES)
    assert json.loads(where.training_settings.read_text())["settings"]["epochs"] == 8
    assert "epoch 8/8" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_interrupted_and_resumed_equals_uninterrupted(precision, tmp_path, monkeypatch, capsys):
    whole, cut = make_root(tmp_path / "whole"), make_root(tmp_path / "cut")
    monkeypatch.setitem(training.RECIPE, "precision", precision)  # mixed_float16: the default on a GPU
    train(whole)
    write_epoch, done = training.write_epoch, []

    def die_in_the_second(*args):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        write_epoch(*args)

    monkeypatch.setattr(training, "write_epoch", die_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        train(cut)
    assert len(history(cut)["loss"]) == 1
    monkeypatch.setattr(training, "write_epoch", write_epoch)
    train(cut)
    assert "1 epochs done, 2 to do" in capsys.readouterr().out
    assert history(cut) == history(whole)  # the same seed in two folders: determinism as well
    last = [sorted(where.models.glob("epoch_03*"))[0] for where in (whole, cut)]
    networks = [checkpoints.load(path)[0] for path in last]
    for one, other in zip(*(network.get_weights() for network in networks), strict=True):
        assert np.array_equal(one, other)
    assert {layer.compute_dtype for layer in networks[0].layers if layer.weights} == {"float32"}  # for any machine
    train(cut)
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(PipelineError, match=r"seed = 1.*seed = 2"):
        train(cut, "--seed", "2")
    train(cut, "--seed", "2", "--overwrite", epochs=1)
    assert history(cut)["loss"] != history(whole)["loss"][:1]


def test_early_stop_waits_for_its_patience():
    assert training.stops_early({"val_loss": [1.0, 0.5, 0.6, 0.5]}, 2)
    assert not training.stops_early({"val_loss": [1.0, 0.5, 0.6, 0.4]}, 2)
    assert not training.stops_early({"val_loss": [0.5, 0.6]}, 2)
    assert not training.stops_early({"val_loss": [0.1, 0.5, 0.6]}, 0)


def test_keep_best_leaves_the_epoch_of_lowest_validation_loss(where):
    train(where, "--keep", "best")
    best = int(np.argmin(history(where)["val_loss"]))
    kept = [path.name for path in where.models.glob("epoch_*.h5")]
    assert kept == [training.checkpoint_name(best + 1, history(where)["val_categorical_accuracy"][best])]


def test_start_from_another_network_with_other_classes(where, tmp_path):
    train(where, epochs=1)
    first = next(where.models.glob("epoch_*.h5"))
    settings = json.loads(where.spectrogram_settings.read_text())
    model = training.start("crnn", (96, None), ["x", "y", "z"], settings, first)
    assert model.output_shape == (None, 3)
    trained = checkpoints.load(first)[0]
    assert np.array_equal(model.get_layer("dense_1").kernel, trained.get_layer("dense_1").kernel)
    with pytest.raises(PipelineError, match="hop_length"):
        training.start("crnn", (96, None), ["x"], settings | {"hop_length": 256}, first)


@pytest.mark.parametrize("label", [0, 1])
def test_class_missing_in_train(where, label):
    paths = [where.spectrograms / "0.npy"] * 4
    with pytest.raises(PipelineError, match=GENRES[1 - label]):
        training.check_data((paths, [label] * 4), (paths, [0] * 4), GENRES, 2)


def test_other_nonsense_is_refused_before_training(where, monkeypatch):
    with pytest.raises(PipelineError, match="8 training clips"):
        train(where, "--batch-size", "9")
    clip = np.load(where.spectrograms / "3.npy")
    clip[5, 5] = np.nan
    np.save(where.spectrograms / "3.npy", clip)
    with pytest.raises(PipelineError, match=r"3\.npy holds NaN"):
        train(where)
    (where.spectrograms / "3.npy").write_bytes(b"junk")
    with pytest.raises(PipelineError, match=r"3\.npy is not a readable"):
        train(where)
    with pytest.raises(PipelineError, match="MB are free"):
        training.check_disk(where.models, 1e9, 20)
    assert not where.history.exists()


def test_loss_that_is_no_number_stops_with_advice(where):
    with pytest.raises(PipelineError, match="--learning-rate"):
        train(where, "--learning-rate", "1e30")


def test_stretches_of_a_clip_whole_and_short():
    recipe = training.RECIPE | {"clip_seconds": 10.0, "crop_seconds": 2.0, "crops": 3, "batch_size": 4}
    assert training.stretches(recipe, 43.0) == [430, 86, 86, 86]
    assert training.steps_per_epoch(recipe, 10) == 3 + 8  # a batch has one length
    with pytest.raises(PipelineError, match="shorter than one frame"):
        training.stretches(recipe | {"crop_seconds": 0.01}, 43.0)


@pytest.mark.parametrize("gpu, amx, policy", [(1, 0, "mixed_float16"), (0, 1, "mixed_bfloat16"), (0, 0, "float32")])
def test_precision_follows_the_machine(gpu, amx, policy, monkeypatch):
    monkeypatch.setattr(keras_backend, "has_gpu", lambda: bool(gpu))
    monkeypatch.setattr(keras_backend, "has_fast_bfloat16", lambda: bool(amx))
    try:
        training.use_precision("auto")
        assert keras.config.dtype_policy().name == policy
        with pytest.raises(PipelineError, match="half"):
            training.use_precision("half")
    finally:
        training.use_precision("float32")


def test_other_networks_have_their_own_recipe():
    assert training.recipe_for("crnn") == training.RECIPE
    assert training.recipe_for("vgg16")["crops"] == training.recipe_for("musictagger")["crops"] == 0


def test_class_weights_cover_every_class():
    assert training.class_weights([0, 0, 0, 2], 3) == {0: 4 / 9, 1: 4 / 3, 2: 4 / 3}


def test_batches_follow_the_seed_and_take_every_clip(where):
    paths = sorted(where.spectrograms.glob("*.npy"))
    labels = list(range(len(paths)))
    augment = {key: training.RECIPE[key] for key in training.AUGMENTATIONS} | {"mixup": 0.0, "label_smoothing": 0.0}

    def epoch(seed, number):
        options = {"batch_size": 5, "lengths": [100, 40, 40], "augment": augment}
        return list(clip_batches.training_batches(paths, labels, len(paths), seed=seed, epoch=number, **options))

    batches = epoch(1, 1)
    assert sorted((clips.shape[2], len(clips)) for clips, _ in batches) == [
        (40, 4), (40, 5), (40, 5), (40, 5), (40, 5), (100, 2), (100, 5), (100, 5),
    ]  # fmt: skip
    for length, times in ((100, 1), (40, 2)):
        of_length = np.concatenate([targets for clips, targets in batches if clips.shape[2] == length])
        assert (of_length.sum(0) == times).all()
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(batches, epoch(1, 1), strict=True))
    assert not np.array_equal(batches[0][0], epoch(1, 2)[0][0])
    assert not np.array_equal(batches[0][0], epoch(2, 1)[0][0])


def test_augmentation_keeps_padding_and_range():
    rng = np.random.default_rng(0)
    clip = rng.uniform(-60, 0, (96, 50)).astype(np.float32)
    crops = np.stack([augmentation.crop(clip, 80, rng, stretch=0.0, shift=2.0) for _ in range(4)])
    assert (crops[:, :, 50:] == -80).all()
    assert (crops[:, :, :50] > -80).all()
    clips, targets = augmentation.augment(crops, np.eye(4), rng, mixup=0.3, gain=6, tilt=3, label_smoothing=0.1)
    assert (clips[:, :, 50:] == -80).all()
    assert clips.min() >= -80 and clips.max() <= 0
    assert np.allclose(targets.sum(1), 1)


def test_stretch_and_shift_move_what_they_say():
    clip = np.add.outer(np.arange(96.0), 10 * np.arange(40.0)).astype(np.float32) - 500
    assert np.allclose(augmentation.resample(clip, np.arange(10) * 1.5)[0], -500 + 15 * np.arange(10))
    shifted = augmentation.crop(clip, 40, np.random.default_rng(3), shift=2.0)
    moved = (shifted - clip)[10:-10]
    assert np.allclose(moved, moved[0, 0], atol=1e-3) and 0 < abs(moved[0, 0]) <= 2


def test_prediction_does_not_depend_on_the_batch(where):
    from music_featurization.network.networks import build_network

    model, paths = build_network("crnn", (96, None), 2), sorted(where.spectrograms.glob("*.npy")) * 3
    one, many = predict(model, paths, 1), predict(model, paths, 8)
    assert np.allclose(one[0], many[0], atol=1e-5) and np.allclose(one[1], many[1], atol=1e-4)
    assert one[0].dtype == one[1].dtype == np.float32
