"""Test training: it is repeatable, continues after a kill at any write, and refuses bad input before it deletes."""

import gc
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
from tiny_pipeline import contents, error_line, run_script
from tiny_results import make_model, make_network, make_training_set

from music_featurization.artifacts import FRONT_END, REPOSITORY, TRAINING, Artifacts, PipelineError
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder
from music_featurization.evaluation import results
from music_featurization.network import (
    batches,
    checkpoints,
    front_end,
    keras_backend,
    networks,
    run_folder,
    training,
    training_run,
)

keras = keras_backend.load_keras()
CLASSES = ["low", "high"]
# Runs a script that ends at the moment when it would replace a file of this name.
KILLED = """
import os, runpy, sys
replace, name = os.replace, sys.argv[1]
def replace_or_die(source, target):
    os._exit(9) if os.path.basename(target).startswith(name) else replace(source, target)
os.replace = replace_or_die
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
TINY = ("--weights", "none")
BUILD_NETWORK = networks.build_network


def train(artifacts, *options, epochs=2):
    """Run 1-training.py in this process; layers get the names that they have in a process of their own."""
    keras.utils.clear_session(free_memory=False)
    return run_script(TRAINING, artifacts.root, "--epochs", epochs, *options)


def history(artifacts):
    return pickle.loads(artifacts.history.read_bytes())


def last_checkpoint(artifacts):
    return checkpoints.list_files(artifacts.models)[-1]


def unchanged(before, after):
    """Return the paths of the weights that two networks of the same layers have in common."""
    pairs = zip(before.weights, after.weights, strict=True)
    return {weight.path for other, weight in pairs if np.array_equal(other, weight)}


@pytest.fixture
def artifacts(tmp_path):
    return make_training_set(tmp_path / "root")


@pytest.fixture
def tiny(monkeypatch):
    """Replace the network by one that needs no compilation, for training with the options TINY."""
    import tensorflow

    monkeypatch.setattr(networks, "build_network", lambda name, n_classes, **_: make_network(n_classes, name=name))
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A root where the default network was trained for three epochs."""
    artifacts = make_training_set(tmp_path_factory.mktemp("trained"))
    assert train(artifacts, epochs=3) == 0
    return artifacts


# The default network


def test_artifacts_and_that_it_learns(trained):
    kept = history(trained)
    assert sorted(kept) == sorted(run_folder.HISTORY_KEYS) and {len(values) for values in kept.values()} == {3}
    assert kept["loss"][-1] < kept["loss"][0] and kept["val_loss"][-1] < kept["val_loss"][0]
    names = [checkpoints.file_name(i, a) for i, a in enumerate(kept["val_categorical_accuracy"], 1)]
    assert sorted(contents(trained.models)) == sorted([*names, "history.pkl", "training.json"])
    about = checkpoints.read_about(last_checkpoint(trained))
    assert about["classes"] == CLASSES and about["spectrogram_settings"] == spectrogram.SETTINGS
    assert about["network"] == "crnn" and about["epoch"] == 3 and about["front_end"]["heard"] == front_end.HEARD
    settings = json.loads(trained.training_settings.read_text())["settings"]
    assert settings["epochs"] == 3 and settings["batch_size"] == 8  # the default is 16, but there are 8 clips
    embedder = front_end.embedder_of(checkpoints.load(last_checkpoint(trained)))
    provided = {weight.path: weight for weight in keras.saving.load_model(FRONT_END, compile=False).weights}
    assert all(np.array_equal(weight, provided[weight.path]) for weight in embedder.weights)


def test_run_again(trained, capsys):
    before = contents(trained.models)
    assert train(trained, epochs=3) == 0
    assert "nothing to do: this run is finished" in capsys.readouterr().out
    assert train(trained, "--seed", "2", epochs=3) == 1
    error = error_line(capsys.readouterr().err)
    assert "seed = 1" in error and "seed = 2" in error and contents(trained.models) == before


@pytest.mark.parametrize("damage", ["history gone", "history junk", "settings []", "settings 3", "state junk"])
def test_damaged_run_is_explained_in_one_line(trained, tmp_path, capsys, damage):
    artifacts = Artifacts(shutil.copytree(trained.root, tmp_path / "root"))
    if damage == "history gone":
        artifacts.history.unlink()
    file, content = {
        "history junk": (artifacts.history, "junk"),
        "settings []": (artifacts.training_settings, "[]"),
        "settings 3": (artifacts.training_settings, '{"settings": 3}'),
        "state junk": (artifacts.models / run_folder.STATE, "junk"),
    }.get(damage, (artifacts.root / "unused", ""))
    file.write_text(content)
    before = contents(artifacts.models)
    assert train(artifacts, epochs=3) == 1
    assert "--overwrite" in error_line(capsys.readouterr().err) and contents(artifacts.models) == before


def test_killed_process_is_continued_to_the_same_bytes(trained, artifacts):
    """One seed gives one result in any process."""
    script = [str(REPOSITORY / TRAINING), "--root", str(artifacts.root), "--epochs", "3"]
    done = subprocess.run([sys.executable, "-c", KILLED, "epoch_02", *script], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert [path.name[:8] for path in checkpoints.list_files(artifacts.models)] == ["epoch_01"]
    done = subprocess.run([sys.executable, *script], capture_output=True, text=True)
    assert done.returncode == 0 and "2 epochs done, 1 to do" in done.stdout, done.stderr
    assert contents(artifacts.models) == contents(trained.models)


def test_start_from_and_fine_tune(trained, artifacts):
    first = last_checkpoint(trained)
    assert train(artifacts, "--start-from", first, "--fine-tune", "--learning-rate", "0.01") == 0
    about = checkpoints.read_about(last_checkpoint(artifacts))
    assert about["front_end"]["fine_tuned"] and about["front_end"]["pretrained"] and about["start_from"]
    before, after = (front_end.embedder_of(checkpoints.load(path)) for path in (first, last_checkpoint(artifacts)))
    assert unchanged(before, after) == {"shared_ones/kernel", "shared_ones/bias"}
    assert not artifacts.embeddings.exists()  # they would be of another front end
    assert not networks.has_provided_front_end(about)


def test_weights_none_trains_all_layers(artifacts):
    assert train(artifacts, "--weights", "none") == 0
    about = checkpoints.read_about(last_checkpoint(artifacts))
    assert not about["front_end"]["pretrained"] and about["front_end"]["heard"] is None
    one, two = map(checkpoints.load, checkpoints.list_files(artifacts.models))
    constant = {weight.path for weight in two.weights if "shared_ones" in weight.path}
    standardised = {"standardise/moving_mean", "standardise/moving_variance"}
    assert unchanged(one, two) == {"cut_windows/kernel"} | standardised | constant
    assert not artifacts.embeddings.exists()


# The loop, with a tiny network


def test_half_precision_is_saved_in_float32(artifacts, tiny):
    assert train(artifacts, *TINY, "--precision", "mixed_float16") == 0
    assert keras.config.dtype_policy().name == "mixed_float16"
    keras_backend.use_precision("float32")
    assert {layer.compute_dtype for layer in checkpoints.load(last_checkpoint(artifacts)).layers} == {"float32"}


def test_seed_decides(artifacts, tiny):
    runs = []
    for options in ((), (), ("--seed", "2")):
        assert train(artifacts, *TINY, "--overwrite", *options) == 0
        runs.append(contents(artifacts.models))
    assert runs[0] == runs[1] and runs[0]["history.pkl"] != runs[2]["history.pkl"]


@pytest.fixture
def losses(monkeypatch):
    """Validation losses for a run of at most five epochs: the second one is the lowest of the first four."""
    evaluate, values = training.evaluate, iter([1.0, 0.5, 0.7, 0.6, 0.4])
    monkeypatch.setattr(training, "evaluate", lambda *args: evaluate(*args) | {"val_loss": next(values)})


def test_early_stop_ends_the_run_and_it_is_finished(artifacts, tiny, losses, capsys):
    assert train(artifacts, *TINY, "--early-stop", "2", epochs=9) == 0
    assert history(artifacts)["val_loss"] == [1.0, 0.5, 0.7, 0.6]
    assert "no lower validation loss for 2 epochs: stopped" in capsys.readouterr().out
    assert train(artifacts, *TINY, "--early-stop", "2", epochs=9) == 0
    assert "nothing to do: this run is finished" in capsys.readouterr().out


def test_keep_best_leaves_the_epoch_of_lowest_validation_loss(artifacts, tiny, losses):
    assert train(artifacts, *TINY, "--keep", "best", epochs=3) == 0
    names = [path.name for path in checkpoints.list_files(artifacts.models)]
    assert names == [checkpoints.file_name(2, history(artifacts)["val_categorical_accuracy"][1])]


def test_loss_that_is_not_a_number_stops_with_advice(artifacts, tiny, capsys):
    assert train(artifacts, *TINY, "--learning-rate", "1e30", "--batch-size", "2", epochs=5) == 1
    error = error_line(capsys.readouterr().err)
    assert "no longer a number" in error and "--learning-rate" in error


def test_part_of_a_run_without_its_state_is_not_finished(artifacts, tiny, capsys):
    assert train(artifacts, *TINY) == 0
    first = {key: values[:1] for key, values in history(artifacts).items()}
    artifacts.history.write_bytes(pickle.dumps(first))
    assert train(artifacts, *TINY) == 1
    assert "1 of 2 epochs, but not the state to continue from" in error_line(capsys.readouterr().err)


def test_clips_are_read_in_several_threads(tmp_path):
    """Parsing a header fails in CPython 3.11.7 if garbage collection lets another thread parse one meanwhile."""
    np.save(tmp_path / "clip.npy", np.zeros((2, front_end.EMBEDDING), np.float16))

    def load_at_depth(depth):
        return load_at_depth(depth - 1) if depth else batches.load_embedding(tmp_path / "clip.npy")

    def let_others_run(phase, info):
        time.sleep(1e-5)

    threshold = gc.get_threshold()
    gc.callbacks.append(let_others_run)
    try:
        gc.set_threshold(2)
        with ThreadPoolExecutor(3) as pool:
            clips = list(pool.map(load_at_depth, [0, 3, 6] * 300))
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(let_others_run)
    assert len(clips) == 900 and all(clip.shape == (2, front_end.EMBEDDING) for clip in clips)


def test_batches_follow_the_seed_and_use_every_clip_once(artifacts):
    names = results.read_clips(artifacts, "all")["spectrogram"]
    paths, labels = [artifacts.spectrograms / name for name in names], list(range(len(names)))

    def epoch(seed, number):
        options = {"load": batches.load_clip, "time_axis": 1, "batch_size": 5, "seed": seed, "epoch": number}
        return list(batches.training_batches(paths, labels, len(paths), **options))

    first = epoch(1, 1)
    assert [len(clips) for clips, _ in first] == [5, 5, 2]
    assert (np.concatenate([targets for _, targets in first]).sum(0) == 1).all()
    for log_mels, targets in first:
        for log_mel, label in zip(log_mels, targets.argmax(1), strict=True):
            alone = batches.load_clip(paths[label])
            assert (log_mel == np.tile(alone, 3)[:, : log_mel.shape[1]]).all()
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, epoch(1, 1), strict=True))
    assert not np.array_equal(first[0][1], epoch(1, 2)[0][1])
    assert not np.array_equal(first[0][1], epoch(2, 1)[0][1])


# Refused before anything is deleted


@pytest.fixture
def finished(artifacts):
    """A root with files of an earlier run; training that starts would read or remove them."""
    artifacts.models.mkdir()
    for name in ("epoch_01_0.5000.h5", "history.pkl", run_folder.STATE):
        (artifacts.models / name).write_bytes(b"of the earlier run")
    artifacts.training_settings.write_text('{"settings": {}}')
    artifacts.embeddings.mkdir()
    np.save(artifacts.embeddings / "x.npy", np.zeros((1, 1608), np.float16))
    (artifacts.embeddings / "settings.json").write_text('{"front_end": "of the earlier run"}')
    return artifacts


def old_network(path):
    make_model(path, CLASSES, settings={"sample_rate": 22050, "hop_length": 512, "n_mels": 96}, network="crnn")


def mislabelled_network(path):
    make_model(path, CLASSES, network="crnn")  # its description says crnn


def junk(path):
    path.write_bytes(b"junk")


@pytest.mark.parametrize(
    "options, make, words",
    [
        (["--precision", "half"], None, ["--precision", "half"]),
        (["--class-weights", "yes"], None, ["--class-weights", "'yes' is neither on nor off"]),
        (["--epochs", "0"], None, ["--epochs", "'0' is not a whole number of 1 or more"]),
        (["--learning-rate", "nan"], None, ["--learning-rate", "'nan' is not a finite number of 0 or more"]),
        (["--weight-decay", "low"], None, ["--weight-decay", "'low' is not a finite number of 0 or more"]),
        (["--network", "resnet"], None, ["--network", "resnet"]),
        (["--batch-size", "9"], None, ["--batch-size 9 is more than the 8 training clips"]),
        (["--start-from", "FILE"], None, ["start.h5 does not exist"]),
        (["--start-from", "FILE"], junk, ["start.h5 is not a readable Keras .h5 file"]),
        (["--start-from", "FILE"], mislabelled_network, ["start.h5 contains the network tiny, not crnn"]),
        (["--start-from", "FILE"], old_network, ["sample_rate = 22050", "sample_rate = 16000", "hop_length = 512"]),
        (["--start-from", "FILE", "--network", "vgg16"], old_network, ["contains the network crnn, not vgg16"]),
        (["--start-from", "FILE", "--weights", "none"], old_network, ["--start-from or --weights, not both"]),
        (["--weights", "FILE"], junk, ["crnn starts from pretrained or none, not from a file"]),
        (["--weights", "none", "--tensorboard", "FILE"], junk, ["--tensorboard", "start.h5: logs cannot be written"]),
        (["--network", "vgg16", "--weights", "FILE"], None, ["weights of VGG16", "start.h5", "--weights none"]),
        (["--network", "vgg16", "--weights", "FILE"], old_network, ["weights of VGG16", "--weights none"]),
    ],
)
def test_bad_options_are_refused_and_nothing_deleted(finished, tmp_path, capsys, options, make, words):
    path = tmp_path / "start.h5"
    if make:
        make(path)
    before = contents(finished.root)
    options = [str(path) if option == "FILE" else option for option in options]
    assert run_script(TRAINING, finished.root, "--overwrite", *options) in (1, 2)
    errors = capsys.readouterr().err
    assert all(word in errors.splitlines()[-1] for word in words), errors
    assert not errors.startswith("error: ") or errors.count("\n") == 1
    assert contents(finished.root) == before


def test_vgg16_without_weights_does_not_block_the_next_run(artifacts, tiny, monkeypatch, capsys):
    import keras.applications

    def no_connection(**_):
        raise Exception("URL fetch failure\non a second line")

    with monkeypatch.context() as patch:
        patch.setattr(networks, "build_network", BUILD_NETWORK)
        patch.setattr(keras.applications, "VGG16", no_connection)
        assert train(artifacts, "--network", "vgg16") == 1
    assert "The weights of VGG16 (imagenet) cannot be loaded (URL fetch failure)" in error_line(capsys.readouterr().err)
    assert not artifacts.models.exists()
    assert train(artifacts, *TINY) == 0


def test_data_that_cannot_be_used_are_refused_and_nothing_deleted(finished, monkeypatch, capsys):
    names = list(results.read_clips(finished, "all")["spectrogram"])
    log_mel = np.load(finished.spectrograms / names[3])
    log_mel[5, 5] = np.nan
    np.save(finished.spectrograms / names[3], log_mel)
    earlier = contents(finished.models)
    for options in ([], TINY):
        assert run_script(TRAINING, finished.root, "--overwrite", *options) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ") and names[3] in error and "contains NaN" in error
        assert contents(finished.models) == earlier
    before = contents(finished.root)
    usage = shutil.disk_usage(finished.root)
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert run_script(TRAINING, finished.root, "--overwrite", *TINY) == 1
    assert "checkpoints need" in error_line(capsys.readouterr().err) and contents(finished.root) == before


@pytest.mark.parametrize(
    "epoch, seconds, end",
    [
        (1, [30.0], "balanced 0.4000"),  # with compilation: no estimate
        (2, [30.0, 2.0], "9 clips/s  16 s left"),
        (2, [30.0, 30.0], "9 clips/s  4.0 min left"),
        (10, [30.0, 2.0], "9 clips/s"),
    ],
)
def test_progress_line_ends_with_the_time_left(epoch, seconds, end):
    logs = dict.fromkeys(("loss", "categorical_accuracy", "val_loss", "val_categorical_accuracy"), 0.5)
    line = training.progress_line(epoch, 10, logs | {"val_balanced_accuracy": 0.4}, 9.0, seconds)
    assert line.split("accuracy 0.5000  ")[-1].removeprefix("balanced 0.4000  ") == end


def test_class_without_clips():
    with pytest.raises(PipelineError, match="No training clip is high"):
        training_run.check_classes([0] * 4, [0], CLASSES)
    with pytest.raises(PipelineError, match="validation part of the split is empty"):
        training_run.check_classes([0, 1], [], CLASSES)


def test_checkpoints_of_an_unknown_run_are_refused(finished, capsys):
    finished.training_settings.unlink()
    before = contents(finished.root)
    assert train(finished) == 1
    assert "checkpoints of an unknown run" in error_line(capsys.readouterr().err) and contents(finished.root) == before


# Other backends


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_embed_and_train_two_epochs(backend, artifacts):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    command = [sys.executable, str(REPOSITORY / TRAINING), "--root", str(artifacts.root), "--epochs", "2"]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(artifacts.training_settings.read_text())["versions"]["backend"] == backend
    assert len(history(artifacts)["loss"]) == 2 and np.isfinite(history(artifacts)["val_loss"]).all()
    assert len(list(spectrogram_folder.list_spectrograms(artifacts.embeddings))) == 10
