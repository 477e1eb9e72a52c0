"""Steps 1 to 4 through their command lines: what they write, that they resume, what they say of bad input."""

import json
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import pandas
import pytest
import soundfile
import tiny_music
from tiny_pipeline import contents, error_line, run_script

from music_featurization.artifacts import REPOSITORY, STEP_1, STEP_2, STEP_3, STEP_4
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder


def run_all(root, *steps):
    for step, *args in steps or ((STEP_2,), (STEP_3,), (STEP_4,)):
        assert run_script(step, root, *args) == 0


def table(root, name):
    return pandas.read_csv(root / "datasets" / name, dtype=str, keep_default_na=False)


def failures(root):
    return dict(table(root, "spectrograms/failures.csv").values)


def fails(capsys, *words, step, root, args=()):
    """The step ends with status 1 and one line on stderr that has these words."""
    capsys.readouterr()
    assert run_script(step, root, *args) == 1
    message = error_line(capsys.readouterr().err)
    for word in words:
        assert word in message
    return message


def two_genres(root):
    """Annotate every clip with one of two genres: enough of each to keep songs together."""
    rows = [(100 + number, ("rock" if number % 4 else "jazz",), tiny_music.clip_path(number)) for number in range(32)]
    tiny_music.write_annotations(root, rows)


# What they write


def test_step_1_writes_what_design_says(collection_with_spectrograms):
    folder = collection_with_spectrograms / "datasets/spectrograms"
    assert json.loads((folder / "settings.json").read_text()) == spectrogram.SETTINGS
    assert (folder / "failures.csv").read_bytes() == b"mp3_path,error\n"
    assert len(list(folder.rglob("*.npy"))) == 32
    log_mel = np.load(folder / tiny_music.clip_path(3).replace(".mp3", ".npy"))
    seconds = soundfile.info(collection_with_spectrograms / "datasets/mp3_files" / tiny_music.clip_path(3)).duration
    assert log_mel.dtype == np.float16 and log_mel.shape == (96, 1 + round(16000 * seconds) // 256)
    assert log_mel.min() >= 0 and 3 < log_mel.max() < 12
    assert not list(folder.rglob(".*"))


def test_steps_2_to_4_write_what_design_says(collection_with_spectrograms):
    root = collection_with_spectrograms
    run_all(root)
    tagged = table(root, "tagged_spectrograms.csv")
    assert list(tagged) == ["clip_id", "spectrogram", "kind", "tag"]
    assert list(tagged[tagged["clip_id"] == "100"].values[:, 2:].ravel()) == [
        "genre",
        "classical",
        "instrument",
        "piano",
    ]
    assert "hard_rock" in set(tagged["tag"]) and "no_piano" not in set(tagged["tag"])
    genre = table(root, "six_genres.csv").set_index("clip_id")
    assert list(genre) == ["spectrogram", "genre", "label"]
    assert tuple(genre.loc["101", ["genre", "label"]]) == ("baroque", "1")  # not classical: the rarer wins
    assert tuple(genre.loc["102", ["genre", "label"]]) == ("opera", "2")
    assert genre.loc["103", "spectrogram"] == tiny_music.clip_path(3).replace(".mp3", ".npy")
    assert "106" not in genre.index and "108" not in genre.index  # hard rock only; none of the six
    parts = [table(root, f"train_test_val/{part}.csv") for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == [18, 3, 6]
    assert sorted(pandas.concat(parts)["clip_id"]) == sorted(genre.index)
    assert all(list(part["clip_id"]) == sorted(part["clip_id"]) for part in parts)


def test_split_is_the_originals(collection_with_spectrograms):
    from sklearn.model_selection import train_test_split

    run_all(collection_with_spectrograms)
    clips = table(collection_with_spectrograms, "six_genres.csv")["clip_id"]
    rest, test = train_test_split(clips, test_size=0.2, random_state=10)
    val = train_test_split(rest, test_size=0.1, random_state=10)[1]
    for part, expected in (("val", val), ("test", test)):
        assert list(table(collection_with_spectrograms, f"train_test_val/{part}.csv")["clip_id"]) == sorted(expected)


def test_same_input_same_bytes(collection, collection_with_spectrograms):
    """Another run, one worker instead of several, another folder: the same files."""
    for root in (collection, collection_with_spectrograms):
        two_genres(root)
    run_all(collection, (STEP_1, "--jobs", 1), (STEP_2,), (STEP_3,), (STEP_4, "--group-by", "song"))
    run_all(collection_with_spectrograms, (STEP_2,), (STEP_3,), (STEP_4, "--group-by", "song"))
    made, again = (contents(root / "datasets") for root in (collection, collection_with_spectrograms))
    assert made == again and "train_test_val/test.csv" in made


def test_group_by_keeps_songs_together(collection_with_spectrograms, capsys):
    two_genres(collection_with_spectrograms)
    run_all(collection_with_spectrograms, (STEP_2,), (STEP_3,), (STEP_4, "--group-by", "song"))
    songs = [
        {
            path.rsplit("-", 2)[0]
            for path in table(collection_with_spectrograms, f"train_test_val/{part}.csv")["spectrogram"]
        }
        for part in ("train", "val", "test")
    ]
    assert all(songs) and not (songs[0] & songs[1] or songs[0] & songs[2] or songs[1] & songs[2])
    assert "furthest from its share: " in capsys.readouterr().out


# Done once


def test_run_again_does_nothing_and_says_so(collection_with_spectrograms, capsys):
    run_all(collection_with_spectrograms)
    before = contents(collection_with_spectrograms)
    capsys.readouterr()
    run_all(collection_with_spectrograms, (STEP_1,), (STEP_2,), (STEP_3,), (STEP_4,))
    said = capsys.readouterr().out
    assert "32 clips: 32 done, 0 to do" in said and said.count("is up to date, nothing to do") == 3
    assert contents(collection_with_spectrograms) == before


def test_only_what_is_missing_is_made(collection_with_spectrograms, capsys):
    folder = collection_with_spectrograms / "datasets/spectrograms"
    before = contents(folder)
    spectrograms = sorted(folder.rglob("*.npy"))
    stamp = spectrograms[0].stat().st_mtime_ns
    for path in spectrograms[5:]:
        path.unlink()
    assert run_script(STEP_1, collection_with_spectrograms) == 0
    assert "32 clips: 5 done, 27 to do" in capsys.readouterr().out
    assert contents(folder) == before and spectrograms[0].stat().st_mtime_ns == stamp


def test_changed_input_is_noticed(collection_with_spectrograms, capsys):
    run_all(collection_with_spectrograms)
    rows = [
        (100 + number, ("jazz",) if number % 2 else ("rock",), tiny_music.clip_path(number)) for number in range(32)
    ]
    tiny_music.write_annotations(collection_with_spectrograms, rows)
    run_all(collection_with_spectrograms)
    assert set(table(collection_with_spectrograms, "train_test_val/train.csv")["genre"]) == {"jazz", "rock"}


def test_overwrite_makes_all_again(collection_with_spectrograms):
    path = collection_with_spectrograms / "datasets/spectrograms" / tiny_music.clip_path(0).replace(".mp3", ".npy")
    whole = path.read_bytes()
    path.write_bytes(b"damaged")
    assert run_script(STEP_1, collection_with_spectrograms) == 0 and path.read_bytes() == b"damaged"
    assert run_script(STEP_1, collection_with_spectrograms, "--overwrite") == 0 and path.read_bytes() == whole


def test_input_is_never_changed(collection, collection_with_spectrograms):
    run_all(collection_with_spectrograms)
    for name in ("mp3_files", "annotations_final.csv"):
        ours, original = (root / "datasets" / name for root in (collection_with_spectrograms, collection))
        assert contents(ours) == contents(original) if ours.is_dir() else ours.read_bytes() == original.read_bytes()


# Bad input: the order of steps


@pytest.mark.parametrize(
    "step, words",
    [
        (STEP_1, ("mp3_files does not exist", "MagnaTagATune", "make demo")),
        (STEP_2, ("annotations_final.csv does not exist", "make demo", "--genres-from-folders")),
        (STEP_3, ("tagged_spectrograms.csv does not exist", "2_assign_genre.py")),
        (STEP_4, ("six_genres.csv does not exist", "3_remove_double_with_priority.py")),
    ],
)
def test_missing_input(tmp_path, capsys, step, words):
    fails(capsys, *words, step=step, root=tmp_path)
    assert not list(tmp_path.rglob("*.*"))


def test_step_before_its_predecessor(collection, capsys):
    fails(capsys, "Run datasets_utils/1_generate_spectrograms.py first", step=STEP_2, root=collection)
    (collection / "datasets/annotations_final.csv").unlink()
    run_script(STEP_1, collection)
    fails(capsys, "annotations_final.csv does not exist", "--genres-from-folders", step=STEP_2, root=collection)


def test_no_recording_at_all(tmp_path, capsys):
    (tmp_path / "datasets/mp3_files/a").mkdir(parents=True)
    (tmp_path / "datasets/mp3_files/a/notes.txt").write_text("no music")
    fails(capsys, "contains no recording (.mp3, .wav", step=STEP_1, root=tmp_path)


def test_other_settings_are_refused_by_name(collection_with_spectrograms, capsys):
    root, settings = collection_with_spectrograms, collection_with_spectrograms / "datasets/spectrograms/settings.json"
    settings.write_text(json.dumps(spectrogram.SETTINGS | {"n_mels": 128}))
    fails(capsys, "n_mels = 128", "n_mels = 96", "--overwrite", step=STEP_1, root=root)
    settings.unlink()
    fails(capsys, "no settings.json", "--overwrite", step=STEP_1, root=root)
    assert run_script(STEP_1, root, "--overwrite") == 0
    run_all(root)
    fails(capsys, "group_by = None", "group_by = song", step=STEP_4, root=root, args=["--group-by", "song"])
    fails(capsys, "merge_synonyms = False", step=STEP_2, root=root, args=["--merge-synonyms"])
    fails(capsys, "genres = ['classical'", "['jazz', 'rock']", step=STEP_3, root=root, args=["--genres", "jazz,rock"])


# Bad input: recordings


def test_bad_recordings_are_recorded_and_stop_nothing(collection, capsys):
    folder = collection / "datasets/mp3_files"
    whole = (folder / tiny_music.clip_path(0)).read_bytes()
    bad = {
        "1/empty.mp3": (b"", "empty file"),
        "1/junk.mp3": (b"no music" * 999, "not readable as audio"),
        "1/cut.mp3": (whole[:-70], "truncated: 70 of the last frame's 144 bytes are missing"),
        "1/artist-album-01-song-0-29.mp3": (whole, "truncated: the name says 29 seconds, 1.3 are there"),
    }
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    soundfile.write(folder / "1/short.wav", tiny_music.music(0.03), 16000)
    tiny_music.write_mp3(folder / "1/silent.mp3", np.zeros(16000, np.float32))
    assert run_script(STEP_1, collection) == 0
    said = capsys.readouterr().out
    assert "33 done, 5 failed, 0 remain" in said and "failures.csv" in said
    found = failures(collection)
    assert list(found) == sorted([*bad, "1/short.wav"])
    for name, (_, reason) in bad.items():
        assert reason in found[name]
    assert found["1/short.wav"].startswith("shorter than one window")
    assert (np.load(collection / "datasets/spectrograms/1/silent.npy") == 0).all()
    assert run_script(STEP_1, collection) == 0
    assert "33 done, 0 to do, 5 failed before (--retry-failed tries them again)" in capsys.readouterr().out


def test_retry_failed(collection, capsys):
    clip = collection / "datasets/mp3_files" / tiny_music.clip_path(0)
    whole = clip.read_bytes()
    clip.write_bytes(whole[:1000])
    run_script(STEP_1, collection)
    clip.write_bytes(whole)
    assert run_script(STEP_1, collection) == 0 and list(failures(collection)) == [tiny_music.clip_path(0)]
    assert run_script(STEP_1, collection, "--retry-failed") == 0
    assert failures(collection) == {} and "32 done, 0 failed, 0 remain" in capsys.readouterr().out


def test_nothing_useful_is_no_success(tmp_path):
    (tmp_path / "datasets/mp3_files").mkdir(parents=True)
    (tmp_path / "datasets/mp3_files/junk.mp3").write_bytes(b"junk" * 99)
    assert run_script(STEP_1, tmp_path) == 1
    assert list(failures(tmp_path)) == ["junk.mp3"]


def test_namesakes_are_not_mixed_up(collection, capsys):
    """`x.flac` and `x.mp3` would overwrite each other; whether one is done already must not matter."""
    folder, clip = collection / "datasets/mp3_files", tiny_music.clip_path(0)
    shutil.copy(folder / clip, (folder / clip).with_suffix(".flac"))
    assert run_script(STEP_1, collection) == 0
    assert run_script(STEP_1, collection) == 0
    flac = clip.replace(".mp3", ".flac")
    assert failures(collection) == {clip: f"{flac} would give the same spectrogram: rename one of them"}
    assert "32 done, 0 to do, 1 failed before" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "opus", "WAV"])
def test_other_formats_and_any_folder_depth(tmp_path, ending):
    path = tmp_path / f"datasets/mp3_files/a/b/c/d/clip.{ending}"
    path.parent.mkdir(parents=True)
    options = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    soundfile.write(path, tiny_music.music(1, 48000), 48000, **options)
    soundfile.write(path.with_name("loose.flac"), tiny_music.music(1, 48000), 48000)
    shutil.move(path.with_name("loose.flac"), tmp_path / "datasets/mp3_files/loose.flac")
    assert run_script(STEP_1, tmp_path) == 0
    made = sorted(spectrogram_folder.list_spectrograms(tmp_path / "datasets/spectrograms"))
    assert made == ["a/b/c/d/clip.npy", "loose.npy"]


# Bad input: annotations


def rewrite(root, change):
    path = root / "datasets/annotations_final.csv"
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\t", b","),
        lambda text: text.replace(b"\t", b";"),
        lambda text: text.replace(b'"', b""),
        lambda text: text.rstrip(b"\n"),
        lambda text: text + text.splitlines(keepends=True)[-1],
    ],
    ids=["BOM", "CRLF", "commas", "semicolons", "unquoted", "no last line end", "a row twice"],
)
def test_quirks_of_annotations_do_not_matter(collection_with_spectrograms, change):
    root, made = collection_with_spectrograms, collection_with_spectrograms / "datasets/tagged_spectrograms.csv"
    run_all(root, (STEP_2,))
    plain = made.read_bytes()
    rewrite(root, change)
    run_all(root, (STEP_2, "--overwrite"))
    assert made.read_bytes() == plain and len(plain) > 1000


def with_row_numbers(text):
    """As pandas saves a table with its index."""
    first, *rows = text.splitlines()
    return b"\n".join([b"\t" + first, *(b"%d\t%s" % (number, row) for number, row in enumerate(rows))])


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda text: text.replace(b"mp3_path", b"path"), ("no column mp3_path", "it has clip_id")),
        (lambda text: text.replace(b"clip_id", b"id"), ("no column clip_id",)),
        (lambda text: b"", ("not a readable table",)),
        (lambda text: text.replace(b'"101"', b'"100"'), ("different rows for one clip_id: 100",)),
        (lambda text: text.replace(b'"101"', b'"1o1"'), ("line 3", "clip_id is '1o1'")),
        (lambda text: text.replace(b'"101"\t"1"', b'"101"\t"yes"'), ("line 3", "'yes', not 0 or 1")),
        (lambda text: text[: len(text) // 2], ("annotations_final.csv",)),
        (lambda text: text.replace(b"artist_1", b"artist_\xff"), ("UTF-8",)),
        (lambda text: bytes(5000), ("annotations_final.csv",)),
        (lambda text: text.replace(b'"101"\t"1"', b'"101"\t"2"'), ("line 3", "tag 'classical' is '2', not 0 or 1")),
        (with_row_numbers, ("column 1 has no name", "index=False")),
    ],
)
def test_bad_annotations_are_refused(collection_with_spectrograms, capsys, change, words):
    rewrite(collection_with_spectrograms, change)
    fails(capsys, "annotations_final.csv", *words, step=STEP_2, root=collection_with_spectrograms)
    assert not (collection_with_spectrograms / "datasets/tagged_spectrograms.csv").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda path: path.replace("/", "\\"), ("relative to datasets/mp3_files, with / between",)),
        (lambda path: f"./{path}", ("relative to datasets/mp3_files", "'./0/artist_0")),
        (lambda path: f"/data/mp3_files/{path}", ("relative to datasets/mp3_files", "'/data/mp3_files/0/artist_0")),
        (lambda path: path.replace("title", "piece"), ("names that the files have",)),
        (lambda path: path.split("/")[1], ("Move what is in datasets/mp3_files/0 to datasets/mp3_files",)),
    ],
    ids=["backslashes", "dot", "absolute", "other names", "without folder"],
)
def test_annotated_paths_that_match_no_file_are_compared(collection_with_spectrograms, capsys, change, words):
    rows = [(100 + number, ("jazz",), change(tiny_music.clip_path(number))) for number in range(32)]
    tiny_music.write_annotations(collection_with_spectrograms, rows)
    there = "'0/artist_0-album-00-title 0-0-1.npy'"
    said = fails(capsys, "None of the 32 clips", *words, there, step=STEP_2, root=collection_with_spectrograms)
    assert not said.endswith("overwrite.") or "1_generate_spectrograms.py" in said


def test_data_set_unzipped_one_folder_too_deep(collection, capsys):
    folder = collection / "datasets/mp3_files"
    folder.rename(collection / "mtt")
    folder.mkdir()
    (collection / "mtt").rename(folder / "mtt")
    assert run_script(STEP_1, collection) == 0
    fails(capsys, "Move what is in datasets/mp3_files/mtt to datasets/mp3_files", step=STEP_2, root=collection)


def test_clips_without_any_tag_that_counts(collection_with_spectrograms, capsys):
    rows = [(100 + number, ("no piano",), tiny_music.clip_path(number)) for number in range(32)]
    tiny_music.write_annotations(collection_with_spectrograms, rows)
    fails(capsys, "has a genre or instrument tag", "Check its columns", step=STEP_2, root=collection_with_spectrograms)


@pytest.mark.parametrize("on_disk, written", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_match_in_any_normal_form_of_unicode(tmp_path, on_disk, written):
    """A folder that a Mac made, annotations typed on a keyboard; and the reverse."""
    names = [f"chanson française/é-{number}.mp3" for number in range(10)]
    for number, name in enumerate(names):
        path = tmp_path / "datasets/mp3_files" / unicodedata.normalize(on_disk, name)
        tiny_music.write_mp3(path, tiny_music.music(0.5, seed=number))
    rows = [(100 + number, ("jazz",), unicodedata.normalize(written, name)) for number, name in enumerate(names)]
    tiny_music.write_annotations(tmp_path, rows)
    run_all(tmp_path, (STEP_1,), (STEP_2,), (STEP_3,), (STEP_4,))
    on_disk_names = {unicodedata.normalize(on_disk, name).replace(".mp3", ".npy") for name in names}
    assert set(table(tmp_path, "six_genres.csv")["spectrogram"]) == on_disk_names
    assert run_script(STEP_1, tmp_path, "--check") == 0


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_genres_match_in_any_normal_form_of_unicode(tmp_path, typed):
    for number in range(16):
        folder = unicodedata.normalize("NFD" if number % 2 else "NFC", "flûte" if number < 8 else "forró")
        tiny_music.write_mp3(tmp_path / f"datasets/mp3_files/{folder}/{number}.mp3", tiny_music.music(0.5, seed=number))
    genres = unicodedata.normalize(typed, "flûte,forró")
    run_all(tmp_path, (STEP_1,), (STEP_2, "--genres-from-folders"), (STEP_3, "--genres", genres))
    assert table(tmp_path, "six_genres.csv")["genre"].value_counts().to_dict() == {"flûte": 8, "forró": 8}


def test_first_run_has_not_failed_before(collection, capsys):
    first = collection / "datasets/mp3_files" / tiny_music.clip_path(0)
    shutil.copy(first, first.with_suffix(".MP3"))
    assert run_script(STEP_1, collection) == 0
    said = capsys.readouterr().out
    assert "33 clips: 0 done, 32 to do, 1 with names that cannot be used" in said and "before" not in said


def test_clips_missing_on_either_side_are_named(collection_with_spectrograms, capsys):
    root = collection_with_spectrograms
    gone = tiny_music.clip_path(0)
    (root / "datasets/spectrograms" / gone.replace(".mp3", ".npy")).unlink()
    rewrite(root, lambda text: b"\n".join(line for line in text.split(b"\n") if not line.startswith(b'"105"')))
    run_all(root, (STEP_2,))
    said = capsys.readouterr().out
    assert f"1 clips annotated, but without a spectrogram, skipped: {gone}" in said
    assert (
        f"1 clips with a spectrogram, but not annotated, skipped: {tiny_music.clip_path(5).replace('.mp3', '.npy')}"
        in said
    )
    assert not {"100", "105"} & set(table(root, "tagged_spectrograms.csv")["clip_id"])


def test_path_that_leads_out_of_the_root(collection_with_spectrograms):
    rewrite(collection_with_spectrograms, lambda text: text.replace(tiny_music.clip_path(0).encode(), b"../../x.mp3"))
    before = set(contents(collection_with_spectrograms.parent))
    run_all(collection_with_spectrograms)
    new = set(contents(collection_with_spectrograms.parent)) - before
    assert new and all(path.startswith("root/datasets/") for path in new)
    assert (
        not table(collection_with_spectrograms, "tagged_spectrograms.csv")["spectrogram"]
        .str.contains("..", regex=False)
        .any()
    )


def test_genre_absent_from_train(collection_with_spectrograms, capsys):
    rows = [(number, ("jazz",) if number else ("opera",), tiny_music.clip_path(number)) for number in range(32)]
    tiny_music.write_annotations(collection_with_spectrograms, rows)
    run_all(collection_with_spectrograms)
    said = capsys.readouterr().out
    assert "no clip at all: classical, baroque, medieval, rock" in said
    assert "is in train: a network cannot learn it" in said


def test_too_few_clips(collection_with_spectrograms, capsys):
    tiny_music.write_annotations(collection_with_spectrograms, [(1, ("jazz",), tiny_music.clip_path(1))])
    run_all(collection_with_spectrograms, (STEP_2,), (STEP_3,))
    fails(capsys, "1 clips are too few to split: at least 10", step=STEP_4, root=collection_with_spectrograms)


def test_too_few_clips_to_keep_together(collection_with_spectrograms, capsys):
    root = collection_with_spectrograms
    run_all(root, (STEP_2,), (STEP_3,))
    args = ["--group-by", "song"]
    fails(capsys, "No genre has 10 of the 21 clips", "without --group-by", step=STEP_4, root=root, args=args)
    two_genres(root)
    run_all(root, (STEP_2,), (STEP_3,))
    fails(capsys, "4 songs or artists are too few", "by song", step=STEP_4, root=root, args=["--group-by", "artist"])


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"a,b\n1,2\n", b'"unfinished', b"clip_id,spectrogram,genre,label\n1,a,jazz,x\n"]
)
def test_damaged_tables_name_their_script(collection_with_spectrograms, capsys, content):
    root = collection_with_spectrograms
    run_all(root)
    (root / "datasets/six_genres.csv").write_bytes(content)
    fails(capsys, "six_genres.csv", "3_remove_double_with_priority.py", step=STEP_4, root=root)
    (root / "datasets/tagged_spectrograms.csv").write_bytes(content)
    fails(capsys, "tagged_spectrograms.csv", "2_assign_genre.py", step=STEP_3, root=root)


# --check


def test_check_names_every_wrong_spectrogram(collection_with_spectrograms, capsys):
    root, folder = collection_with_spectrograms, collection_with_spectrograms / "datasets/spectrograms"
    assert run_script(STEP_1, root, "--check") == 0
    assert "32 spectrograms checked, 0 wrong" in capsys.readouterr().out
    paths = sorted(folder.rglob("*.npy"))
    good = np.load(paths[0])
    damaged = {
        "not a readable .npy": lambda path: path.write_bytes(path.read_bytes()[:-1]),
        "more bytes": lambda path: path.write_bytes(path.read_bytes() + b"x"),
        "not a readable": lambda path: path.write_bytes(b""),
        "dtype float32": lambda path: np.save(path, good.astype(np.float32)),
        "dtype object": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
        "shape (52, 96)": lambda path: np.save(path, good[:, :52].T.copy()),
        "not finite": lambda path: np.save(path, np.where(good == good.max(), np.nan, good)),
        "from -1 to": lambda path: np.save(path, np.concatenate([good, -np.ones((96, 1), "f2")], axis=1)),
        "to 80 instead of 0 to 12": lambda path: np.save(path, np.concatenate([good, good + 80], axis=1).clip(0, 80)),
    }
    for path, damage in zip(paths, damaged.values(), strict=False):
        damage(path)
    assert run_script(STEP_1, root, "--check") == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("32 spectrograms checked, 9 wrong: delete them and run step 1 again")
    for line, path, problem in zip(said, paths, damaged, strict=False):
        assert line.startswith(str(path.relative_to(folder))) and (problem in line or "object" in problem), line


def test_spectrogram_whose_recording_is_gone(collection_with_spectrograms, capsys):
    """--check names it; step 2 still uses it, because its content is right. Without any recording nothing is gone."""
    root, clip = collection_with_spectrograms, tiny_music.clip_path(3)
    (root / "datasets/mp3_files" / clip).unlink()
    assert run_script(STEP_1, root, "--check") == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{clip.replace('.mp3', '.npy')}: its recording is missing",
        "32 spectrograms checked, 1 wrong: delete them and run step 1 again",
    ]
    run_all(root)
    assert clip.replace(".mp3", ".npy") in set(table(root, "tagged_spectrograms.csv")["spectrogram"])
    shutil.rmtree(root / "datasets/mp3_files")
    assert run_script(STEP_1, root, "--check") == 0


def test_check_of_whole_tables(collection_with_spectrograms, capsys):
    root = collection_with_spectrograms
    run_all(root)
    capsys.readouterr()
    assert run_script(STEP_1, root, "--check") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 tables checked, 0 wrong"


def _change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    "damage, name, says",
    [
        (lambda data: _change(data / "tagged_spectrograms.csv", "kind", "sort"), "tagged_spectrograms.csv", "lacks"),
        (
            lambda data: (data / "tagged_spectrograms.csv").write_text(
                (data / "tagged_spectrograms.csv").read_text() + (data / "tagged_spectrograms.csv").read_text()[28:]
            ),
            "tagged_spectrograms.csv",
            "is there twice. Run datasets_utils/2",
        ),
        (lambda data: _change(data / "tagged_spectrograms.csv", "jazz", "rock"), "six_genres.csv", "changed since"),
        (lambda data: _change(data / "six_genres.csv", ",rock,5", ",rock,4"), "six_genres.csv", "label 4 and genre"),
        (lambda data: (data / "six_genres.json").write_text("{"), "six_genres.csv", "not readable JSON"),
        (lambda data: _change(data / "six_genres.csv", ",rock,5", ",jazz,4"), "train.csv", "another six_genres.csv"),
        (lambda data: shutil.copy(data / "train_test_val/train.csv", data / "train_test_val/test.csv"), "train.csv",
         "is there twice"),
        (lambda data: (data / "train_test_val/val.csv").unlink(), "train.csv", "val.csv does not exist"),
        (lambda data: _change(data / "train_test_val/test.csv", ",rock,5", ",jazz,4"), "train.csv", "not the same"),
        (lambda data: next(data.glob("spectrograms/*/*.npy")).unlink(), "tagged_spectrograms.csv", "no spectrogram"),
    ],
)  # fmt: skip
def test_check_names_every_wrong_table(collection_with_spectrograms, capsys, damage, name, says):
    root = collection_with_spectrograms
    run_all(root)
    damage(root / "datasets")
    capsys.readouterr()
    assert run_script(STEP_1, root, "--check") == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if f"{name}: " in line]
    assert lines and says in lines[0], lines


def test_check_without_spectrograms(tmp_path, capsys):
    assert run_script(STEP_1, tmp_path, "--check") == 1
    said = capsys.readouterr()
    assert "1_generate_spectrograms.py" in said.err and not list(tmp_path.iterdir())


# As a user types


@pytest.mark.parametrize("step", [STEP_1, STEP_2, STEP_3, STEP_4])
def test_help_and_typo(step):
    command = [sys.executable, str(REPOSITORY / step)]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
    assert helped.returncode == 0 and "python3 " in helped.stdout and "--root DIR" in helped.stdout
    assert "(default:" in helped.stdout and "None" not in helped.stdout
    typo = subprocess.run([*command, "--rooot", "x"], capture_output=True, text=True, timeout=60)
    assert typo.returncode == 2 and "unrecognized arguments: --rooot x" in typo.stderr


@pytest.mark.parametrize(
    "step, args",
    [
        *((STEP_1, ["--jobs", number]) for number in ("0", "two", "", "-1", "1.5")),
        (STEP_1, ["--shard", "4/3"]),
        (STEP_1, ["--time-limit", "0"]),
        (STEP_3, ["--genres", "jazz"]),
        (STEP_3, ["--genres", "jazz,jazz"]),
        (STEP_4, ["--group-by", "album"]),
    ],
)
def test_arguments_that_make_no_sense(tmp_path, capsys, step, args):
    assert run_script(step, tmp_path, *args) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert args[0] in said and args[1] in said, said
