"""The rules of every artifact: whole or absent, made once, never mixed; and what a command line says of errors."""

import errno
import os
import socket
import subprocess
import sys
import time

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from music_featurization import artifacts, command_line
from music_featurization.artifacts import Artifacts, PipelineError


def test_default_root_is_the_repository(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Artifacts().genres == artifacts.REPOSITORY / "datasets/six_genres.csv"
    assert Artifacts("some/where").root == tmp_path / "some/where"
    assert Artifacts("~").root.is_absolute() and "~" not in str(Artifacts("~").root)


def test_replacing_is_invisible_until_it_is_whole(tmp_path):
    path = tmp_path / "new folder/x.csv"
    with artifacts.replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.name.startswith(".") and temporary.suffix == ".csv"
    assert path.read_text() == "half"
    with pytest.raises(KeyboardInterrupt), artifacts.replacing(path) as temporary:
        temporary.write_text("other")
        raise KeyboardInterrupt
    assert path.read_text() == "half" and os.listdir(path.parent) == ["x.csv"]
    with pytest.raises(OSError, match=f"on device: '{path}'$"), artifacts.replacing(path):
        raise OSError(28, "No space left on device")  # as writing to an open file does
    with pytest.raises(OSError, match=f"directory: '{path.parent}'$"), artifacts.replacing(path.parent) as temporary:
        temporary.write_text("other")


def test_unfinished_files_of_the_dead_are_removed(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    with artifacts.replacing(tmp_path / "a/x.npy") as ours:
        ours.touch()
        of_dead = ours.with_name(ours.name.replace(str(os.getpid()), dead.stdout.strip()))
        elsewhere, old = (
            ours.with_name(".unfinished-elsewhere-1-ab.npy"),
            ours.with_name(".unfinished-elsewhere-2-ab.npy"),
        )
        host = socket.gethostname()
        longer_host = ours.with_name(ours.name.replace(f"{host}-", f"{host}-{dead.stdout.strip()}-"))
        for path in (of_dead, elsewhere, old, longer_host):
            path.touch()
        os.utime(old, (time.time() - 90000,) * 2)
        artifacts.remove_unfinished(tmp_path)
        assert sorted(os.listdir(tmp_path / "a")) == sorted([ours.name, elsewhere.name, longer_host.name])


CELLS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(rows=st.lists(st.tuples(st.integers(0, 10**17).map(str), CELLS, st.integers(0, 9)), min_size=1, max_size=5))
def test_tables_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    artifacts.write_table(path, pandas.DataFrame(rows, columns=["clip_id", "genre", "label"]))
    table = artifacts.read_table(path, ("clip_id", "genre", "label"), "a script")
    assert [tuple(row) for row in table.itertuples(index=False)] == rows


@pytest.mark.parametrize(
    "error, status, words",
    [
        (PipelineError("do this"), 1, "error: do this"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.npy"), 1, "(x.npy). Free some space"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x"), 1, "Change its permissions"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), 1, "Give a --root that can be written to"),
        (TimeoutError("no answer"), 1, "error: no answer."),
        (MemoryError(), 1, "error: out of memory"),
        (KeyboardInterrupt(), 130, "run the same command to go on"),
    ],
)
def test_errors_are_one_line_and_a_status(capsys, error, status, words):
    def main():
        raise error

    with pytest.raises(SystemExit) as end:
        command_line.run(main)
    printed = capsys.readouterr().err
    assert end.value.code == status and words in printed and printed.count("\n") == 1


def test_errors_of_the_project_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        command_line.run(lambda: 1 / 0)
