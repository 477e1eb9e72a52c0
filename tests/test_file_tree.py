"""Listing of files below a folder: links, nesting, what cannot be read; and step 1 on such folders."""

import os
import shutil
import subprocess

import pytest
import tiny_music
from tiny_pipeline import run_script

from music_featurization import artifacts, file_tree, workers
from music_featurization.artifacts import STEP_1
from music_featurization.dataset import spectrogram_folder
from music_featurization.file_tree import Skipped

AUDIO = (".mp3", ".wav")
NESTED = 1100  # folders; Python's limit for recursion is 1,000


def listed(folder, endings=AUDIO):
    skipped = Skipped()
    return list(file_tree.files(folder, endings, skipped)), skipped


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def nest(folder):
    """Make 1,100 folders, one in the other; returns the innermost. To be removed with `rm`: shutil recurses."""
    for _ in range(NESTED):
        folder = folder / "d"
        folder.mkdir()
    return folder


@pytest.fixture
def unreadable(monkeypatch):
    """A function that makes a folder unreadable, also for root."""
    names, scandir = set(), os.scandir

    def refuse(path):
        if not isinstance(path, int) and os.path.basename(path) in names:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return names.add


def test_order_and_other_files(tmp_path):
    touch(tmp_path, "b.mp3", "a/z.WAV", "a/c/x.mp3", "a.mp3", "notes.txt", "a/song.MID", "README", ".h/x.mp3", ".x")
    names, skipped = listed(tmp_path)
    assert names == ["a/c/x.mp3", "a/z.WAV", "a.mp3", "b.mp3"]
    assert skipped.lines() == ["3 files skipped: .mid, .txt, no ending"]


def test_folder_of_two_links_is_listed_once(tmp_path):
    touch(tmp_path, "music/a/x.mp3", "elsewhere/y.mp3", "music/.hidden/z.mp3")
    for name, target in (("0", "music/a"), ("e1", "elsewhere"), ("e2", "elsewhere"), ("h", "music/.hidden")):
        (tmp_path / "music" / name).symlink_to(tmp_path / target)
    names, skipped = listed(tmp_path / "music")
    assert names == ["a/x.mp3", "e1/y.mp3", "h/z.mp3"]
    assert skipped.lines() == ["2 links skipped (folders listed under another name): 0/, e2/"]


def test_many_links_between_folders_are_no_explosion(tmp_path):
    for number in range(12):  # 12! ways
        touch(tmp_path, f"f{number}/{number}.mp3")
        for other in range(12):
            (tmp_path / f"f{number}/to{other}").symlink_to(tmp_path / f"f{other}")
    (tmp_path / "top").mkdir()
    (tmp_path / "top/in").symlink_to(tmp_path / "f0")
    assert len(listed(tmp_path)[0]) == 12
    assert len(listed(tmp_path / "top")[0]) == 12


def test_unreadable_folder_at_the_top_is_an_error(tmp_path, unreadable):
    unreadable(tmp_path.name)
    with pytest.raises(PermissionError):
        listed(tmp_path)


def test_folders_are_made_and_swept_at_any_depth(tmp_path):
    with artifacts.replacing(tmp_path / ("d/" * NESTED) / "x.npy") as temporary:
        temporary.touch()
        old = temporary.with_name(".unfinished-elsewhere-1-ab.npy")
        old.touch()
        os.utime(old, (0, 0))
    artifacts.remove_unfinished(tmp_path)
    assert os.listdir(tmp_path / ("d/" * NESTED)) == ["x.npy"]
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)


# Step 1


def test_step_1_goes_on_past_what_it_cannot_list(collection, unreadable, capsys):
    clips = collection / "datasets/mp3_files"
    touch(clips, "lost+found/x.mp3", "cover.jpg", "score.mid")
    (clips / "loop.mp3").symlink_to("loop.mp3")
    (clips / "again").symlink_to(clips / "0")
    unreadable("lost+found")
    assert run_script(STEP_1, collection) == 0
    first, second, third, plan, *_ = capsys.readouterr().out.splitlines()
    assert first == "2 files skipped: .jpg, .mid"
    assert second == "1 folder not readable: lost+found/ (Permission denied)"
    assert third == "1 link skipped (folders listed under another name): again/"
    assert plan == "33 clips: 0 done, 33 to do"
    failed = spectrogram_folder.read_failures(collection / "datasets/spectrograms")
    assert failed == {"loop.mp3": "cannot be read: Too many levels of symbolic links"}


def test_step_1_reaches_deep_clips(tmp_path):
    clips = tmp_path / "datasets/mp3_files"
    clips.mkdir(parents=True)
    for depth in (1, 400):  # libsndfile refuses paths of more than 1,024 bytes
        shutil.copy(tiny_music.write_mp3(tmp_path / "x.mp3", tiny_music.music(1.2)), make(clips / ("d/" * depth)))
    nest(make(clips / "deep"))
    assert run_script(STEP_1, tmp_path) == 0
    assert run_script(STEP_1, tmp_path) == 0  # what is there is listed and swept
    written = list(spectrogram_folder.list_spectrograms(tmp_path / "datasets/spectrograms"))
    assert written == ["d/" * 400 + "x.npy", "d/x.npy"]
    subprocess.run(["rm", "-r", tmp_path / "datasets"], check=True)


def make(folder):
    artifacts.make_folder(folder)
    return folder


@pytest.mark.parametrize("other, done", [(20, 32), (32, 32)])
def test_counts_are_true_beside_a_second_run(collection, other, done, monkeypatch, capsys):
    """As if another run made some of the spectrograms after this one has counted."""
    clips, folder = collection / "datasets/mp3_files", collection / "datasets/spectrograms"
    alone = workers.run

    def beside_another(function, to_do, **options):
        for clip in list(spectrogram_folder.list_clips(clips))[:other]:
            assert spectrogram_folder.generate(clip, clips_folder=clips, folder=folder) is None
        return alone(function, to_do, **options)

    monkeypatch.setattr(workers, "run", beside_another)
    assert run_script(STEP_1, collection) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{done} done, 0 failed, 0 remain"
