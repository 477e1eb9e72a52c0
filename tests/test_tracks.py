"""Identity of tracks, the owner of a table, and the surroundings of featurize.py: links, permissions, kills."""

import builtins
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_music import music
from tiny_pipeline import load_script
from tiny_results import make_model, make_track_table

from music_featurization import file_lock, workers
from music_featurization.artifacts import REPOSITORY, Artifacts, PipelineError
from music_featurization.audio import decoding
from music_featurization.feature_tables import feature_table, table_run, tracks
from music_featurization.feature_tables import featurize as featurizing
from music_featurization.style_space import neighbours, search, style_map, walk

featurize = load_script("python/featurize.py").main
similar = load_script("python/similar.py").main
plot = load_script("results_utils/plot_style_space.py").main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "network.h5"
    make_model(path)
    return path


@pytest.fixture
def run(model, monkeypatch, capsys):
    """Run featurize in this process; returns what it prints."""
    monkeypatch.setattr(workers, "run", lambda function, paths, **_: ((path, function(path)) for path in paths))

    def run(*args, status=0):
        assert featurize([*map(str, args), "--model", str(model)]) == status
        return capsys.readouterr().out

    return run


def write(path, seconds=4, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, music(seconds, seed=seed), 16000, format="WAV")
    return path


def names(out):
    return feature_table.read(out).names


def refused(main, *args):
    with pytest.raises(PipelineError) as error:
        main([*map(str, args)])
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def refused_run(model):
    """The message with which featurize refuses."""
    return lambda *args: refused(featurize, *args, "--model", model)


# Identity


def test_one_file_by_many_ways_is_one_track(run, tmp_path, monkeypatch):
    song, out = write(tmp_path / "music/song.wav"), tmp_path / "out/f.csv"
    (tmp_path / "a").symlink_to(tmp_path / "music")
    (tmp_path / "b").symlink_to(tmp_path / "music")
    (tmp_path / "link.wav").symlink_to(song)
    os.link(song, tmp_path / "hard.wav")
    monkeypatch.chdir(tmp_path)
    ways = ("link.wav", song, "music/song.wav", "music/../music/song.wav", "a", "b", "a/song.wav", "hard.wav", "music")
    assert "1 tracks: 0 done, 1 to do" in run(*ways, "--out", out)
    assert names(out) == [str(song)]
    for way in ways:
        assert "1 tracks: 1 done, 0 to do" in run(way, "--out", out)
    assert names(out) == [str(song)]


def test_dots_after_a_link_are_resolved(run, tmp_path):
    song = write(tmp_path / "x/song.wav")
    (tmp_path / "x/y").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x/y")
    run(f"{tmp_path}/link/../song.wav", "--out", tmp_path / "out/f.npz")
    assert names(tmp_path / "out/f.npz") == [str(song)]


def test_link_keeps_its_name_where_the_file_has_none(run, tmp_path):
    """As git-annex stores files."""
    write(tmp_path / "objects/3f2a")
    (tmp_path / "music").mkdir()
    (tmp_path / "music/Artist-Title.wav").symlink_to(tmp_path / "objects/3f2a")
    run(tmp_path / "music", "--out", tmp_path / "f.csv")
    assert names(tmp_path / "f.csv") == ["music/Artist-Title.wav"]


def test_same_names_on_two_disks_are_two_tracks(run, tmp_path, monkeypatch):
    out = tmp_path / "out" / "f.csv"
    for number, disk in enumerate(("disk1", "disk2")):
        write(tmp_path / disk / "music/song.wav", seconds=4 + number, seed=number)
        monkeypatch.chdir(tmp_path / disk)
        assert "1 tracks: 0 done, 1 to do" in run("music", "--out", out)
    table = feature_table.read(out)
    assert table.names == [str(tmp_path / disk / "music/song.wav") for disk in ("disk1", "disk2")]
    assert table.rows["seconds"].tolist() == [4, 5]
    assert abs(np.subtract(*table.features)).max() > 0


@pytest.mark.parametrize("ending", [".csv", ".npz", ".parquet"])
def test_recordings_are_found_from_anywhere(run, tmp_path, monkeypatch, capsys, ending):
    below, elsewhere, out = tmp_path / "lib/music/a.wav", tmp_path / "usb/b.wav", tmp_path / f"lib/f{ending}"
    write(below), write(elsewhere, seed=1)
    monkeypatch.chdir(tmp_path / "usb")
    run("../lib/music", "b.wav", "--out", f"../lib/f{ending}")
    assert names(out) == [str(elsewhere), "music/a.wav"]
    monkeypatch.chdir("/")
    clips, _ = style_map.read(Artifacts(tmp_path), out)
    assert clips["recording"].tolist() == [str(elsewhere), str(below)]
    monkeypatch.chdir(tmp_path / "lib")
    for way in ("music/a.wav", "../lib/music/a.wav", below, "A.wav"):
        similar([str(way), "--features", f"f{ending}"])
        assert capsys.readouterr().out.startswith(f"nearest to music/a.wav of 2 in f{ending}")
    table = feature_table.read(Path(f"f{ending}"))
    assert walk.find_end("../usb/b.wav", clips, np.zeros((2, 1)), ["x"]) == 0
    assert neighbours.find(str(elsewhere), table.names, table.recordings) == 0


def test_recording_with_the_name_of_another_is_not_the_other(run, tmp_path, monkeypatch):
    write(tmp_path / "lib/song.wav"), write(tmp_path / "usb/song.wav", seed=1)
    run(tmp_path / "lib", "--out", tmp_path / "lib/f.csv")
    table = feature_table.read(tmp_path / "lib/f.csv")
    monkeypatch.chdir(tmp_path / "usb")
    assert neighbours.find("song.wav", table.names, table.recordings) is None


def test_table_and_music_move_together(run, tmp_path):
    write(tmp_path / "old/music/a.wav")
    run(tmp_path / "old", "--out", tmp_path / "old/f.csv")
    (tmp_path / "old").rename(tmp_path / "new")
    assert "1 done, 0 to do" in run(tmp_path / "new", "--out", tmp_path / "new/f.csv")
    assert feature_table.read(tmp_path / "new/f.csv").recordings == [str(tmp_path / "new/music/a.wav")]


@pytest.mark.parametrize("windows", [(), ("--every", "29.1")])
def test_changed_file_is_done_again(run, tmp_path, windows):
    song, other, out = write(tmp_path / "m/a.wav", 62), write(tmp_path / "m/b.wav"), tmp_path / "f.csv"
    run(tmp_path / "m", "--out", out, *windows)
    write(song, 5, seed=7)
    assert "2 tracks: 1 done, 1 to do" in run(tmp_path / "m", "--out", out, *windows)
    table = feature_table.read(out)
    assert table.names == ["m/a.wav", "m/b.wav"] and table.rows["seconds"].tolist() == [5, 4]
    os.utime(other, (1, 1))  # of the same size
    assert "2 tracks: 1 done, 1 to do" in run(tmp_path / "m", "--out", out, *windows)
    assert "2 tracks: 2 done, 0 to do" in run(tmp_path / "m", "--out", out, *windows)


def test_changed_file_that_cannot_be_used_has_no_row(run, tmp_path):
    song, out = write(tmp_path / "m/a.wav"), tmp_path / "f.csv"
    write(tmp_path / "m/b.wav")
    run(tmp_path / "m", "--out", out)
    song.write_bytes(b"not music")
    assert "2 tracks: 1 done, 1 to do" in run(tmp_path / "m", "--out", out)
    assert names(out) == ["m/b.wav"]
    assert "m/a.wav" in (tmp_path / "f.failures.csv").read_text()
    song.unlink()
    write(tmp_path / "m/b.wav", seconds=0.05)
    run(tmp_path / "m", "--out", out, status=1)
    assert not out.exists() and os.listdir(tmp_path / "m") == ["b.wav"]


def test_rows_of_the_last_part_are_used(tmp_path):
    """A changed track of an interrupted run, finished by a run on other tracks."""

    def table(path, starts, size):
        return make_track_table([path] * len(starts), start=starts, bytes=size)

    made = table_run.finish(tmp_path / "f.csv", [table("a", [0, 29, 58], 1), table("b", [0], 1), table("a", [0], 2)])
    assert sorted(made.rows[["recording", "bytes"]].itertuples(index=False, name=None)) == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("time_of_change", [0, -1e10, 1e11, 253402300800])
def test_any_time_of_change_is_kept(tmp_path, time_of_change):
    song = write(tmp_path / "a.wav")
    os.utime(song, (time_of_change, time_of_change))
    assert tracks.find([song], tmp_path / "f.csv")[0][0].modified


# What a folder contains beside music


def test_what_is_left_out_is_named(run, refused_run, tmp_path):
    write(tmp_path / "m/a.wav")
    for name in ("score.mid", "notes.txt"):
        (tmp_path / "m" / name).touch()
    (tmp_path / "m/loop.wav").symlink_to("loop.wav")
    os.mkfifo(tmp_path / "m/pipe.wav")  # opened, it would wait for somebody to write
    (tmp_path / "m/again").symlink_to(tmp_path / "m")
    said = run(tmp_path / "m", "--out", tmp_path / "f.csv").splitlines()
    assert said[:3] == [
        "2 files skipped: .mid, .txt",
        f"1 link skipped (folders listed under another name): {tmp_path}/m/again/",
        "3 tracks: 0 done, 3 to do",
    ]
    with open(tmp_path / "f.failures.csv", newline="") as file:
        assert list(csv.reader(file))[1:] == [
            ["m/loop.wav", "cannot be read: Too many levels of symbolic links"],
            ["m/pipe.wav", "not a regular file"],
        ]
    for name in ("a.wav", "loop.wav", "pipe.wav"):
        (tmp_path / "m" / name).unlink()
    assert "2 files skipped: .mid, .txt" in refused_run(tmp_path / "m", "--out", tmp_path / "f.csv")


def test_note_on_a_recording_that_is_used_in_part(run, tmp_path, monkeypatch):
    stream = decoding.stream

    def ends_early(path, *, strict=True, on_note=None, **options):
        yield from stream(path, **options)
        assert not strict
        if "short" in os.fspath(path):
            on_note("ends early: 4.0 of 240.0 s")

    monkeypatch.setattr(decoding, "stream", ends_early)
    write(tmp_path / "whole.wav"), write(tmp_path / "short.wav", 62, seed=1)
    for out in ("f.csv", "f.npz", "f.parquet"):
        assert "1 used in part; why: the column note" in run(tmp_path, "--out", tmp_path / out)
        assert feature_table.read(tmp_path / out).rows["note"].tolist() == ["ends early: 4.0 of 240.0 s", ""]
    run(tmp_path, "--out", tmp_path / "w.csv", "--every", "29.1")
    assert feature_table.read(tmp_path / "w.csv").rows["note"].tolist() == ["ends early: 4.0 of 240.0 s"] * 2 + [""]


def test_recording_that_lost_its_end_is_used_and_noted(run, tmp_path):
    song, out = write(tmp_path / "a.wav", 8), tmp_path / "f.csv"
    os.truncate(song, song.stat().st_size // 2)
    run(song, "--out", out)
    (row,) = feature_table.read(out).rows[["seconds", "note"]].itertuples(index=False)
    assert row.seconds == pytest.approx(4, abs=0.01) and row.note == "ends early: 4.0 of 8.0 s"


# The table has one owner


def test_second_run_is_refused(run, refused_run, tmp_path):
    song, out = write(tmp_path / "a.wav"), tmp_path / "f.csv"
    with table_run.owned(out):
        message = refused_run(song, "--out", out)
        run(song, "--out", tmp_path / "other.csv")
    assert f"{out} is being made by another run (process {os.getpid()} on " in message and "--out" in message
    run(song, "--out", out)
    assert sorted(os.listdir(tmp_path)) == ["a.wav", "f.csv", "other.csv"]


HOLD = """
import sys, time
from pathlib import Path
from music_featurization import file_lock
with file_lock.locked(Path(sys.argv[1]), Path("table")):
    print("held", flush=True)
    time.sleep(60)
"""


def test_dead_process_does_not_own_a_table(tmp_path):
    lock = tmp_path / "f.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    message = rf"table is being made by another run \(process {holder.pid} on "
    with pytest.raises(PipelineError, match=message), file_lock.locked(lock, Path("table")):
        pass
    holder.kill()
    holder.wait()
    assert lock.exists()
    with file_lock.locked(lock, Path("table")):
        assert lock.read_text().startswith(f"process {os.getpid()} ")
    assert not lock.exists()


def test_lock_file_that_its_owner_removes_is_not_enough(tmp_path, monkeypatch):
    """Opened before the owner removes it and locked after: somebody else may have made a new one."""
    lock, attempts = tmp_path / "f.lock", []
    really = file_lock._lock

    def slow(file):
        attempts.append(file.name)
        if len(attempts) == 1:
            lock.unlink()
            lock.touch()
        return really(file)

    monkeypatch.setattr(file_lock, "_lock", slow)
    with file_lock.locked(lock, Path("table")):
        assert len(attempts) == 2
        with pytest.raises(PipelineError), file_lock.locked(lock, Path("table")):
            pass


def test_second_real_run_and_a_kill(model, tmp_path):
    for number in range(3):
        write(tmp_path / f"m/{number}.wav", 600, seed=number)
    command = [sys.executable, REPOSITORY / "python/featurize.py", tmp_path / "m", "--model", model, "--jobs", "1"]
    command += ["--out", tmp_path / "f.csv"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, **options)
    wait_for(tmp_path / "f.csv.lock", first)
    first.send_signal(signal.SIGSTOP)
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 1 and second.stderr.splitlines()[-1].startswith(
        f"error: {tmp_path}/f.csv is being made"
    )
    first.kill()
    first.communicate()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "3 tracks: 0 done, 3 to do" in again.stdout
    assert names(tmp_path / "f.csv") == ["m/0.wav", "m/1.wav", "m/2.wav"]
    assert sorted(os.listdir(tmp_path)) == ["f.csv", "m"]


def wait_for(path, process):
    """Wait until a process has made a file."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def test_what_killed_runs_leave_is_swept(run, tmp_path):
    song, out = write(tmp_path / "m/a.wav"), tmp_path / "f.csv"
    left = [
        tmp_path / ".unfinished-elsewhere-1-ab.csv",
        tmp_path / "f.csv.partial/.unfinished-elsewhere-1-ab.npz",
        tmp_path / "f.csv.lock",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))
    (tmp_path / "m/.unfinished-elsewhere-1-ab.csv").touch()  # not in a folder of the table
    run(song, "--out", out)
    assert sorted(os.listdir(tmp_path)) == ["f.csv", "m"] and len(os.listdir(tmp_path / "m")) == 2


# Blame


OUTPUTS = ("f.csv", "f.csv.lock", "f.failures.csv", "f.csv.partial")


@pytest.mark.parametrize("blocked", OUTPUTS)
def test_output_is_checked_before_anything_is_decoded(refused_run, tmp_path, monkeypatch, blocked):
    song, out = write(tmp_path / "a.wav"), tmp_path / "out/f.csv"
    path = tmp_path / "out" / blocked
    path.parent.mkdir(parents=True)
    path.touch() if "partial" in blocked else path.mkdir()
    monkeypatch.setattr(workers, "run", None)
    message = refused_run(song, "--out", out)
    assert message.startswith(f"{out} cannot be written: ") and f"({path})" in message and "--out" in message


@pytest.mark.parametrize("folder", ["out", "out/f.csv.partial"])
def test_folder_without_permission_is_named(refused_run, tmp_path, monkeypatch, folder):
    song, temporary = write(tmp_path / "a.wav"), table_run.tempfile.TemporaryFile

    def refuse(dir):
        if dir == tmp_path / folder:
            raise PermissionError(13, "Permission denied", f"{dir}/tmp123")
        return temporary(dir=dir)

    monkeypatch.setattr(table_run.tempfile, "TemporaryFile", refuse)
    message = refused_run(song, "--out", tmp_path / "out/f.csv")
    assert f"cannot be written: Permission denied ({tmp_path / folder})" in message


def test_folder_above_the_table_that_is_a_file(refused_run, tmp_path):
    (tmp_path / "out").touch()
    message = refused_run(write(tmp_path / "a.wav"), "--out", tmp_path / "out/f.csv")
    assert "cannot be written" in message and f"({tmp_path / 'out'}" in message


def test_recording_that_cannot_be_opened(model, tmp_path, monkeypatch):
    song, really = str(write(tmp_path / "a.wav")), builtins.open

    def refuse(path, *args, **options):
        if path == song:
            raise PermissionError(13, "Permission denied", path)
        return really(path, *args, **options)

    monkeypatch.setattr(builtins, "open", refuse)
    assert featurizing._analyse(song, model=model, every=None) == "cannot be read: Permission denied"


def test_recording_given_as_model(tmp_path):
    song = write(tmp_path / "a.wav")
    for main in (featurize, similar):
        feature_table.write(tmp_path / "f.csv", make_track_table(["b.wav"]))
        message = refused(
            main, song, "--model", song, "--out" if main is featurize else "--features", tmp_path / "f.csv"
        )
        assert f"{song} is not a readable Keras .h5 file" in message and "delete" not in message.lower()
    assert song.exists()


def test_overwrite_deletes_nothing_before_the_network_is_loaded(run, tmp_path, model):
    import h5py

    song, out = write(tmp_path / "a.wav"), tmp_path / "f.csv"
    run(song, "--out", out)
    before = out.read_bytes()
    broken = shutil.copy(model, tmp_path / "broken.h5")
    with h5py.File(broken, "r+") as file:
        del file["model_weights"]
    assert "broken.h5" in refused(featurize, song, "--out", out, "--model", broken, "--overwrite")
    assert out.read_bytes() == before


# Text


def test_names_of_a_mac_are_found(run, tmp_path, capsys):
    decomposed = unicodedata.normalize("NFD", "Café Müller-Löwe.wav")
    song = write(tmp_path / "m" / decomposed)
    write(tmp_path / "m/other.wav", seed=1)
    run(tmp_path / "m", "--out", tmp_path / "f.csv")
    similar([unicodedata.normalize("NFC", "CAFÉ MÜLLER"), "--features", str(tmp_path / "f.csv")])
    assert capsys.readouterr().out.startswith(f"nearest to m/{decomposed} of 2")
    clips, _ = style_map.read(Artifacts(tmp_path), tmp_path / "f.csv")
    assert clips["recording"][0] == str(song)
    assert walk.find_end(unicodedata.normalize("NFC", "löwe"), clips, np.zeros((2, 1)), []) == 0
    clips["genre"] = unicodedata.normalize("NFD", "ópera")
    genres = [clips["genre"][0]]
    assert walk.find_end(unicodedata.normalize("NFC", "ópera"), clips, np.arange(2.0)[:, None], genres) == 0
    message = refused(similar, unicodedata.normalize("NFC", "m/Café Möller-Löwe.wav"), "--features", tmp_path / "f.csv")
    assert f"Did you mean m/{decomposed}?" in message


def test_names_are_searched_in_order():
    composed, decomposed = (unicodedata.normalize(form, "1_é") for form in ("NFC", "NFD"))
    assert search.by_text(decomposed, [composed, decomposed]) == [1]
    assert search.by_text(composed.upper(), [composed, decomposed]) == [0, 1]
    assert search.by_text("1", [composed, "x1", "1"]) == [2]
    assert search.by_text("1", [composed, "x1"]) == [0, 1]
    assert search.by_text("1", [composed, "x1"], has_ids=True) == [0]


@pytest.mark.parametrize("name", ["=1+1.wav", "+1.wav", "-1.wav", "@x.wav", "\tx.wav", '=HYPERLINK("x").wav'])
def test_no_path_is_a_formula(run, tmp_path, name):
    song, out = write(tmp_path / name), tmp_path / "f.csv"
    write(tmp_path / f"{name[0]}junk.wav", seconds=0.05)
    run(tmp_path, "--out", out)
    assert names(out) == [f"./{name}"]
    assert feature_table.read(out).recordings == [str(song)]
    assert "2 tracks: 1 done, 1 to do" in run(tmp_path, "--out", out)
    for path in (out, tmp_path / "f.failures.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            assert all(row[0].startswith("./") for row in list(csv.reader(file))[1:])
