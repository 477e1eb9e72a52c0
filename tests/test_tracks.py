"""Test the identity of tracks, the lock of a table, and the surroundings of featurize.py: links, permissions, kills."""

import csv
import os
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from tiny_music import write_wav
from tiny_pipeline import call_script, refused
from tiny_results import make_track_table

from music_featurization import file_lock, workers
from music_featurization.artifacts import FEATURIZE, REPOSITORY, SIMILAR, Artifacts, PipelineError
from music_featurization.feature_tables import feature_table, table_run, tracks
from music_featurization.style_space import neighbours, search, style_map, walk


@pytest.fixture
def refused_run(tiny_model):
    """Run featurize.py; return the message with which it refuses."""
    return lambda *args: refused(FEATURIZE, None, *args, "--model", tiny_model)


def names(table):
    return feature_table.read(table).names


# Identity


def test_one_file_by_many_ways_is_one_track(featurize_here, tmp_path, monkeypatch):
    song, out = write_wav(tmp_path / "music/song.wav"), tmp_path / "out/f.csv"
    (tmp_path / "music/below").mkdir()
    for link, target in (("a", "music"), ("b", "music"), ("c", "music/below"), ("link.wav", "music/song.wav")):
        (tmp_path / link).symlink_to(tmp_path / target)
    os.link(song, tmp_path / "hard.wav")
    monkeypatch.chdir(tmp_path)
    relative = ("link.wav", "music/song.wav", "music/../music/song.wav", "a/song.wav", "c/../song.wav", "hard.wav")
    ways = (*relative, song, "a", "b", "music")
    assert "1 track: 0 done, 1 to do" in featurize_here(*ways, "--out", out)
    for way in ways:
        assert "1 track: 1 done, 0 to do" in featurize_here(way, "--out", out)
    assert names(out) == [str(song)]


def test_link_keeps_its_name_where_the_file_has_none(featurize_here, tmp_path):
    """As git-annex stores files."""
    write_wav(tmp_path / "objects/3f2a")
    (tmp_path / "music").mkdir()
    (tmp_path / "music/Artist-Title.wav").symlink_to(tmp_path / "objects/3f2a")
    featurize_here(tmp_path / "music", "--out", tmp_path / "f.csv")
    assert names(tmp_path / "f.csv") == ["music/Artist-Title.wav"]


def test_same_names_on_two_disks_are_two_tracks(featurize_here, tmp_path, monkeypatch):
    out = tmp_path / "out" / "f.csv"
    for number, disk in enumerate(("disk1", "disk2")):
        write_wav(tmp_path / disk / "music/song.wav", seconds=4 + number, seed=number)
        monkeypatch.chdir(tmp_path / disk)
        assert "1 track: 0 done, 1 to do" in featurize_here("music", "--out", out)
    table = feature_table.read(out)
    assert table.names == [str(tmp_path / disk / "music/song.wav") for disk in ("disk1", "disk2")]
    assert table.rows["seconds"].tolist() == [4, 5]
    write_wav(tmp_path / "disk3/song.wav")
    monkeypatch.chdir(tmp_path / "disk3")
    assert neighbours.find("song.wav", table.names, table.recordings) is None


@pytest.mark.parametrize("ending", [".csv", ".npz", ".parquet"])
def test_recordings_are_found_from_anywhere(featurize_here, tmp_path, monkeypatch, capsys, ending):
    below, elsewhere, out = tmp_path / "lib/music/a.wav", tmp_path / "usb/b.wav", tmp_path / f"lib/f{ending}"
    write_wav(below), write_wav(elsewhere, seed=1)
    monkeypatch.chdir(tmp_path / "usb")
    featurize_here("../lib/music", "b.wav", "--out", f"../lib/f{ending}")
    assert names(out) == [str(elsewhere), "music/a.wav"]
    monkeypatch.chdir("/")
    clips, _ = style_map.read(Artifacts(tmp_path), out)
    assert clips["recording"].tolist() == [str(elsewhere), str(below)]
    monkeypatch.chdir(tmp_path / "lib")
    for way in ("music/a.wav", "../lib/music/a.wav", below, "A.wav"):
        call_script(SIMILAR, None, way, "--features", f"f{ending}")
        assert capsys.readouterr().out.startswith(f"nearest to music/a.wav of 2 in f{ending}")
    assert walk.find_end("../usb/b.wav", clips, np.zeros((2, 1)), ["x"]) == 0


def test_table_and_music_move_together(featurize_here, tmp_path):
    write_wav(tmp_path / "old/music/a.wav")
    featurize_here(tmp_path / "old", "--out", tmp_path / "old/f.csv")
    (tmp_path / "old").rename(tmp_path / "new")
    assert "1 done, 0 to do" in featurize_here(tmp_path / "new", "--out", tmp_path / "new/f.csv")
    assert feature_table.read(tmp_path / "new/f.csv").recordings == [str(tmp_path / "new/music/a.wav")]


@pytest.mark.parametrize("every", [(), ("--every", "29.1")])
def test_changed_file_is_analysed_again(featurize_here, tmp_path, every):
    song, other, out = write_wav(tmp_path / "m/a.wav", 62), write_wav(tmp_path / "m/b.wav"), tmp_path / "f.csv"
    featurize_here(tmp_path / "m", "--out", out, *every)
    write_wav(song, 5, seed=7)
    assert "2 tracks: 1 done, 1 to do" in featurize_here(tmp_path / "m", "--out", out, *every)
    table = feature_table.read(out)
    assert table.names == ["m/a.wav", "m/b.wav"] and table.rows["seconds"].tolist() == [5, 4]
    os.utime(other, (1, 1))  # of the same size
    assert "2 tracks: 1 done, 1 to do" in featurize_here(tmp_path / "m", "--out", out, *every)
    song.write_bytes(b"not music")
    assert "2 tracks: 1 done, 1 to do" in featurize_here(tmp_path / "m", "--out", out, *every)
    assert names(out) == ["m/b.wav"] and "m/a.wav" in (tmp_path / "f.failures.csv").read_text()
    song.unlink()
    write_wav(other, seconds=0.05)
    featurize_here(tmp_path / "m", "--out", out, *every, status=1)
    assert not out.exists() and os.listdir(tmp_path / "m") == ["b.wav"]


def test_rows_of_the_last_part_are_used(tmp_path):
    """A changed track of an interrupted run, finished by a run on other tracks."""

    def table(path, starts, size):
        return make_track_table([path] * len(starts), start=starts, bytes=size)

    tables = [table("a", [0, 29, 58], 1), table("b", [0], 1), table("a", [0], 2)]
    rows = table_run.finish(tmp_path / "f.csv", tables).rows
    assert sorted(rows[["recording", "bytes"]].itertuples(index=False, name=None)) == [("a", 2), ("b", 1)]


def test_any_time_of_change_is_kept(tmp_path):
    song = write_wav(tmp_path / "a.wav")
    for time_of_change in (0, -1e10, 1e11, 253402300800):
        os.utime(song, (time_of_change, time_of_change))
        assert tracks.find([song], tmp_path / "f.csv")[0][0].modified


# Other files in a folder, and damaged recordings


def test_skipped_files_are_named(featurize_here, refused_run, tmp_path):
    write_wav(tmp_path / "m/a.wav")
    for name in ("score.mid", "notes.txt"):
        (tmp_path / "m" / name).touch()
    (tmp_path / "m/loop.wav").symlink_to("loop.wav")
    os.mkfifo(tmp_path / "m/pipe.wav")  # opening it would wait for another process to write
    (tmp_path / "m/again").symlink_to(tmp_path / "m")
    assert featurize_here(tmp_path / "m", "--out", tmp_path / "f.csv").splitlines()[:3] == [
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


def test_recording_that_lost_its_end_is_used_and_noted(featurize_here, tmp_path):
    song, note = write_wav(tmp_path / "a.wav", 124, seed=1), "ends early: 62.0 of 124.0 s"
    write_wav(tmp_path / "b.wav")
    os.truncate(song, song.stat().st_size // 2)
    for name, options, notes in (
        ("f.csv", (), [note, ""]),
        ("f.npz", (), [note, ""]),
        ("f.parquet", (), [note, ""]),
        ("steps.csv", ("--every", "29.1"), [note, note, ""]),
    ):
        assert "1 used in part; why: the column note" in featurize_here(tmp_path, "--out", tmp_path / name, *options)
        assert feature_table.read(tmp_path / name).rows["note"].tolist() == notes


def test_no_path_is_a_formula(featurize_here, tmp_path):
    beginnings = ("=1+1", "+1", "-1", "@x", "\tx", '=HYPERLINK("x")')
    for number, beginning in enumerate(beginnings):
        write_wav(tmp_path / f"{beginning}.wav", seed=number)
        write_wav(tmp_path / f"{beginning}junk.wav", seconds=0.05)
    out = tmp_path / "f.csv"
    featurize_here(tmp_path, "--out", out)
    assert names(out) == sorted(f"./{beginning}.wav" for beginning in beginnings)
    assert feature_table.read(out).recordings == [str(tmp_path / name) for name in names(out)]
    assert "12 tracks: 6 done, 6 to do" in featurize_here(tmp_path, "--out", out)
    for path in (out, tmp_path / "f.failures.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            assert all(row[0].startswith("./") for row in list(csv.reader(file))[1:])


# Only one run makes a table


def test_second_run_is_refused_until_the_first_is_killed(featurize_here, refused_run, tiny_model, tmp_path):
    for number in range(3):
        write_wav(tmp_path / f"m/{number}.wav", 100, seed=number)
    music, out = tmp_path / "m", tmp_path / "f.csv"
    command = [sys.executable, REPOSITORY / FEATURIZE, music, "--model", tiny_model, "--jobs", "1", "--out", out]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (tmp_path / "f.csv.lock").exists():
        assert time.monotonic() < end and first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    try:
        message = refused_run(music, "--out", out)
        featurize_here(music / "0.wav", "--out", tmp_path / "other.csv")
    finally:
        first.kill()
        first.wait()
    assert f"{out} is being made by another run (process {first.pid} on " in message and "--out" in message
    assert "3 tracks: 0 done, 3 to do" in featurize_here(music, "--out", out)
    assert names(out) == ["m/0.wav", "m/1.wav", "m/2.wav"]
    assert sorted(os.listdir(tmp_path)) == ["f.csv", "m", "other.csv"]


def test_lock_file_that_its_owner_removes_is_not_enough(tmp_path, monkeypatch):
    """Opened before the owner removes it and locked after: another process may have made a new one."""
    lock, attempts = tmp_path / "f.lock", []
    really = file_lock._lock

    def slow(file):
        attempts.append(file.name)
        if len(attempts) == 1:
            lock.unlink()
            lock.touch()
        return really(file)

    monkeypatch.setattr(file_lock, "_lock", slow)
    with file_lock.locked(lock, Path("table"), "--out"):
        assert len(attempts) == 2
        with pytest.raises(PipelineError), file_lock.locked(lock, Path("table"), "--out"):
            pass


def test_files_of_killed_runs_are_removed(featurize_here, tmp_path):
    song, out = write_wav(tmp_path / "m/a.wav"), tmp_path / "f.csv"
    for name in (".unfinished-elsewhere-1-ab.csv", "f.csv.partial/.unfinished-elsewhere-1-ab.npz", "f.csv.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / "m/.unfinished-elsewhere-1-ab.csv").touch()  # not in a folder of the table
    featurize_here(song, "--out", out)
    assert sorted(os.listdir(tmp_path)) == ["f.csv", "m"] and len(os.listdir(tmp_path / "m")) == 2


# Errors name what is wrong


@pytest.mark.parametrize("blocked", ["f.csv", "f.csv.lock", "f.failures.csv", "f.csv.partial", ""])
def test_output_is_checked_before_anything_is_decoded(refused_run, tmp_path, monkeypatch, blocked):
    song, out = write_wav(tmp_path / "a.wav"), tmp_path / "out/f.csv"
    path = out.parent / blocked
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch() if blocked in ("", "f.csv.partial") else path.mkdir()
    monkeypatch.setattr(workers, "run", None)
    message = refused_run(song, "--out", out)
    assert message.startswith(f"{out} cannot be written: ") and f"({path}" in message and "--out" in message


@pytest.mark.parametrize("folder", ["out", "out/f.csv.partial"])
def test_folder_without_permission_is_named(refused_run, tmp_path, monkeypatch, folder):
    song, temporary = write_wav(tmp_path / "a.wav"), table_run.tempfile.TemporaryFile

    def refuse(dir):
        if dir == tmp_path / folder:
            raise PermissionError(13, "Permission denied", f"{dir}/tmp123")
        return temporary(dir=dir)

    monkeypatch.setattr(table_run.tempfile, "TemporaryFile", refuse)
    message = refused_run(song, "--out", tmp_path / "out/f.csv")
    assert f"cannot be written: Permission denied ({tmp_path / folder})" in message


def test_recording_given_as_model(tmp_path):
    song, table = write_wav(tmp_path / "a.wav"), tmp_path / "f.csv"
    feature_table.write(table, make_track_table(["b.wav"]))
    for script, option in ((FEATURIZE, "--out"), (SIMILAR, "--features")):
        message = refused(script, None, song, "--model", song, option, table)
        assert f"{song} is not a readable Keras .h5 file" in message and "delete" not in message.lower()


def test_overwrite_deletes_nothing_before_the_network_is_loaded(featurize_here, tmp_path, tiny_model):
    import h5py

    song, out, broken = write_wav(tmp_path / "a.wav"), tmp_path / "f.csv", tmp_path / "broken.h5"
    featurize_here(song, "--out", out)
    before = out.read_bytes()
    broken.write_bytes(tiny_model.read_bytes())
    with h5py.File(broken, "r+") as file:
        del file["model_weights"]
    assert "broken.h5" in refused(FEATURIZE, None, song, "--out", out, "--model", broken, "--overwrite")
    assert out.read_bytes() == before


# Searches


def test_names_of_a_mac_are_found(featurize_here, tmp_path, capsys):
    decomposed = unicodedata.normalize("NFD", "Café Müller-Löwe.wav")
    write_wav(tmp_path / "m" / decomposed)
    write_wav(tmp_path / "m/other.wav", seed=1)
    featurize_here(tmp_path / "m", "--out", tmp_path / "f.csv")
    call_script(SIMILAR, None, unicodedata.normalize("NFC", "CAFÉ MÜLLER"), "--features", tmp_path / "f.csv")
    assert capsys.readouterr().out.startswith(f"nearest to m/{decomposed} of 2")
    typed = unicodedata.normalize("NFC", "m/Café Möller-Löwe.wav")
    assert f"Did you mean m/{decomposed}?" in refused(SIMILAR, None, typed, "--features", tmp_path / "f.csv")


def test_names_are_searched_in_order():
    composed, decomposed = (unicodedata.normalize(form, "1_é") for form in ("NFC", "NFD"))
    assert search.by_text(decomposed, [composed, decomposed]) == [1]
    assert search.by_text(composed.upper(), [composed, decomposed]) == [0, 1]
    assert search.by_text("1", [composed, "x1", "1"]) == [2]
    assert search.by_text("1", [composed, "x1"]) == [0, 1]
    assert search.by_text("1", [composed, "x1"], has_ids=True) == [0]
