"""Several machines: shards, and a Dask cluster of a real scheduler and two real worker processes on loopback."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import hostile_clips
import pytest
import soundfile
import tiny_music
import tiny_results
from tiny_pipeline import contents, error_line, refused, run_script, start_script

from music_featurization import dask_cluster, workers
from music_featurization.artifacts import FEATURIZE, STEP_1, PipelineError
from music_featurization.dataset import spectrogram_folder

# Shards


def test_shards_are_disjoint_and_of_about_one_size():
    names = {f"{number % 16:x}/artist-album-{number}-0-29.npy" for number in range(25863)}
    shards = [{name for name in names if spectrogram_folder.in_shard(name, (i, 20))} for i in range(1, 21)]
    assert sum(map(len, shards)) == len(names) and set().union(*shards) == names
    assert max(map(len, shards)) < 1.15 * min(map(len, shards))


def test_shards_together_make_everything(collection, collection_with_spectrograms, capsys):
    bad = collection / "datasets/mp3_files/bad.mp3"
    bad.write_bytes(b"junk" * 99)
    for part in range(1, 4):
        assert run_script(STEP_1, collection, "--shard", f"{part}/3") == 0
    assert len(re.findall(r"clips in shard \d of 3", capsys.readouterr().out)) == 3
    folder = collection / "datasets/spectrograms"
    assert len(list(folder.glob("failures-?-of-3.csv"))) == 3
    assert run_script(STEP_1, collection) == 0
    assert "33 clips: 32 done, 0 to do, 1 failed before" in capsys.readouterr().out
    assert [path.name for path in folder.glob("failures*.csv")] == ["failures.csv"]
    assert list(spectrogram_folder.read_failures(folder)) == ["bad.mp3"]
    bad.unlink()
    assert run_script(STEP_1, collection) == 0
    assert contents(folder) == contents(collection_with_spectrograms / "datasets/spectrograms")


# Dask


WITHOUT = "import sys; sys.modules['{}'] = None; from dask.__main__ import main; main()"  # it cannot be imported


class Cluster:
    """A scheduler and worker processes on loopback, each in a session of its own."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        self.address, self.folder, self.processes = f"tcp://127.0.0.1:{self.port}", folder, []

    def start(self, *command, without=None):
        # Workers find the project by themselves, the tests' functions here; one more death, and Dask gives a task up.
        path = os.pathsep.join(filter(None, [os.path.dirname(__file__), os.environ.get("PYTHONPATH")]))
        env = os.environ | {"PYTHONPATH": path, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        how = ["-c", WITHOUT.format(without)] if without else ["-m", "dask"]
        with open(self.folder / "log", "a") as log:
            process = subprocess.Popen(
                [sys.executable, *how, *command, "--no-dashboard", "--host", "127.0.0.1"],
                stdout=log, stderr=log, cwd=self.folder, env=env, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def scheduler(self):
        return self.start("scheduler", "--port", self.port)

    def worker(self, *options, **how):
        return self.start("worker", self.address, "--nthreads", "1", *options, **how)

    def end(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def distributed():
    return pytest.importorskip("distributed", reason="Dask is not installed (requirements-cluster.txt)")


@pytest.fixture
def cluster(tmp_path, distributed):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.end()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory, distributed):
    """Address of a scheduler with two worker processes."""
    cluster = Cluster(tmp_path_factory.mktemp("dask"))
    cluster.scheduler()
    for _ in range(2):
        cluster.worker()
    yield cluster.address
    cluster.end()


def worker_names(address):
    import distributed

    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        return sorted(client.run(os.getpid).values())


def test_dask_makes_the_same_files(scheduler, collection, collection_with_spectrograms, capsys):
    (collection / "datasets/mp3_files/bad.mp3").write_bytes(b"junk" * 99)
    assert run_script(STEP_1, collection, "--dask", scheduler) == 0
    assert "32 done, 1 failed, 0 remain" in capsys.readouterr().out
    (collection / "datasets/spectrograms/failures.csv").write_text("mp3_path,error\n")
    expected = contents(collection_with_spectrograms / "datasets/spectrograms")
    assert contents(collection / "datasets/spectrograms") == expected


def test_dask_makes_the_embeddings(scheduler, tmp_path):
    from music_featurization.network import embeddings

    artifacts = tiny_results.make_training_set(tmp_path)
    names = list(tiny_results.results.read_clips(artifacts, "test")["spectrogram"])
    (artifacts.spectrograms / names[1]).write_bytes(b"junk")
    with pytest.raises(PipelineError, match=r"1 clip without an embedding .*is not a readable spectrogram"):
        embeddings.generate_missing(artifacts, names, jobs=1, dask=scheduler)
    assert list(spectrogram_folder.list_spectrograms(artifacts.embeddings)) == names[:1]
    assert [problem for _, problem in embeddings.check(artifacts)] == [None]


def test_dask_uses_all_workers_and_not_the_client(scheduler):
    clips = [str(number) for number in range(200)]
    results = {process for _, process in workers.run(hostile_clips.name_process, clips, jobs=1, dask=scheduler)}
    assert results == {str(process) for process in worker_names(scheduler)}


def test_dask_worker_killed_in_the_middle_loses_nothing(scheduler):
    clips = [f"slow-{number}" for number in range(150)]
    victim, results = worker_names(scheduler)[0], []
    for clip, failure in workers.run(hostile_clips.do, clips, jobs=1, dask=scheduler):
        results.append((clip, failure))
        if len(results) == 20:
            os.kill(victim, signal.SIGKILL)
    assert sorted(results) == sorted((clip, None) for clip in clips)
    assert victim not in worker_names(scheduler)


def test_dask_clip_that_kills_its_worker_costs_that_clip(scheduler):
    clips = [*(f"slow-{number}" for number in range(20)), "exits-1"]
    results = dict(workers.run(hostile_clips.do, clips, jobs=1, dask=scheduler))
    assert [clip for clip in clips if results[clip]] == ["exits-1"]


def test_dask_system_error_ends_the_run(scheduler):
    with pytest.raises(OSError, match="No space left"):
        list(workers.run(hostile_clips.do, ["fine-1", "raises-2"], jobs=1, dask=scheduler))


@pytest.mark.parametrize("is_installed", [True, False])
def test_dask_that_does_not_answer_or_is_not_installed(collection, monkeypatch, request, is_installed):
    if is_installed:
        request.getfixturevalue("distributed")
        monkeypatch.setattr(dask_cluster, "SECONDS_TO_WAIT", 1)
    else:
        monkeypatch.setitem(sys.modules, "distributed", None)
    message = refused(STEP_1, collection, "--dask", "tcp://127.0.0.1:1")
    answer = "No Dask scheduler answers at tcp://127.0.0.1:1"
    assert (answer if is_installed else "pip install -r requirements-cluster.txt") in message


def ends_soon(capsys, root, address, *words, seconds=30):
    """Run step 1, which must fail with one line within some seconds."""
    began = time.monotonic()
    assert run_script(STEP_1, root, "--dask", address) == 1
    assert time.monotonic() - began < seconds
    error_line(capsys.readouterr().err, *words)


@pytest.mark.parametrize("without", ["music_featurization", "soundfile"])
def test_dask_worker_that_lacks_a_package(cluster, collection, capsys, without):
    cluster.scheduler()
    lame = cluster.worker("--no-nanny", without=without)
    ends_soon(capsys, collection, cluster.address, without, "pip install -r requirements-cluster.txt")
    os.killpg(lame.pid, signal.SIGKILL)
    lame.wait()
    cluster.worker()
    assert run_script(STEP_1, collection, "--dask", cluster.address) == 0
    assert "32 done, 0 failed, 0 remain" in capsys.readouterr().out


def test_dask_scheduler_needs_no_package_of_ours(cluster, collection):
    cluster.start("scheduler", "--port", cluster.port, without="music_featurization")
    cluster.worker()
    assert run_script(STEP_1, collection, "--dask", cluster.address) == 0


@pytest.mark.parametrize("victim", ["scheduler", "worker"])
def test_dask_process_killed_in_the_middle(cluster, victim, monkeypatch):
    monkeypatch.setattr(dask_cluster, "SECONDS_TO_WAIT", 10)
    processes = {"scheduler": cluster.scheduler(), "worker": cluster.worker("--no-nanny")}
    outcomes = workers.run(hostile_clips.do, [f"slow-{n}" for n in range(400)], jobs=1, dask=cluster.address)
    next(outcomes)
    for name in ("SECONDS_TO_WAIT", "SECONDS_OF_SILENCE"):
        monkeypatch.setattr(dask_cluster, name, 1)
    os.killpg(processes[victim].pid, signal.SIGKILL)
    began = time.monotonic()
    message = "connection to the Dask scheduler.*run the same command" if victim == "scheduler" else "has no workers"
    with pytest.raises(PipelineError, match=message):
        list(outcomes)
    assert time.monotonic() - began < 20


def test_dask_without_workers(cluster, collection, capsys, monkeypatch):
    monkeypatch.setattr(dask_cluster, "SECONDS_TO_WAIT", 3)
    cluster.scheduler()
    ends_soon(capsys, collection, cluster.address, "has no workers. Start some: dask worker")


def test_dask_featurizes_although_a_worker_is_killed(cluster, tmp_path):
    """The table is that of local workers."""
    folder = tmp_path / "music"
    folder.mkdir()
    tiny_results.make_model(tmp_path / "network.h5")
    for number in range(24):
        soundfile.write(folder / f"{number:02d}.wav", tiny_music.music(30, seed=number), 16000)
    cluster.scheduler()
    victim = cluster.worker()
    cluster.worker()
    worker_names(cluster.address)
    options = ("--model", tmp_path / "network.h5", "--tags", "--out")
    command = start_script(FEATURIZE, tmp_path, folder, *options, tmp_path / "dask.csv", "--dask", cluster.address)
    time.sleep(8)  # in the middle of its first tasks, or still loading its network
    os.killpg(victim.pid, signal.SIGKILL)
    printed, errors = command.communicate(timeout=300)
    assert command.returncode == 0 and "24 tracks (" in printed, errors
    assert run_script(FEATURIZE, tmp_path, folder, *options, tmp_path / "local.csv") == 0
    assert (tmp_path / "dask.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()
