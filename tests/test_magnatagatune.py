"""MagnaTagATune's standard split by folder, and how its clips differ from collections that imitate it."""

import shutil

import pandas
import pytest
import tiny_music
from tiny_pipeline import refused, run_all, run_script, table

from music_featurization.artifacts import REPOSITORY, STEP_2, STEP_3, STEP_4
from music_featurization.dataset import clip_names, magnatagatune, split
from music_featurization.demo import demo_dataset

SHARED = REPOSITORY.parent / "shared"
TAG_TABLE = SHARED / "magnatagatune/annotations_23tags.csv"
IMITATION = SHARED / "real_music/datasets/annotations_final.csv"
SONGS = [f"{n % 16:x}/artist-album-01-song {n % 16:x}-{n // 16}-{n // 16 + 29}.mp3" for n in range(32)]


def after_step_3(root, paths, capsys):
    """Annotate clips (alternately rock and jazz) and run steps 2 and 3; no recording is needed."""
    (root / "datasets").mkdir()
    rows = [(number, (("rock", "jazz")[number % 2],), path) for number, path in enumerate(paths)]
    tiny_music.write_annotations(root, rows)
    assert run_script(STEP_2, root) == run_script(STEP_3, root) == 0
    capsys.readouterr()
    return root


def paths_of_parts(root):
    return {part: table(root, f"train_test_val/{part}.csv")["spectrogram"] for part in split.PARTS}


# --split-by folder


def test_split_by_folder(tmp_path, capsys):
    root = after_step_3(tmp_path, SONGS, capsys)
    assert run_script(STEP_4, root, "--split-by", "folder") == 0
    assert "note: not the standard split: 32 of 32 clips from no MagnaTagATune album" in capsys.readouterr().out
    folders = {part: "".join(paths.str[0].unique()) for part, paths in paths_of_parts(root).items()}
    assert folders == {"train": "0123456789ab", "val": "c", "test": "def"}
    assert run_script(STEP_4, root, "--split-by", "folder") == 0
    assert "is up to date, nothing to do" in capsys.readouterr().out
    assert "split_by = folder" in refused(STEP_4, root, "--group-by", "song")


OTHERS = "MagnaTagATune's folders 0-9 and a-f. In other folders: 1 of 33 clips"


@pytest.mark.parametrize(
    "paths, words",
    [
        ([*SONGS, "jazz/artist-album-01-song-0-29.mp3"], (OTHERS, "jazz/artist-album-01-song-0-29.npy")),
        ([*SONGS, "g/artist-album-01-song-0-29.mp3"], (OTHERS, "g/artist-album-01-song-0-29.npy")),
        ([*SONGS, "10/song.mp3"], (OTHERS, "10/song.npy", "--group-by song")),
        ([*SONGS, "loose-0-29.mp3"], (OTHERS, "loose-0-29.npy")),
        ([path for path in SONGS if path[0] < "d"], ("No clip with a genre is in the folders of test (d-f)",)),
        ([path for path in SONGS if path[0] != "c"], ("No clip with a genre is in the folders of val (c)",)),
    ],
)
def test_split_by_folder_is_refused_for_other_folders(tmp_path, capsys, paths, words):
    root = after_step_3(tmp_path, paths, capsys)
    message = refused(STEP_4, root, "--split-by", "folder")
    assert all(word in message for word in words) and "\n" not in message
    assert not (root / "datasets/train_test_val").exists()


@pytest.mark.skipif(not TAG_TABLE.exists(), reason="the real tag table is not part of the project")
def test_split_by_folder_of_the_real_tag_table(tmp_path, capsys):
    (tmp_path / "datasets").mkdir()
    shutil.copy(TAG_TABLE, tmp_path / "datasets/annotations_final.csv")
    run_all(tmp_path, (STEP_2,), (STEP_3,), (STEP_4, "--split-by", "folder"))
    assert "note:" not in capsys.readouterr().out
    parts = paths_of_parts(tmp_path)
    assert {part: len(paths) for part, paths in parts.items()} == {"train": 5798, "val": 551, "test": 1601}
    songs = [{clip_names.parse(path).song for path in paths} for paths in parts.values()]
    assert not (songs[0] & songs[1] or songs[0] & songs[2] or songs[1] & songs[2])


# What musicnn's network has heard


@pytest.mark.parametrize(
    "path, heard",
    [
        ("c/joram-moments_of_clarity-08-solipsism-59-88.npy", True),
        ("0/joram-moments_of_clarity-08-solipsism-59-88.mp3", True),
        ("e/joram-moments_of_clarity-08-solipsism-59-88.npy", False),
        ("joram-moments_of_clarity-08-solipsism-59-88.npy", False),
        ("cc/joram-moments_of_clarity-08-solipsism-59-88.npy", False),
        ("c/joram-another_album-08-solipsism-59-88.npy", False),
        ("c/joram-moments_of_clarity.npy", False),
        ("c/artist-album-01-song-0-29.npy", False),
    ],
)
def test_a_clip_was_heard_if_folder_and_album_are_the_archives(path, heard):
    assert magnatagatune.was_heard(path) is heard


def test_no_clip_of_the_demo_was_heard():
    paths = [path for piece in demo_dataset.plan(2000, 10) for _, path in piece.clips()]
    assert {path[0] for path in paths} >= set("0123456789abcdef") and not any(map(magnatagatune.is_clip, paths))


@pytest.mark.skipif(not SHARED.exists(), reason="real tag tables are not part of the project")
def test_clips_of_the_archive_differ_from_an_imitation():
    real, imitation = (
        pandas.read_csv(path, sep="\t", usecols=["mp3_path"])["mp3_path"] for path in (TAG_TABLE, IMITATION)
    )
    assert all(map(magnatagatune.is_clip, real)) and not any(map(magnatagatune.is_clip, imitation))
    assert [magnatagatune.was_heard(path) for path in real] == [path[0] < "d" for path in real]
