"""Test the folder of embeddings: made once or again, refused, resumed, checked; and the front end's file."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from tiny_pipeline import contents, run_script
from tiny_results import make_model, make_training_set

from music_featurization.artifacts import FRONT_END, REPOSITORY, STEP_1, Artifacts, PipelineError
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder
from music_featurization.evaluation import results
from music_featurization.network import embeddings, front_end, networks

TRAINING = "python/1-training.py"
# Runs a script that kills itself with SIGKILL instead of replacing the third .npy file.
KILLED = """
import os, runpy, signal, sys
replace, made = os.replace, []
def replace_or_die(source, target):
    made.append(str(target)) if str(target).endswith(".npy") else None
    os.kill(os.getpid(), signal.SIGKILL) if len(made) == 3 else replace(source, target)
os.replace = replace_or_die
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class FakeFrontEnd:
    """Gives the mean of a window 1,608 times, and remembers how many windows it got at a time."""

    def __init__(self):
        self.sizes = []

    def predict_on_batch(self, windows):
        self.sizes.append(len(windows))
        return np.repeat(windows.mean((1, 2))[:, None], 1608, axis=1)


@pytest.fixture
def fake(monkeypatch):
    front = FakeFrontEnd()
    monkeypatch.setattr(embeddings, "_embedder", lambda: front)
    return front


@pytest.fixture
def where(tmp_path):
    return make_training_set(tmp_path)


def names_of(where):
    return list(results.read_clips(where, "all")["spectrogram"])


def generate(where, **options):
    embeddings.generate_missing(where, names_of(where), jobs=1, **options)


def times(where):
    return {name: os.stat(where.embeddings / name).st_mtime_ns for name in embedded(where)}


def embedded(where):
    return list(spectrogram_folder.list_spectrograms(where.embeddings))


def refused(where, **options):
    with pytest.raises(PipelineError) as error:
        generate(where, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# Made once


def test_what_is_written_and_that_it_is_written_once(where, fake, capsys):
    generate(where)
    names = names_of(where)
    assert embedded(where) == sorted(names) and len(names) == 12
    for name in names:
        log_mel, made = np.load(where.spectrograms / name), np.load(where.embeddings / name)
        assert made.shape == (len(front_end.windows(log_mel)), 1608) and made.dtype == np.float16
        assert made[:, 0] == pytest.approx(front_end.windows(log_mel).mean((1, 2)), abs=2e-3)
    assert json.loads((where.embeddings / "settings.json").read_text()) == embeddings.settings()
    assert (where.embeddings / "failures.csv").read_text() == "mp3_path,error\n"
    assert "embeddings of 12 clips: 0 done, 12 to do" in capsys.readouterr().out
    before, calls = contents(where.embeddings) | times(where), len(fake.sizes)
    generate(where)
    assert contents(where.embeddings) | times(where) == before and len(fake.sizes) == calls
    assert capsys.readouterr().out == ""


def test_made_again_when_the_spectrogram_is_newer(where, fake, capsys):
    generate(where)
    name, before = names_of(where)[2], times(where)
    np.save(where.spectrograms / name, np.ones((96, 187), np.float16))
    os.utime(where.spectrograms / name, ns=(before[name] + 1, before[name] + 1))
    generate(where)
    assert "12 clips: 11 done, 1 to do" in capsys.readouterr().out
    assert [key for key in before if times(where)[key] != before[key]] == [name]
    assert (np.load(where.embeddings / name) == 1).all()


def test_embeddings_of_another_front_end_are_refused(where, fake):
    generate(where)
    settings = where.embeddings / "settings.json"
    settings.write_text(json.dumps(embeddings.settings() | {"front_end": "0123"}))
    os.utime(where.spectrograms / names_of(where)[0])  # something is to do
    before = contents(where.embeddings)
    message = refused(where)
    assert "front_end = 0123" in message and embeddings.settings()["front_end"] in message and "--overwrite" in message
    assert contents(where.embeddings) == before
    calls = len(fake.sizes)
    generate(where, overwrite=True)
    assert len(fake.sizes) == calls + 12
    assert json.loads(settings.read_text()) == embeddings.settings()
    generate(where, overwrite=True)  # these are ours: not made again
    assert len(fake.sizes) == calls + 12


def test_settings_file_that_is_damaged_or_missing(where, fake):
    generate(where)
    settings = where.embeddings / "settings.json"
    settings.write_text("{")
    assert "settings.json" in refused(where) and embedded(where)
    settings.unlink()
    calls = len(fake.sizes)
    generate(where)  # nothing says how they were made: all again
    assert len(fake.sizes) == calls + 12


def test_failures_are_recorded_and_the_others_made(where, fake, capsys):
    names = names_of(where)
    (where.spectrograms / names[0]).write_bytes(b"junk")
    np.save(where.spectrograms / names[1], np.full((96, 200), np.nan, np.float16))
    np.save(where.spectrograms / names[2], np.ones((64, 200), np.float16))
    (where.spectrograms / names[3]).unlink()
    message = refused(where)
    assert message.startswith("4 clips have no embedding (") and "failures.csv" in message
    assert embedded(where) == sorted(names[4:])
    found = spectrogram_folder.read_failures(where.embeddings)
    reasons = ("not a readable spectrogram", "contains NaN", "has the shape (64, 200)", "No such file")
    assert list(found) == sorted(names[:4])
    assert all(reason in found[name] for name, reason in zip(names, reasons, strict=False))
    make_training_set(where.root / "again")
    for name in names[:4]:
        shutil.copy(where.root / "again/datasets/spectrograms" / name, where.spectrograms / name)
    generate(where)
    assert "12 clips: 8 done, 4 to do" in capsys.readouterr().out
    assert spectrogram_folder.read_failures(where.embeddings) == {}


def test_shards_make_their_parts_only(where, fake):
    made, parts = [], 3
    for part in range(1, parts + 1):
        before = set(embedded(where)) if where.embeddings.exists() else set()
        assert run_script(TRAINING, where.root, "--shard", f"{part}/{parts}") == 0
        made.append(set(embedded(where)) - before)
        assert made[-1] == {name for name in names_of(where) if spectrogram_folder.in_shard(name, (part, parts))}
    assert set().union(*made) == set(names_of(where)) and not where.models.exists()
    calls = len(fake.sizes)
    generate(where)
    assert len(fake.sizes) == calls


def test_step_1_overwrite_removes_them(collection_with_spectrograms, fake):
    where = Artifacts(collection_with_spectrograms)
    names = list(spectrogram_folder.list_spectrograms(where.spectrograms))
    embeddings.generate_missing(where, names, jobs=1)
    assert run_script(STEP_1, where.root, "--overwrite", "--shard", "1/2") == 0
    assert embedded(where) == [name for name in names if not spectrogram_folder.in_shard(name, (1, 2))]
    assert run_script(STEP_1, where.root, "--overwrite") == 0
    assert contents(where.embeddings) == {}


# By worker processes, and after a kill


def test_workers_make_the_same_and_record_failures(where, monkeypatch, capsys):
    names, bad = names_of(where), names_of(where)[5]
    generate(where)
    alone = {name: np.load(where.embeddings / name).astype(np.float32) for name in names}
    shutil.rmtree(where.embeddings)
    (where.spectrograms / bad).write_bytes(b"junk")
    monkeypatch.setattr(embeddings, "FEW", 0)
    with pytest.raises(PipelineError, match=r"1 clips have no embedding .*is not a readable spectrogram"):
        embeddings.generate_missing(where, names, jobs=2)
    assert embedded(where) == sorted(set(names) - {bad})
    for name in embedded(where):
        assert np.allclose(np.load(where.embeddings / name), alone[name], rtol=2e-3, atol=2e-3)


def test_killed_in_the_middle_only_the_missing_are_made(where, capsys):
    command = [sys.executable, "-c", KILLED, str(REPOSITORY / TRAINING), "--root", str(where.root), "--shard", "1/1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    before = times(where)
    assert len(before) == 2 and len(list(where.embeddings.rglob(".unfinished-*"))) == 1
    generate(where)
    assert "embeddings of 12 clips: 2 done, 10 to do" in capsys.readouterr().out
    assert len(embedded(where)) == 12 and times(where) | before == times(where)
    assert not list(where.embeddings.rglob(".unfinished-*"))
    assert [problem for _, problem in embeddings.check(where) if problem] == []


# Lengths


@pytest.mark.parametrize("frames", [3, 186])
def test_clip_shorter_than_a_window_is_repeated(where, fake, frames):
    name = names_of(where)[0]
    log_mel = np.random.default_rng(0).random((96, frames)).astype(np.float16)
    np.save(where.spectrograms / name, log_mel)
    assert embeddings.generate(name, spectrograms=where.spectrograms, folder=where.embeddings) is None
    made = np.load(where.embeddings / name)
    assert made.shape == (1, 1608)
    assert made[0, 0] == pytest.approx(np.tile(log_mel, 63)[:, :187].astype(np.float32).mean(), abs=1e-3)


def test_clip_of_more_than_an_hour_in_bounded_memory(where, fake):
    name, frames = names_of(where)[0], 187 * 1300  # 65 minutes
    path = where.spectrograms / name
    log_mel = np.lib.format.open_memmap(path, "w+", np.float16, (96, frames))
    log_mel[:, ::1000] = 3
    log_mel.flush()
    del log_mel
    tracemalloc.start()
    try:
        assert embeddings.generate(name, spectrograms=where.spectrograms, folder=where.embeddings) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.load(where.embeddings / name).shape == (1300, 1608)
    assert max(fake.sizes) <= 60 and sum(fake.sizes) == 1300
    assert peak < 4.2 * frames * 96 * 4


# --check


def test_check_finds_what_is_wrong(where, fake, capsys):
    generate(where)
    assert [problem for _, problem in embeddings.check(where) if problem] == []
    names = sorted(names_of(where))
    good = np.load(where.embeddings / names[0])
    old = os.stat(where.spectrograms / names[6]).st_mtime_ns - 1
    for name, spoil, reason in zip(
        names,
        (
            lambda path: np.save(path, good[:, :400]),
            lambda path: np.save(path, good[0]),
            lambda path: np.save(path, np.full_like(good, np.nan)),
            lambda path: np.save(path, np.tile(good, (5, 1))),
            lambda path: path.write_bytes(b"junk"),
            lambda path: (where.spectrograms / path.relative_to(where.embeddings)).unlink(),
            lambda path: os.utime(path, ns=(old, old)),
        ),
        (
            "has the shape (1, 400), not (windows, 1608)" if len(good) == 1 else "has the shape (2, 400)",
            "two dimensions",
            "contains NaN",
            f"embeddings of {5 * len(good)} windows, but the spectrogram has",
            "not a readable file of embeddings",
            "its spectrogram is missing",
            "older than its spectrogram",
        ),
        strict=False,
    ):
        spoil(where.embeddings / name)
        assert reason in dict(embeddings.check(where))[name]
    assert [name for name, problem in embeddings.check(where) if problem] == names[:7]
    assert run_script(STEP_1, where.root, "--check") == 1
    said = capsys.readouterr().out.splitlines()
    assert "12 files of embeddings checked, 7 wrong: delete them and run python/1-training.py again" in said
    assert all(any(line.startswith(f"{name}: ") for line in said) for name in names[:7])


# The file of the front end


def missing(path):
    path.unlink()


def junk(path):
    path.write_bytes(b"no network" * 100)


def cut(path):
    path.write_bytes(path.read_bytes()[:1_000_000])


def another_network(path):
    make_model(path)


def another_network_that_says_it_is_one(path):
    make_model(path, **front_end.read_about())


def other_windows(path):
    change_about(path, {"frames": 200})


def other_spectrograms(path):
    change_about(path, {"spectrogram_settings": spectrogram.SETTINGS | {"hop_length": 512}})


def no_settings(path):
    change_about(path, {"spectrogram_settings": None})


def change_about(path, changes):
    import h5py

    with h5py.File(path, "r+") as file:
        file.attrs["about"] = json.dumps(json.loads(file.attrs["about"]) | changes)


@pytest.mark.parametrize(
    "damage, reason",
    [
        (missing, "does not exist"),
        (junk, "is not a readable front end"),
        (cut, "is not a readable front end"),
        (another_network, "is not a readable front end"),
        (other_windows, "is a front end for other spectrograms"),
        (other_spectrograms, "is a front end for other spectrograms"),
        (no_settings, "is not a readable front end"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--shard", "1/1"], ["--weights", "none"]], ids=" ".join)
def test_front_end_that_cannot_be_used(where, tmp_path, monkeypatch, capsys, damage, reason, options):
    assert_refused(where, tmp_path, monkeypatch, capsys, damage, reason, options)


@pytest.mark.parametrize("options", [[], ["--weights", "none"]], ids=" ".join)
def test_network_that_says_it_is_the_front_end(where, tmp_path, monkeypatch, capsys, options):
    damage, reason = another_network_that_says_it_is_one, "is not a readable front end"
    assert_refused(where, tmp_path, monkeypatch, capsys, damage, reason, options)


def assert_refused(where, tmp_path, monkeypatch, capsys, damage, reason, options):
    path = tmp_path / "other" / "front_end.h5"
    path.parent.mkdir()
    shutil.copy(FRONT_END, path)
    damage(path)
    for module in (front_end, embeddings, networks):
        monkeypatch.setattr(module, "FRONT_END", path)
    embeddings._embedder.cache_clear()
    before = contents(where.root)
    assert run_script(TRAINING, where.root, *options) == 1
    embeddings._embedder.cache_clear()
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path} {reason}") and said.count("\n") == 1, said
    assert "git checkout models/front_end.h5" in said
    assert contents(where.root) == before
