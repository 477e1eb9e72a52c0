"""Test the folder of embeddings: computed once or again, refused, continued, checked; and a damaged front end."""

import json
import os
import shutil
import tracemalloc

import h5py
import numpy as np
import pytest
from tiny_pipeline import contents, run_script
from tiny_results import make_model, make_training_set

from music_featurization.artifacts import FRONT_END, STEP_1, TRAINING, Artifacts, PipelineError
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder
from music_featurization.evaluation import results
from music_featurization.network import embeddings, front_end, networks


class FakeFrontEnd:
    """Compute the mean of a window 1,608 times, and remember the number of windows of each call."""

    def __init__(self):
        self.sizes = []

    def predict_on_batch(self, windows):
        self.sizes.append(len(windows))
        return np.repeat(windows.mean((1, 2))[:, None], 1608, axis=1)


@pytest.fixture
def fake(monkeypatch):
    fake = FakeFrontEnd()
    monkeypatch.setattr(embeddings, "_embedder", lambda: fake)
    return fake


@pytest.fixture
def artifacts(tmp_path):
    return make_training_set(tmp_path)


@pytest.fixture
def names(artifacts):
    """The 12 spectrograms of the training set."""
    return list(results.read_clips(artifacts, "all")["spectrogram"])


def generate(artifacts, **options):
    names = list(results.read_clips(artifacts, "all")["spectrogram"])
    embeddings.generate_missing(artifacts, names, **{"jobs": 1} | options)


def embedded(artifacts):
    return list(spectrogram_folder.list_spectrograms(artifacts.embeddings))


def times(artifacts):
    return {name: os.stat(artifacts.embeddings / name).st_mtime_ns for name in embedded(artifacts)}


def problems(artifacts):
    return {name: problem for name, problem in embeddings.check(artifacts) if problem}


def refused(artifacts, **options):
    with pytest.raises(PipelineError) as error:
        generate(artifacts, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_embeddings_are_computed_once(artifacts, names, fake, capsys):
    generate(artifacts)
    assert embedded(artifacts) == sorted(names)
    for name in names:
        log_mel, embedding = np.load(artifacts.spectrograms / name), np.load(artifacts.embeddings / name)
        windows = front_end.windows(log_mel)
        assert embedding.shape == (len(windows), 1608) and embedding.dtype == np.float16
        assert embedding[:, 0] == pytest.approx(windows.mean((1, 2)), abs=2e-3)
    assert json.loads((artifacts.embeddings / "settings.json").read_text()) == embeddings.settings()
    assert (artifacts.embeddings / "failures.csv").read_text() == "mp3_path,error\n"
    assert "embeddings of 12 clips: 0 done, 12 to do" in capsys.readouterr().out
    before, calls = contents(artifacts.embeddings) | times(artifacts), len(fake.sizes)
    generate(artifacts)
    assert contents(artifacts.embeddings) | times(artifacts) == before and len(fake.sizes) == calls
    assert capsys.readouterr().out == ""


def test_embeddings_of_a_newer_spectrogram_are_computed_again(artifacts, names, fake, capsys):
    generate(artifacts)
    name, before = names[2], times(artifacts)
    np.save(artifacts.spectrograms / name, np.ones((96, 187), np.float16))
    os.utime(artifacts.spectrograms / name, ns=(before[name] + 1, before[name] + 1))
    generate(artifacts)
    assert "12 clips: 11 done, 1 to do" in capsys.readouterr().out
    assert [key for key in before if times(artifacts)[key] != before[key]] == [name]
    assert (np.load(artifacts.embeddings / name) == 1).all()


def test_embeddings_of_another_front_end_are_refused(artifacts, names, fake):
    generate(artifacts)
    settings_file, ours = artifacts.embeddings / "settings.json", embeddings.settings()
    settings_file.write_text(json.dumps(ours | {"front_end": "0123"}))
    os.utime(artifacts.spectrograms / names[0])  # there is something to do
    before, calls = contents(artifacts.embeddings), len(fake.sizes)
    message = refused(artifacts)
    assert all(text in message for text in ("front_end = 0123", ours["front_end"], "--overwrite"))
    assert contents(artifacts.embeddings) == before
    for _ in range(2):  # only the first one replaces them
        generate(artifacts, overwrite=True)
        assert len(fake.sizes) == calls + 12 and json.loads(settings_file.read_text()) == ours
    settings_file.write_text("{")
    assert "settings.json" in refused(artifacts) and embedded(artifacts)
    settings_file.unlink()
    generate(artifacts)  # without settings it is unknown how they were made: all are made again
    assert len(fake.sizes) == calls + 24


def test_failures_are_recorded_and_the_others_made(artifacts, names, fake, capsys):
    good = shutil.copytree(artifacts.spectrograms, artifacts.root / "good")
    (artifacts.spectrograms / names[0]).write_bytes(b"junk")
    np.save(artifacts.spectrograms / names[1], np.full((96, 200), np.nan, np.float16))
    np.save(artifacts.spectrograms / names[2], np.ones((64, 200), np.float16))
    (artifacts.spectrograms / names[3]).unlink()
    message = refused(artifacts)
    assert message.startswith("4 clips without an embedding (") and "failures.csv" in message
    assert embedded(artifacts) == sorted(names[4:])
    failures = spectrogram_folder.read_failures(artifacts.embeddings)
    reasons = ("not a readable spectrogram", "contains NaN", "has the shape (64, 200)", "No such file")
    assert list(failures) == sorted(names[:4])
    assert all(reason in failures[name] for name, reason in zip(names, reasons, strict=False))
    shutil.copytree(good, artifacts.spectrograms, dirs_exist_ok=True)
    generate(artifacts)
    assert "12 clips: 8 done, 4 to do" in capsys.readouterr().out
    assert spectrogram_folder.read_failures(artifacts.embeddings) == {}


def test_shards_make_their_parts_only(artifacts, names, fake):
    for part in (1, 2, 3):
        before = embedded(artifacts) if part > 1 else []
        assert run_script(TRAINING, artifacts.root, "--shard", f"{part}/3") == 0
        in_shard = {name for name in names if spectrogram_folder.in_shard(name, (part, 3))}
        assert set(embedded(artifacts)) - set(before) == in_shard
    calls = len(fake.sizes)
    assert set(embedded(artifacts)) == set(names) and not artifacts.models.exists()
    generate(artifacts)
    assert len(fake.sizes) == calls


def test_step_1_overwrite_removes_them(collection_with_spectrograms, fake):
    artifacts = Artifacts(collection_with_spectrograms)
    names = list(spectrogram_folder.list_spectrograms(artifacts.spectrograms))
    embeddings.generate_missing(artifacts, names, jobs=1)
    assert run_script(STEP_1, artifacts.root, "--overwrite", "--shard", "1/2") == 0
    assert embedded(artifacts) == [name for name in names if not spectrogram_folder.in_shard(name, (1, 2))]
    assert run_script(STEP_1, artifacts.root, "--overwrite") == 0
    assert contents(artifacts.embeddings) == {}


def test_workers_make_the_same_and_record_failures(artifacts, names, monkeypatch):
    generate(artifacts)
    alone = {name: np.load(artifacts.embeddings / name).astype(np.float32) for name in names}
    shutil.rmtree(artifacts.embeddings)
    (artifacts.spectrograms / names[5]).write_bytes(b"junk")
    monkeypatch.setattr(embeddings, "FEW", 0)
    assert "1 clip without an embedding " in refused(artifacts, jobs=2)
    assert embedded(artifacts) == sorted(set(names) - {names[5]})
    for name in embedded(artifacts):
        assert np.allclose(np.load(artifacts.embeddings / name), alone[name], rtol=2e-3, atol=2e-3)


def test_more_than_an_hour_in_bounded_memory(artifacts, names, fake):
    name, frames = names[0], 187 * 1300  # 65 minutes
    log_mel = np.lib.format.open_memmap(artifacts.spectrograms / name, "w+", np.float16, (96, frames))
    log_mel[:, ::1000] = 3
    log_mel.flush()
    del log_mel
    tracemalloc.start()
    try:
        assert embeddings.generate(name, spectrograms=artifacts.spectrograms, folder=artifacts.embeddings) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.load(artifacts.embeddings / name).shape == (1300, 1608)
    assert max(fake.sizes) <= 60 and sum(fake.sizes) == 1300
    assert peak < 4.2 * frames * 96 * 4


def test_check_finds_what_is_wrong(artifacts, names, fake, capsys):
    generate(artifacts)
    assert not problems(artifacts)
    good, old = np.ones((9, 1608), np.float16), os.stat(artifacts.spectrograms / names[0]).st_mtime_ns - 1
    ways = (
        (lambda path: np.save(path, good[:, :400]), "has the shape (9, 400), not (windows, 1608)"),
        (lambda path: np.save(path, good[0]), "two dimensions"),
        (lambda path: np.save(path, np.full_like(good, np.nan)), "contains NaN"),
        (lambda path: np.save(path, good), "embeddings of 9 windows, but the spectrogram has"),
        (lambda path: path.write_bytes(b"junk"), "not a readable file of embeddings"),
        (lambda path: (artifacts.spectrograms / path.relative_to(artifacts.embeddings)).unlink(), "is missing"),
        (lambda path: os.utime(path, ns=(old, old)), "older than its spectrogram"),
    )
    spoiled = sorted(names)[: len(ways)]
    for name, (spoil, _) in zip(spoiled, ways, strict=True):
        spoil(artifacts.embeddings / name)
    assert list(problems(artifacts)) == spoiled
    assert all(reason in problems(artifacts)[name] for name, (_, reason) in zip(spoiled, ways, strict=True))
    assert run_script(STEP_1, artifacts.root, "--check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert "12 embeddings checked, 7 wrong: delete them and run python/1-training.py again" in lines
    assert all(any(line.startswith(f"{name}: ") for line in lines) for name in spoiled)


# A front end that cannot be used


def change_about(changes):
    def change(path):
        with h5py.File(path, "r+") as file:
            file.attrs["about"] = json.dumps(json.loads(file.attrs["about"]) | changes)

    return change


DAMAGES = {
    "missing": (lambda path: path.unlink(), "does not exist"),
    "junk": (lambda path: path.write_bytes(b"no network" * 100), "is not a readable front end"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:1_000_000]), "is not a readable front end"),
    "another network": (make_model, "is not a readable front end"),
    "mislabelled": (lambda path: make_model(path, **front_end.read_about()), "is not a readable front end"),
    "other windows": (change_about({"frames": 200}), "is a front end for other spectrograms"),
    "other spectrograms": (
        change_about({"spectrogram_settings": spectrogram.SETTINGS | {"hop_length": 512}}),
        "is a front end for other spectrograms",
    ),
    "no settings": (change_about({"spectrogram_settings": None}), "is not a readable front end"),
}


@pytest.mark.parametrize(
    "damage, options",
    [(damage, ()) for damage in DAMAGES]
    + [(damage, ("--weights", "none")) for damage in DAMAGES]
    + [(damage, ("--shard", "1/1")) for damage in DAMAGES if damage != "mislabelled"],  # it builds no network
)
def test_front_end_that_cannot_be_used(artifacts, tmp_path, monkeypatch, capsys, damage, options):
    path, (spoil, reason) = tmp_path / "other/front_end.h5", DAMAGES[damage]
    path.parent.mkdir()
    shutil.copy(FRONT_END, path)
    spoil(path)
    for module in (front_end, embeddings, networks):
        monkeypatch.setattr(module, "FRONT_END", path)
    embeddings._embedder.cache_clear()
    before = contents(artifacts.root)
    assert run_script(TRAINING, artifacts.root, *options) == 1
    embeddings._embedder.cache_clear()
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} {reason}") and error.count("\n") == 1, error
    assert "git checkout models/front_end.h5" in error and contents(artifacts.root) == before
