"""What a script does in unfriendly surroundings: locales, closed streams, names, missing packages and shared memory."""

import os
import shutil
import subprocess
import sys

import pytest
import tiny_music
import tiny_results
from tiny_pipeline import AFTER_TRAINING, DATA_STEPS, contents, fails_with_one_line, run_all

from music_featurization.artifacts import REPOSITORY, STEP_1, STEP_2, STEP_3, STEP_4, Artifacts

SCRIPTS = sorted(
    str(path.relative_to(REPOSITORY))
    for folder in ("datasets_utils", "python", "results_utils")
    for path in (REPOSITORY / folder).glob("*.py")
)
NO_SHARED_MEMORY = """
import _multiprocessing
class Refused(_multiprocessing.SemLock):
    def __new__(cls, *_, **__):
        raise OSError(38, "Function not implemented")
_multiprocessing.SemLock = Refused
"""


def start(script, root, *args, streams="", env=None):
    """Run a script by a shell that redirects its streams."""
    command = 'exec "$@" ' + streams
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, REPOSITORY / script, *(["--root", root] if root else []), *args],
        env={**os.environ, **(env or {})}, capture_output=True, timeout=120,
    )  # fmt: skip


def with_site(folder, code):
    """Environment in which Python runs this code first."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY / "python")])}


# Streams


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(collection, collection_with_spectrograms, streams):
    process = start(STEP_1, collection, streams=streams)
    assert process.returncode == 0 and b"Traceback" not in process.stderr
    result, expected = (contents(root / "datasets") for root in (collection, collection_with_spectrograms))
    assert result == expected
    shutil.rmtree(collection)
    process = start(STEP_1, collection, streams=streams)
    assert process.returncode == 1 and b"Traceback" not in process.stderr


def test_output_to_a_full_disk(collection_with_spectrograms):
    process = start(STEP_2, collection_with_spectrograms, streams="> /dev/full")
    assert process.returncode == 1 and process.stderr.startswith(b"error: No space left on device")


def test_working_directory_that_was_removed(collection, tmp_path):
    (tmp_path / "gone").mkdir()
    command = f'cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && exec "$@"'
    process = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, REPOSITORY / STEP_1, "--root", collection], capture_output=True
    )
    fails_with_one_line(process, "The working directory does not exist any more")


# Locales and names


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_names_beyond_ascii_in_any_locale(tmp_path, locale):
    names = [f"{genre}/título {number} 音.mp3" for genre in ("forró", "flûte") for number in range(6)]
    root = tmp_path / "música"
    for number, name in enumerate(names):
        tiny_music.write_mp3(root / "datasets/mp3_files" / name, tiny_music.music(0.5, seed=number))
    (root / "datasets/mp3_files/forró/bäd.mp3").write_bytes(b"junk")
    env = dict.fromkeys(("LC_ALL", "LANG"), "") | locale
    steps = (STEP_1,), (STEP_2, "--genres-from-folders"), (STEP_3, "--genres", "forró,flûte"), (STEP_4,)
    for step, *args in steps:
        process = start(step, root, *args, env=env)
        assert process.returncode == 0, process.stderr.decode()
    fails_with_one_line(start(STEP_3, root, "--genres", "forró,dub", env=env), "was made with other settings")
    settings = (root / "datasets/six_genres.json").read_text(encoding="utf-8")
    assert "forró" in settings and "flûte" in settings


def test_root_that_is_not_utf8(collection_with_spectrograms, tmp_path):
    root = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff\xfet")
    shutil.copytree(collection_with_spectrograms, root)
    process = start(STEP_1, root)
    assert process.returncode == 0, process.stderr.decode()
    run_all(root, *DATA_STEPS[1:])
    tiny_results.make_model(Artifacts(root).models / "epoch_02_0.4100.h5")
    tiny_results.make_history(Artifacts(root), [1.5, 1.2, 1.3])
    run_all(root, *AFTER_TRAINING)
    fails_with_one_line(start(STEP_3, root, "--genres", "rock,jazz"), "r\\udcff\\udcfet/datasets/six_genres.csv")


# Python, packages and the machine


def test_python_that_does_not_look_beside_the_script(collection):
    assert start(STEP_1, collection, env={"PYTHONSAFEPATH": "1"}).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_the_installation(script):
    command = [sys.executable, "-S", REPOSITORY / script, "--help"]  # -S: without site-packages
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.run(command, capture_output=True, env=env)
    fails_with_one_line(process, "No module named", "Install the project first: pip install -r requirements.txt")


def test_missing_package(collection, tmp_path):
    env = with_site(tmp_path / "site", "import sys; sys.modules['soundfile'] = None")
    process = start(STEP_1, collection, env=env)
    last = process.stderr.decode().splitlines()[-1]
    assert process.returncode == 1 and b"Traceback" not in process.stderr
    assert last.startswith("error: ") and "soundfile" in last and "pip install -r requirements.txt" in last


def test_joblib_without_processes(collection):
    process = start(STEP_1, collection, env={"JOBLIB_MULTIPROCESSING": "0"})
    fails_with_one_line(process, "Worker processes cannot be started", "Unset JOBLIB_MULTIPROCESSING")


def test_no_shared_memory(collection, tmp_path):
    env = with_site(tmp_path / "site", NO_SHARED_MEMORY)
    fails_with_one_line(start(STEP_1, collection, env=env), "Worker processes cannot be started", "mount /dev/shm")


@pytest.mark.parametrize(
    "backend, settings, words",
    [
        ("jax", None, ("jax", "KERAS_BACKEND")),
        ("theano", None, ("theano", "KERAS_BACKEND")),
        (None, '{"backend": "theano"}', ("theano", "keras.json")),
        (None, '{"backend": 7}', ("keras.json",)),
        (None, "[]", ("keras.json",)),
        (None, '{"floatx": "float99"}', ("keras.json",)),
    ],
)
def test_keras_that_cannot_start(tmp_path, backend, settings, words):
    if settings:
        (tmp_path / "home/.keras").mkdir(parents=True)
        (tmp_path / "home/.keras/keras.json").write_text(settings)
    code = (
        "from music_featurization import command_line; from music_featurization.network import keras_backend\n"
        "command_line.run(lambda: keras_backend.load_keras() and None)"
    )
    env = os.environ | with_site(tmp_path / "site", "import sys; sys.modules['jax'] = None")
    env |= {"HOME": str(tmp_path / "home")} | ({"KERAS_BACKEND": backend} if backend else {})
    fails_with_one_line(
        subprocess.run([sys.executable, "-c", code], capture_output=True, env=env), "Keras cannot start", *words
    )
