"""Test training: repeatable, resumable after a kill at any write, and refusing nonsense before anything is deleted."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from tiny_pipeline import contents, run_script
from tiny_results import make_model, make_network, make_training_set

from music_featurization.artifacts import FRONT_END, REPOSITORY, Artifacts, PipelineError
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder
from music_featurization.evaluation import results
from music_featurization.network import (
    batches,
    checkpoints,
    front_end,
    keras_backend,
    networks,
    prediction,
    run_folder,
    training,
    training_run,
)

keras = keras_backend.load_keras()
TRAINING, TESTING = "python/1-training.py", "python/2-testing.py"
CLASSES = ["low", "high"]
# Runs a script that is gone at the moment when it would replace a file of this name.
KILLED = """
import os, runpy, sys
replace, name = os.replace, sys.argv[1]
def replace_or_die(source, target):
    os._exit(9) if os.path.basename(target).startswith(name) else replace(source, target)
os.replace = replace_or_die
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def train(where, *options, epochs=2):
    """Run 1-training.py in this process; layers get the names that they have in a process of their own."""
    keras.utils.clear_session(free_memory=False)
    return run_script(TRAINING, where.root, "--epochs", epochs, *options)


def history(where):
    return pickle.loads(where.history.read_bytes())


def last_checkpoint(where):
    return sorted(where.models.glob("epoch_*.h5"))[-1]


def weights_of(path):
    return checkpoints.load(path).get_weights()


def equal(one, other):
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


@pytest.fixture
def where(tmp_path):
    return make_training_set(tmp_path / "root")


@pytest.fixture
def tiny(monkeypatch):
    """Replace the network by one that is compiled in no time; to be trained with --weights none."""
    import tensorflow

    monkeypatch.setattr(networks, "build_network", lambda name, n_classes, **_: make_network(n_classes, name=name))
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


TINY = ("--weights", "none")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A root where the default network was trained for three epochs."""
    where = make_training_set(tmp_path_factory.mktemp("trained"))
    assert train(where, epochs=3) == 0
    return where


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
    assert settings["epochs"] == 3 and settings["batch_size"] == 8  # of 16: there are 8 clips
    parts = [results.read_clips(trained, part)["spectrogram"] for part in ("train", "val")]
    made = set(spectrogram_folder.list_spectrograms(trained.embeddings))
    assert made >= {name for part in parts for name in part}


def test_frozen_front_end_is_the_file_unchanged(trained):
    embedder = front_end.embedder_of(checkpoints.load(last_checkpoint(trained)))
    provided = {weight.path: weight for weight in keras.saving.load_model(FRONT_END, compile=False).weights}
    assert all(np.array_equal(weight, provided[weight.path]) for weight in embedder.weights)


def test_run_again(trained, capsys):
    before = contents(trained.models)
    assert train(trained, epochs=3) == 0
    assert "nothing to do: this run is finished" in capsys.readouterr().out
    assert train(trained, "--seed", "2", epochs=3) == 1
    said = capsys.readouterr().err
    assert "seed = 1" in said and "seed = 2" in said and said.count("\n") == 1
    assert contents(trained.models) == before


@pytest.mark.parametrize("damage", ["history gone", "history junk", "settings []", "settings 3", "state junk"])
def test_damaged_run_is_explained_in_one_line(trained, tmp_path, capsys, damage):
    where = Artifacts(shutil.copytree(trained.root, tmp_path / "root"))
    if damage == "history gone":
        where.history.unlink()
    file, content = {
        "history junk": (where.history, "junk"),
        "settings []": (where.training_settings, "[]"),
        "settings 3": (where.training_settings, '{"settings": 3}'),
        "state junk": (where.models / run_folder.STATE, "junk"),
    }.get(damage, (where.root / "unused", ""))
    file.write_text(content)
    before = contents(where.models)
    assert train(where, epochs=3) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "--overwrite" in said
    assert contents(where.models) == before


def test_killed_and_resumed_gives_the_same_bytes(trained, tmp_path):
    """Kill the process before it writes the second checkpoint; one seed gives one result in any process."""
    where = make_training_set(tmp_path / "root")
    script = [str(REPOSITORY / TRAINING), "--root", str(where.root), "--epochs", "3"]
    done = subprocess.run([sys.executable, "-c", KILLED, "epoch_02", *script], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert [path.name[:8] for path in where.models.glob("epoch_*.h5")] == ["epoch_01"]
    done = subprocess.run([sys.executable, *script], capture_output=True, text=True)
    assert done.returncode == 0 and "2 epochs done, 1 to do" in done.stdout, done.stderr
    assert contents(where.models) == contents(trained.models)


def test_2_testing_uses_the_embeddings_and_agrees_with_spectrograms(trained, capsys):
    assert run_script(TESTING, trained.root, "--overwrite") == 0
    clips = list(results.read_clips(trained, "test")["spectrogram"])
    assert all((trained.embeddings / name).exists() for name in clips)
    model = checkpoints.load(checkpoints.best(trained)[0])
    probabilities, features = prediction.predict(model, [trained.spectrograms / name for name in clips])
    assert np.abs(np.load(trained.probabilities) - probabilities).max() < 2e-3
    assert len(features) == len(clips)
    assert run_script(TESTING, trained.root, "--overwrite", "--split", "val") == 0
    assert len(np.load(results.files(trained, "val").prediction)) == 2


def test_start_from_and_fine_tune(trained, where):
    first = last_checkpoint(trained)
    assert train(where, "--start-from", first, "--fine-tune", "--learning-rate", "0.01") == 0
    about = checkpoints.read_about(last_checkpoint(where))
    assert about["front_end"]["fine_tuned"] and about["front_end"]["pretrained"] and about["start_from"]
    before, after = (front_end.embedder_of(checkpoints.load(path)) for path in (first, last_checkpoint(where)))
    same = dict(
        zip((weight.path for weight in after.weights), equal(before.get_weights(), after.get_weights()), strict=True)
    )
    assert [path for path, unchanged in same.items() if unchanged] == ["shared_ones/kernel", "shared_ones/bias"]
    assert not where.embeddings.exists()  # they would be of another front end
    assert not networks.has_provided_front_end(about)


def test_weights_none_trains_all_layers(where):
    assert train(where, "--weights", "none") == 0
    about = checkpoints.read_about(last_checkpoint(where))
    assert not about["front_end"]["pretrained"] and about["front_end"]["heard"] is None
    one, two = (weights_of(path) for path in sorted(where.models.glob("epoch_*.h5")))
    network = checkpoints.load(last_checkpoint(where))
    paths = [weight.path for weight in network.weights]
    same = {path for path, unchanged in zip(paths, equal(one, two), strict=True) if unchanged}
    assert same == {"cut_windows/kernel", "standardise/moving_mean", "standardise/moving_variance"} | {
        path for path in paths if "shared_ones" in path
    }
    assert not where.embeddings.exists()


# The loop, with a tiny network


class Killed(BaseException):
    """The process is gone: not even clean-up code runs any more."""


@pytest.mark.parametrize("keep", ["all", "best"])
def test_killed_at_every_write_and_resumed(where, tiny, tmp_path, keep):
    """Kill before and after each os.replace, run again, and compare all files with those of an uninterrupted run.

    Before one is nearly after the last: to save time, with --keep best only the first is tested.
    """
    options, epochs = (*TINY, "--keep", keep), 3
    replaced = []
    with pytest.MonkeyPatch.context() as patch:
        replace = os.replace
        patch.setattr(os, "replace", lambda *paths: (replaced.append(paths), replace(*paths)))
        assert train(where, *options, epochs=epochs) == 0
    expected, whole = contents(where.models), len(replaced)
    assert whole >= (10 if keep == "all" else 8)
    for number in range(1, whole + 1):
        for after in (False, True) if keep == "all" else (False,):
            shutil.rmtree(where.models)
            kill_at(where, number, after, lambda: train(where, *options, epochs=epochs))
            assert train(where, *options, epochs=epochs) == 0
            found = contents(where.models)
            assert sorted(found) == sorted(expected), (number, after)
            assert [name for name in expected if found[name] != expected[name]] == [], (number, after)


def kill_at(where, number, after, function):
    """Call a function and kill it at its n-th os.replace: from then on it cannot remove anything either."""
    replace, unlink, count, dead = os.replace, os.unlink, 0, False

    def replace_or_die(source, target):
        nonlocal count, dead
        count += 1
        if count == number:
            if after:
                replace(source, target)
            dead = True
            raise Killed
        replace(source, target)

    def unlink_if_alive(path, **options):
        if dead:
            raise Killed
        unlink(path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 4194304)  # of no process: more than the kernel gives
        patch.setattr(os, "replace", replace_or_die)
        patch.setattr(os, "unlink", unlink_if_alive)
        with pytest.raises(Killed):
            function()


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_interrupted_and_resumed_in_any_precision(where, tiny, monkeypatch, capsys, precision):
    options = (*TINY, "--precision", precision)
    assert train(where, *options, epochs=3) == 0
    whole = contents(where.models)
    shutil.rmtree(where.models)
    write_epoch, done = run_folder.write_epoch, []

    def interrupted(*args):
        done.append(write_epoch(*args))
        if len(done) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_folder, "write_epoch", interrupted)
    assert train(where, *options, epochs=3) == 130
    monkeypatch.setattr(run_folder, "write_epoch", write_epoch)
    assert train(where, *options, epochs=3) == 0
    assert "2 epochs done, 1 to do" in capsys.readouterr().out
    keras_backend.use_precision("float32")
    assert contents(where.models) == whole
    assert {layer.compute_dtype for layer in checkpoints.load(last_checkpoint(where)).layers} == {"float32"}


def test_seed_decides(where, tiny):
    found = []
    for options in ((), (), ("--seed", "2")):
        assert train(where, *TINY, "--overwrite", *options) == 0
        found.append(contents(where.models))
    assert found[0] == found[1] and found[0]["history.pkl"] != found[2]["history.pkl"]


def test_early_stop_waits_for_its_patience():
    assert run_folder.stops_early({"val_loss": [1.0, 0.5, 0.6, 0.5]}, 2)
    assert not run_folder.stops_early({"val_loss": [1.0, 0.5, 0.6, 0.4]}, 2)
    assert not run_folder.stops_early({"val_loss": [0.5, 0.6]}, 2)
    assert not run_folder.stops_early({"val_loss": [0.1, 0.5, 0.6]}, 0)


def test_early_stop_ends_the_run_and_it_is_finished(where, tiny, monkeypatch, capsys):
    evaluate, losses = training.evaluate, iter([1.0, 0.5, 0.7, 0.6, 0.4])
    monkeypatch.setattr(training, "evaluate", lambda *args: evaluate(*args) | {"val_loss": next(losses)})
    assert train(where, *TINY, "--early-stop", "2", epochs=9) == 0
    assert history(where)["val_loss"] == [1.0, 0.5, 0.7, 0.6]
    assert "no lower validation loss for 2 epochs: stopped" in capsys.readouterr().out
    assert train(where, *TINY, "--early-stop", "2", epochs=9) == 0
    assert "nothing to do: this run is finished" in capsys.readouterr().out


def test_keep_best_leaves_the_epoch_of_lowest_validation_loss(where, tiny, monkeypatch):
    evaluate, losses = training.evaluate, iter([1.0, 0.5, 0.7])
    monkeypatch.setattr(training, "evaluate", lambda *args: evaluate(*args) | {"val_loss": next(losses)})
    assert train(where, *TINY, "--keep", "best", epochs=3) == 0
    kept = [path.name for path in where.models.glob("epoch_*.h5")]
    assert kept == [checkpoints.file_name(2, history(where)["val_categorical_accuracy"][1])]


def test_loss_that_is_no_number_stops_with_advice(where, tiny, capsys):
    assert train(where, *TINY, "--learning-rate", "1e30", "--batch-size", "2", epochs=5) == 1
    said = capsys.readouterr().err
    assert "no longer a number" in said and "--learning-rate" in said and said.count("\n") == 1


def test_a_part_of_a_run_without_its_state_is_not_finished(where, tiny, capsys):
    assert train(where, *TINY, epochs=2) == 0
    kept = history(where)
    where.history.write_bytes(pickle.dumps({key: values[:1] for key, values in kept.items()}))
    assert train(where, *TINY, epochs=2) == 1
    assert "1 of 2 epochs, but not the state to continue from" in capsys.readouterr().err


def test_damaged_state_is_explained(where, tiny, capsys):
    assert train(where, *TINY, epochs=2) == 0
    (where.models / run_folder.STATE).write_bytes(b"junk")
    assert train(where, *TINY, epochs=2) == 1
    said = capsys.readouterr().err
    assert run_folder.STATE in said and "--overwrite" in said and said.count("\n") == 1
    assert train(where, *TINY, "--overwrite", epochs=2) == 0


# Batches


def test_batches_follow_the_seed_and_use_every_clip_once(where):
    clips = results.read_clips(where, "all")
    paths, labels = [where.spectrograms / name for name in clips["spectrogram"]], list(range(len(clips)))

    def epoch(seed, number):
        options = {"load": batches.load_clip, "time_axis": 1, "batch_size": 5, "seed": seed, "epoch": number}
        return list(batches.training_batches(paths, labels, len(paths), **options))

    found = epoch(1, 1)
    assert [len(clips) for clips, _ in found] == [5, 5, 2]
    assert (np.concatenate([targets for _, targets in found]).sum(0) == 1).all()
    for log_mels, targets in found:
        for log_mel, label in zip(log_mels, targets.argmax(1), strict=True):
            alone = batches.load_clip(paths[label])
            assert (log_mel == batches.repeated(alone, log_mel.shape[1], 1)).all()
            assert (log_mel[:, : alone.shape[1]] == alone).all()
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(found, epoch(1, 1), strict=True))
    assert not np.array_equal(found[0][1], epoch(1, 2)[0][1])
    assert not np.array_equal(found[0][1], epoch(2, 1)[0][1])


# Refused before anything is deleted


@pytest.fixture
def finished(where):
    """A root with files of an earlier run, as far as nothing reads them."""
    where.models.mkdir()
    for name in ("epoch_01_0.5000.h5", "history.pkl", run_folder.STATE):
        (where.models / name).write_bytes(b"of the earlier run")
    where.training_settings.write_text('{"settings": {}}')
    where.embeddings.mkdir()
    np.save(where.embeddings / "x.npy", np.zeros((1, 1608), np.float16))
    (where.embeddings / "settings.json").write_text('{"front_end": "of the earlier run"}')
    return where


def old_network(path):
    make_model(path, CLASSES, settings={"sample_rate": 22050, "hop_length": 512, "n_mels": 96}, network="crnn")


def another_network(path):
    make_model(path, CLASSES, network="crnn")  # says so, but is not


def junk(path):
    path.write_bytes(b"junk")


def crnn_file(path):
    make_model(path, CLASSES, network="crnn")


@pytest.mark.parametrize(
    "options, make, words",
    [
        (["--precision", "half"], None, ["--precision", "half"]),
        (["--class-weights", "yes"], None, ["--class-weights", "yes is neither on nor off"]),
        (["--epochs", "0"], None, ["--epochs", "'0' is not a whole number of 1 or more"]),
        (["--learning-rate", "nan"], None, ["--learning-rate", "nan is not a number of 0 or more"]),
        (["--network", "resnet"], None, ["--network", "resnet"]),
        (["--batch-size", "9"], None, ["--batch-size 9 is more than the 8 training clips"]),
        (["--start-from", "FILE"], None, ["start.h5 does not exist"]),
        (["--start-from", "FILE"], junk, ["start.h5 is not a readable Keras .h5 file"]),
        (["--start-from", "FILE"], another_network, ["start.h5 contains the network tiny, not crnn"]),
        (["--start-from", "FILE"], old_network, ["sample_rate = 22050", "sample_rate = 16000", "hop_length = 512"]),
        (["--start-from", "FILE", "--network", "vgg16"], crnn_file, ["contains the network crnn, not vgg16"]),
        (["--start-from", "FILE", "--weights", "none"], crnn_file, ["--start-from or --weights, not both"]),
        (["--weights", "FILE"], junk, ["crnn starts from pretrained or none, not from a file"]),
        (["--weights", "none", "--tensorboard", "FILE"], junk, ["--tensorboard", "start.h5: logs cannot be written"]),
        (["--network", "vgg16", "--weights", "FILE"], None, ["weights of VGG16", "start.h5", "--weights none"]),
        (["--network", "vgg16", "--weights", "FILE"], junk, ["weights of VGG16", "start.h5", "--weights none"]),
    ],
)
def test_nonsense_is_refused_and_nothing_deleted(finished, tmp_path, capsys, options, make, words):
    path = tmp_path / "start.h5"
    if make:
        make(path)
    before = contents(finished.root)
    options = [str(path) if option == "FILE" else option for option in options]
    assert run_script(TRAINING, finished.root, "--overwrite", *options) in (1, 2)
    said = capsys.readouterr().err
    assert all(word in said.splitlines()[-1] for word in words), said
    assert not said.startswith("error: ") or said.count("\n") == 1
    assert contents(finished.root) == before


def test_vgg16_without_weights_does_not_block_the_next_run(where, monkeypatch, capsys):
    import keras.applications

    def no_connection(**_):
        raise Exception("URL fetch failure\non a second line")

    monkeypatch.setattr(keras.applications, "VGG16", no_connection)
    assert train(where, "--network", "vgg16") == 1
    said = capsys.readouterr().err
    assert "The weights of VGG16 (imagenet) cannot be loaded (URL fetch failure)" in said and said.count("\n") == 1
    assert not where.models.exists()
    monkeypatch.setattr(networks, "build_network", lambda name, n_classes, **_: make_network(n_classes, name=name))
    assert train(where, *TINY) == 0


def test_data_that_cannot_be_used_are_refused_and_nothing_deleted(finished, monkeypatch, capsys):
    names = list(results.read_clips(finished, "all")["spectrogram"])
    log_mel = np.load(finished.spectrograms / names[3])
    log_mel[5, 5] = np.nan
    np.save(finished.spectrograms / names[3], log_mel)
    earlier = contents(finished.models)
    for options in ([], ["--weights", "none"]):
        assert run_script(TRAINING, finished.root, "--overwrite", *options) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("error: ") and names[3] in said and "contains NaN" in said
        assert contents(finished.models) == earlier
    before = contents(finished.root)
    usage = shutil.disk_usage(finished.root)
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert run_script(TRAINING, finished.root, "--overwrite", *TINY) == 1
    assert "checkpoints need" in capsys.readouterr().err and contents(finished.root) == before


@pytest.mark.parametrize("label", [0, 1])
def test_class_missing_in_train(label):
    with pytest.raises(PipelineError, match=f"No training clip is {CLASSES[1 - label]}"):
        training_run.check_classes([label] * 4, [0], CLASSES)
    with pytest.raises(PipelineError, match="validation part of the split is empty"):
        training_run.check_classes([0, 1], [], CLASSES)


def test_checkpoints_of_an_unknown_run_are_refused(finished, capsys):
    finished.training_settings.unlink()
    before = contents(finished.root)
    assert train(finished) == 1
    assert "checkpoints of an unknown run" in capsys.readouterr().err and contents(finished.root) == before


# Other backends


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_embed_and_train_two_epochs(backend, where):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    command = [sys.executable, str(REPOSITORY / TRAINING), "--root", str(where.root), "--epochs", "2"]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(where.training_settings.read_text())["versions"]["backend"] == backend
    assert len(history(where)["loss"]) == 2 and np.isfinite(history(where)["val_loss"]).all()
    assert len(list(spectrogram_folder.list_spectrograms(where.embeddings))) == 10
