"""Ways to run the project's scripts, in this process and as processes of their own, and to compare what they write."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas
import pytest

from music_featurization import artifacts, command_line
from music_featurization.artifacts import REPOSITORY, Artifacts, PipelineError

DATA_STEPS = ((artifacts.STEP_1,), (artifacts.STEP_2,), (artifacts.STEP_3,), (artifacts.STEP_4,))
AFTER_TRAINING = (
    (artifacts.PLOT,), (artifacts.TESTING,), (artifacts.FORMAT,), (artifacts.PREDICTION,), (artifacts.MAP,),
    (artifacts.REPORT,), (artifacts.WALK, "classical", "rock"),
)  # fmt: skip


def load_script(script: str) -> ModuleType:
    """Import a script, whose name is not an identifier; `script` is a path such as `artifacts.STEP_1`."""
    spec = importlib.util.spec_from_file_location(Path(script).stem, REPOSITORY / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call_script(script: str, root: Path | Artifacts | None, *args: object) -> int | None:
    """Call a script's `main` in this process with --root (unless None) and arguments; errors are raised."""
    root = root.root if isinstance(root, Artifacts) else root
    return load_script(script).main([*map(str, args), *(["--root", str(root)] if root else [])])


def run_script(script: str, root: Path | Artifacts | None, *args: object) -> int:
    """Run a script as a command, but in this process; return its exit status. It prints to capsys."""
    try:
        command_line.run(lambda: call_script(script, root, *args))
    except SystemExit as end:
        return end.code


def run_all(root: Path, *commands: tuple) -> None:
    """Run scripts, each with its arguments, in this process; all must succeed."""
    for script, *args in commands:
        assert run_script(script, root, *args) == 0, script


def refused(script: str, root: Path | Artifacts | None, *args: object) -> str:
    """Return the message with which a script refuses its arguments or what is under the root."""
    with pytest.raises(PipelineError) as error:
        call_script(script, root, *args)
    return str(error.value)


def start_script(script: str, root: Path, *args: object, **options) -> subprocess.Popen:
    """Start a script as a user does, in a session of its own that receives Ctrl-C."""
    command = [sys.executable, str(REPOSITORY / script), "--root", str(root), *map(str, args)]
    options = {"start_new_session": True, "preexec_fn": _receive_ctrl_c, "text": True, **options}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def _receive_ctrl_c():
    # A shell starts its background jobs with it ignored, and a test run may be one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def error_line(stderr: str | bytes, *words: str) -> str:
    """Return the error on stderr, which must be a single line, beside the progress bar, with these words."""
    text = stderr.decode() if isinstance(stderr, bytes) else stderr
    lines = [line for line in text.splitlines() if line.strip() and "clip/s" not in line]
    assert len(lines) == 1 and lines[0].startswith("error: "), text
    assert all(word in lines[0] for word in words), text
    return lines[0]


def fails_with_one_line(process: subprocess.Popen | subprocess.CompletedProcess, *words: str) -> str:
    """Wait for the end of a process, which must be status 1 and a line with these words; return its stdout."""
    if isinstance(process, subprocess.Popen):
        out, err = process.communicate(timeout=60)
    else:
        out, err = process.stdout, process.stderr
    error_line(err, *words)
    assert process.returncode == 1
    return out


def table(root: Path, name: str) -> pandas.DataFrame:
    """Read a table below `datasets`, every value as text."""
    return pandas.read_csv(root / "datasets" / name, dtype=str, keep_default_na=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by its relative path."""
    return {
        os.path.relpath(os.path.join(parent, name), folder): Path(parent, name).read_bytes()
        for parent, _, names in os.walk(folder)
        for name in names
    }
