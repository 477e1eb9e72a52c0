"""What an overnight run meets: dying and hanging workers, kill -9, Ctrl-C, full and read-only disks, hostile names."""

import errno
import functools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile_clips
import joblib
import pytest
import tiny_music
from tiny_pipeline import contents, fails_with_one_line, run_script, start_script

from music_featurization import workers
from music_featurization.artifacts import REPOSITORY, STEP_1, PipelineError
from music_featurization.dataset import spectrogram_folder


def outcomes(clips, **options):
    """What `workers.run` says of each clip; each must come back once."""
    results = list(workers.run(hostile_clips.do, clips, **{"jobs": 2} | options))
    assert len(results) == len(dict(results)) == len(clips)
    return dict(results)


# Workers


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_clip_comes_back_once(jobs):
    clips = [f"{'fails' if number % 7 == 0 else 'fine'}-{number}" for number in range(100)]
    assert outcomes(clips, jobs=jobs) == {clip: "no music" if clip.startswith("fails") else None for clip in clips}


def test_a_dying_worker_costs_its_clip(recwarn):
    clips = [f"slow-{number}" for number in range(50)]
    dying = ["exits-1", "segfaults-2", "killed-3"]
    for place, clip in zip((4, 6, 40), dying, strict=True):
        clips.insert(place, clip)
    results = outcomes(clips)
    assert {clip: failure for clip, failure in results.items() if failure} == dict.fromkeys(
        dying, "its process died: the decoder crashed, or memory ran out"
    )
    assert not recwarn.list


def test_what_workers_leave_is_tidied_up_in_silence():
    code = (
        "import hostile_clips; from music_featurization import workers\n"
        "from joblib.externals.loky.backend import resource_tracker\n"
        "list(workers.run(hostile_clips.do, ['fine-1'], jobs=2))\n"
        "resource_tracker.register('/gone/already', 'folder'); workers.end_workers()"
    )
    folders = os.pathsep.join(str(REPOSITORY / name) for name in ("python", "tests"))
    process = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": folders}, capture_output=True, text=True
    )
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("way", ["hangs", "hangs_in_c"])
def test_a_hanging_clip_is_given_up(way):
    began = time.monotonic()
    results = outcomes(["slow-1", f"{way}-2", "slow-3"], time_limit=2)
    assert results == {"slow-1": None, f"{way}-2": "no end after 2 s", "slow-3": None}
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_is_done_in_the_parent(jobs):
    processes = {
        process for _, process in workers.run(hostile_clips.name_process, [str(n) for n in range(60)], jobs=jobs)
    }
    assert str(os.getpid()) not in processes and 1 <= len(processes) <= jobs


def test_joblib_can_be_used_beside():
    """As in a notebook: joblib has one set of workers, which must not be ours."""
    for _ in range(2):
        assert outcomes(["fine-1"]) == {"fine-1": None}
        assert joblib.Parallel(2)(joblib.delayed(int)() for _ in range(2)) == [0, 0]


def test_another_thread_can_use_workers_at_the_same_time():
    """As in a program with a graphical interface, or a web server; it must not end the workers of the first."""
    clips = [f"slow-{number}" for number in range(40)]
    first = workers.run(hostile_clips.name_process, clips, jobs=1)
    results = [next(first)]
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: dict(workers.run(hostile_clips.name_process, clips, jobs=2))).result()
    results += first
    assert len(dict(results)) == len(second) == 40 and len({process for _, process in results}) == 1


def test_one_thread_and_no_gpu_in_each_worker():
    assert dict(workers.run(hostile_clips.keras_environment, ["a"], jobs=2)) == {"a": "1 1 1 1 -1"}
    # On many clusters OMP_NUM_THREADS is 1 everywhere: that alone makes no process a worker.
    libraries = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    code = "import hostile_clips; print(hostile_clips.keras_environment('a'))"
    folders = os.pathsep.join(str(REPOSITORY / name) for name in ("python", "tests"))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "CUDA_"))}
    env |= libraries | {"PYTHONPATH": folders}
    process = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert process.stdout == "1 1 1 any any\n"


def test_workers_that_die_at_their_start_end_the_run():
    with pytest.raises(PipelineError, match="Worker processes end as soon as they start"):
        outcomes(["fine-1"], prepare=functools.partial(os._exit, 1))


@pytest.mark.parametrize(("clips_per_task", "most"), [(8, 400), (1, 110)])
def test_clips_are_taken_as_they_are_needed(clips_per_task, most):
    """A list of millions must not be read into memory at once, and long clips not be kept waiting for one worker."""
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield f"fine-{len(taken)}"

    run = workers.run(hostile_clips.do, endless(), jobs=2, clips_per_task=clips_per_task)
    for _ in range(100):
        next(run)
    run.close()
    assert len(taken) < most


# Runs that are killed


@pytest.fixture(scope="module")
def many_clips(tmp_path_factory):
    """A root with 100 clips of eight seconds, every twentieth of them cut short: a second or two of work."""
    root = tmp_path_factory.mktemp("many")
    whole = tiny_music.write_mp3(root / "whole.mp3", tiny_music.music(8))
    cut = root / "cut.mp3"
    cut.write_bytes(whole.read_bytes()[:-50])
    for number in range(100):
        path = root / f"root/datasets/mp3_files/{number % 16:x}/clip {number}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(cut if number % 20 == 0 else whole, path)
    return root / "root"


@pytest.fixture(scope="module")
def uninterrupted(many_clips, tmp_path_factory):
    """The spectrograms of an uninterrupted run."""
    root = shutil.copytree(many_clips, tmp_path_factory.mktemp("uninterrupted") / "root")
    assert run_script(STEP_1, root) == 0
    return contents(root / "datasets/spectrograms")


def processes_of(session):
    """Process ids of a session that are alive, with their command lines."""
    processes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                processes[int(folder.name)] = (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended while we looked
    return processes


def workers_of(process):
    return [number for number, command in processes_of(process.pid).items() if "popen_loky" in command]


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def some_done(root):
    folder = root / "datasets/spectrograms"
    return folder.is_dir() and any(spectrogram_folder.list_spectrograms(folder))  # not what is being written


def assert_whole(root, expected):
    """Every file that is visible under its final name is what it will be in the end."""
    for name, content in contents(root / "datasets/spectrograms").items():
        if name.endswith(".npy") and not Path(name).name.startswith("."):
            assert content == expected[name]


def test_killed_at_any_moment_and_run_again(many_clips, uninterrupted, tmp_path, request):
    """kill -9 of the parent or of a worker; the last run completes it, byte for byte."""
    rounds = 20 if request.config.getoption("--thorough") else 4
    moments, killed = random.Random(1), {"parent": 0, "worker": 0}
    root = shutil.copytree(many_clips, tmp_path / "root")
    for number in range(rounds):
        for path in sorted((root / "datasets/spectrograms").rglob("*.npy"))[::2]:
            path.unlink()  # so that there is something to do
        process = start_script(STEP_1, root, "--jobs", 2)
        wait_until(lambda: process.poll() is not None or workers_of(process), 10)  # noqa: B023
        time.sleep(moments.uniform(0, 0.4))  # later, a fast machine is done
        who = "parent" if number % 2 else "worker"
        victim = process.pid if who == "parent" else moments.choice(workers_of(process) or [0])
        if victim:
            killed[who] += 1
            os.kill(victim, signal.SIGKILL)
        process.communicate(timeout=30)
        wait_until(lambda: not processes_of(process.pid), 3)  # noqa: B023
        assert_whole(root, uninterrupted)
        if who == "worker":
            assert process.returncode == 0 and contents(root / "datasets/spectrograms") == uninterrupted
    assert run_script(STEP_1, root) == 0
    assert contents(root / "datasets/spectrograms") == uninterrupted
    print(f"killed: {killed}")
    assert min(killed.values()) >= rounds // 4


@pytest.mark.parametrize("when", ["starting", "working"])
def test_ctrl_c(many_clips, uninterrupted, tmp_path, when):
    """The terminal sends SIGINT to every process of the run."""
    root = shutil.copytree(many_clips, tmp_path / "root")
    process = start_script(STEP_1, root, "--jobs", 2)
    wait_until(lambda: some_done(root) if when == "working" else workers_of(process), 10)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 2
    assert process.returncode == 130
    done, failed, remain = (int(word) for word in out.splitlines()[-1 - ("why" in out)].split() if word.isdigit())
    assert done + failed + remain == 100 and remain > 0 and (done > 0 or when == "starting")
    assert err.splitlines()[-1] == "interrupted; what was finished is kept, run the same command to go on"
    assert "Traceback" not in err and "Warning" not in err
    wait_until(lambda: not processes_of(process.pid), 2)
    assert run_script(STEP_1, root) == 0
    assert contents(root / "datasets/spectrograms") == uninterrupted


# The disk


def test_full_disk(many_clips, tmp_path, uninterrupted):
    """A small file system of its own where that is allowed, else a limit on the size of a file."""
    root, folder = tmp_path / "root", tmp_path / "root/datasets/spectrograms"
    folder.mkdir(parents=True)
    (root / "datasets/mp3_files").symlink_to(many_clips / "datasets/mp3_files")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))}
        fails_with_one_line(start_script(STEP_1, root, **limit), os.strerror(errno.EFBIG), "run the same command again")
        return
    try:
        out = fails_with_one_line(
            start_script(STEP_1, root), os.strerror(errno.ENOSPC), "Free some space", "what was finished"
        )
        written = contents(folder)
        assert len(written) > 5 and not any(Path(name).name.startswith(".") for name in written)
        assert_whole(root, uninterrupted)
        assert "100 clips: 0 done, 100 to do" in out
        subprocess.run(["mount", "-o", "remount,size=99m", folder], check=True)
        assert run_script(STEP_1, root) == 0
        assert contents(folder) == uninterrupted
    finally:
        subprocess.run(["umount", folder], check=True)


def test_output_that_cannot_be_written(collection):
    (collection / "datasets/spectrograms").write_text("a file, where a folder should be")
    fails_with_one_line(start_script(STEP_1, collection), "spectrograms", "run the same command again")
    (collection / "datasets/spectrograms").unlink()
    (collection / "datasets/spectrograms").symlink_to("/proc/self")  # where not even root may make files
    fails_with_one_line(start_script(STEP_1, collection))


def test_input_that_vanishes(many_clips, tmp_path, uninterrupted):
    root = shutil.copytree(many_clips, tmp_path / "root")
    process = start_script(STEP_1, root, "--jobs", 2)
    wait_until(lambda: some_done(root), 10)
    (root / "datasets/mp3_files").rename(root / "datasets/elsewhere")
    fails_with_one_line(process, "mp3_files", "run the same command again")
    assert_whole(root, uninterrupted)
    (root / "datasets/elsewhere").rename(root / "datasets/mp3_files")
    assert run_script(STEP_1, root, "--retry-failed") == 0
    assert contents(root / "datasets/spectrograms") == uninterrupted


# Names


def test_hostile_names(collection, tmp_path, capsys):
    folder, whole = collection / "datasets/mp3_files", collection / "datasets/mp3_files" / tiny_music.clip_path(0)
    names = [
        "a space.mp3", "dots.in.the.name.mp3", "it's \"quoted\".mp3", "comma, tab\t.mp3", "new\nline.mp3", "ü 音.mp3",
        "-rf.mp3", "*?[x].mp3", "x" * 251 + ".mp3", "UPPER.MP3", "x..mp3.mp3", "%s%n.mp3", " .mp3", "a/b c/d,e.mp3",
        "--root.mp3", "\U0001f3b5.mp3", "=1+1.mp3", "\u2028line.mp3", "\ufeffmark.mp3", "\x1b[31m.mp3", "a\\b.mp3",
    ]  # fmt: skip
    for name in [*names, ".DS_Store", "._hidden.mp3", ".hidden/x.mp3", "cover.jpg", "no_ending"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole, folder / name)
    (folder / "bad\rname.mp3").write_bytes(b"junk" * 99)
    not_utf8 = os.fsencode(folder) + b"/\xff\xfe.mp3"
    shutil.copy(os.fsencode(whole), not_utf8)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(whole, tmp_path / "elsewhere/linked.mp3")
    (folder / "link to folder").symlink_to(tmp_path / "elsewhere")
    (folder / "link up").symlink_to(folder)
    (folder / "link to nothing.mp3").symlink_to(tmp_path / "nothing")
    (folder / "a folder.mp3").mkdir()
    os.mkfifo(folder / "pipe.mp3")
    assert run_script(STEP_1, collection) == 0
    written = set(spectrogram_folder.list_spectrograms(collection / "datasets/spectrograms"))
    expected = {spectrogram_folder.spectrogram_name(name) for name in [*names, "link to folder/linked.mp3"]}
    assert len(written) == 32 + len(expected) and expected < written
    failed = spectrogram_folder.read_failures(collection / "datasets/spectrograms")
    assert set(failed) == {"bad\rname.mp3", "\\xff\\xfe.mp3", "link to nothing.mp3", "pipe.mp3"}
    assert run_script(STEP_1, collection, "--check") == 0
