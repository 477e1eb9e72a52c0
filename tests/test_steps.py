"""Steps 1 to 4 through their command lines: what they write, that they resume, and their messages about bad input."""

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
from tiny_music import clip_path
from tiny_pipeline import DATA_STEPS, contents, refused, run_all, run_script, table

from music_featurization import artifacts
from music_featurization.artifacts import REPOSITORY, STEP_1, STEP_2, STEP_3, STEP_4
from music_featurization.audio import spectrogram
from music_featurization.dataset import spectrogram_folder

STEPS_2_TO_4 = DATA_STEPS[1:]
PARTS = ("train", "val", "test")


def failures(root):
    return spectrogram_folder.read_failures(root / "datasets/spectrograms")


def assert_refused(step, root, *words, args=()):
    message = refused(step, root, *args)
    for word in words:
        assert word in message


def annotate(root, genre_of, numbers=range(32)):
    """Annotate clips by number: `genre_of(number)` is the tag that is set."""
    tiny_music.write_annotations(root, [(100 + number, (genre_of(number),), clip_path(number)) for number in numbers])


def two_genres(root):
    """Annotate every clip with one of two genres: enough of each to keep songs together."""
    annotate(root, lambda number: "rock" if number % 4 else "jazz")


@pytest.fixture
def root(collection_with_spectrograms):
    return collection_with_spectrograms


@pytest.fixture
def split_root(root):
    """A root after step 4."""
    run_all(root, *STEPS_2_TO_4)
    return root


# Artifacts


def test_step_1_writes_what_design_says(root):
    folder = root / "datasets/spectrograms"
    assert json.loads((folder / "settings.json").read_text()) == spectrogram.SETTINGS
    assert (folder / "failures.csv").read_bytes() == b"mp3_path,error\n"
    assert len(list(folder.rglob("*.npy"))) == 32 and not list(folder.rglob(".*"))
    log_mel = np.load(folder / clip_path(3).replace(".mp3", ".npy"))
    seconds = soundfile.info(root / "datasets/mp3_files" / clip_path(3)).duration
    assert log_mel.dtype == np.float16 and log_mel.shape == (96, 1 + round(16000 * seconds) // 256)
    assert log_mel.min() >= 0 and 3 < log_mel.max() < 12


def test_steps_2_to_4_write_what_design_says(collection, split_root):
    tagged = table(split_root, "tagged_spectrograms.csv")
    assert list(tagged) == ["clip_id", "spectrogram", "kind", "tag"]
    first = tagged[tagged["clip_id"] == "100"]
    assert list(zip(first["kind"], first["tag"], strict=True)) == [
        ("genre", "classical"),
        ("instrument", "piano"),
    ]
    assert "hard_rock" in set(tagged["tag"]) and "no_piano" not in set(tagged["tag"])
    genre = table(split_root, "six_genres.csv").set_index("clip_id")
    assert list(genre) == ["spectrogram", "genre", "label"]
    assert tuple(genre.loc["101", ["genre", "label"]]) == ("baroque", "1")  # not classical: the rarer wins
    assert tuple(genre.loc["102", ["genre", "label"]]) == ("opera", "2")
    assert genre.loc["103", "spectrogram"] == clip_path(3).replace(".mp3", ".npy")
    assert "106" not in genre.index and "108" not in genre.index  # hard rock only; none of the six
    parts = [table(split_root, f"train_test_val/{part}.csv") for part in PARTS]
    assert [len(part) for part in parts] == [15, 6, 6]
    assert sorted(pandas.concat(parts)["clip_id"]) == sorted(genre.index)
    assert all(list(part["clip_id"]) == sorted(part["clip_id"]) for part in parts)
    unchanged = contents(collection / "datasets")  # the input
    assert {name: contents(split_root / "datasets")[name] for name in unchanged} == unchanged


def test_split_is_the_originals(split_root):
    from sklearn.model_selection import train_test_split

    annotate(split_root, lambda number: "jazz" if number % 2 else "rock")
    run_all(split_root, *STEPS_2_TO_4)
    clips = table(split_root, "six_genres.csv")["clip_id"]
    others, test = train_test_split(clips, test_size=0.2, random_state=10)
    val = train_test_split(others, test_size=0.1, random_state=10)[1]
    for part, expected in (("val", val), ("test", test)):
        assert list(table(split_root, f"train_test_val/{part}.csv")["clip_id"]) == sorted(expected)


def test_same_input_gives_the_same_bytes_and_songs_are_kept_together(collection, root, capsys):
    for other in (collection, root):
        two_genres(other)
    by_song = ((STEP_2,), (STEP_3,), (STEP_4, "--group-by", "song"))
    run_all(collection, (STEP_1, "--jobs", 1), *by_song)
    run_all(root, *by_song)
    assert contents(collection / "datasets") == contents(root / "datasets")
    assert "furthest from its share: " in capsys.readouterr().out
    paths = [table(root, f"train_test_val/{part}.csv")["spectrogram"] for part in PARTS]
    songs = [{path.rsplit("-", 2)[0] for path in part} for part in paths]
    assert all(songs) and not (songs[0] & songs[1] or songs[0] & songs[2] or songs[1] & songs[2])


# Done once


def test_second_run_makes_only_what_is_missing(split_root, capsys):
    before, paths = contents(split_root), sorted((split_root / "datasets/spectrograms").rglob("*.npy"))
    capsys.readouterr()
    run_all(split_root, (STEP_1,), (STEP_2,), (STEP_3,), (STEP_4,))
    printed = capsys.readouterr().out
    assert "32 clips: 32 done, 0 to do" in printed and printed.count("is up to date, nothing to do") == 3
    changed = paths[0].stat().st_mtime_ns
    for path in paths[5:]:
        path.unlink()
    run_all(split_root, (STEP_1,))
    assert "32 clips: 5 done, 27 to do" in capsys.readouterr().out
    assert contents(split_root) == before and paths[0].stat().st_mtime_ns == changed
    paths[0].write_bytes(b"damaged")
    run_all(split_root, (STEP_1,))
    assert paths[0].read_bytes() == b"damaged"
    run_all(split_root, (STEP_1, "--overwrite"))
    assert contents(split_root) == before


def test_changed_input_is_noticed(split_root):
    annotate(split_root, lambda number: "jazz" if number % 2 else "rock")
    run_all(split_root, *STEPS_2_TO_4)
    assert set(table(split_root, "train_test_val/train.csv")["genre"]) == {"jazz", "rock"}


# The order of steps


@pytest.mark.parametrize(
    "step, words",
    [
        ((STEP_1,), ("mp3_files does not exist", "MagnaTagATune", "make demo")),
        ((STEP_1, "--check"), (STEP_1,)),
        ((STEP_2,), ("annotations_final.csv does not exist", "make demo", "--genres-from-folders")),
        ((STEP_3,), ("tagged_spectrograms.csv does not exist", STEP_2)),
        ((STEP_4,), ("six_genres.csv does not exist", STEP_3)),
        ((artifacts.TESTING,), (f"Run {STEP_4} first",)),
        ((artifacts.PLOT,), (f"Run {artifacts.TRAINING} first",)),
        ((artifacts.PREDICTION,), (f"Run {artifacts.TESTING} first",)),
        ((artifacts.FORMAT,), (f"Run {artifacts.TESTING} first",)),
        ((artifacts.REPORT,), (f"Run {artifacts.TESTING} first",)),
        ((artifacts.MAP,), (f"Run {artifacts.TESTING} or {artifacts.FEATURIZE} first",)),
        ((artifacts.WALK, "jazz", "rock"), (f"Run {artifacts.TESTING} or {artifacts.FEATURIZE} first",)),
    ],
)
def test_missing_input(tmp_path, step, words):
    assert_refused(step[0], tmp_path, *words, args=step[1:])
    assert not list(tmp_path.rglob("*.*"))


def test_step_2_before_step_1(collection):
    assert_refused(STEP_2, collection, f"Run {STEP_1} first")


def test_without_any_recording_nothing_is_overwritten(root):
    shutil.rmtree(root / "datasets/mp3_files")
    (root / "datasets/mp3_files/a").mkdir(parents=True)
    (root / "datasets/mp3_files/a/notes.txt").write_text("no music")
    before = contents(root)
    assert_refused(STEP_1, root, "no recording (.mp3, .wav", "1 file skipped: .txt", args=["--overwrite"])
    assert contents(root) == before


def test_other_settings_are_refused_by_name(root):
    settings = root / "datasets/spectrograms/settings.json"
    settings.write_text(json.dumps(spectrogram.SETTINGS | {"n_mels": 128}))
    assert_refused(STEP_1, root, "n_mels = 128", "n_mels = 96", "--overwrite")
    assert_refused(STEP_1, root, "n_mels = 128", args=["--overwrite", "--shard", "1/2"])
    assert len(list(settings.parent.rglob("*.npy"))) == 32
    settings.unlink()
    assert_refused(STEP_1, root, "no settings.json", "--overwrite")
    assert run_script(STEP_1, root, "--overwrite") == 0
    run_all(root, *STEPS_2_TO_4)
    assert_refused(STEP_4, root, "group_by = None", "group_by = song", args=["--group-by", "song"])
    assert_refused(STEP_2, root, "merge_synonyms = False", args=["--merge-synonyms"])
    assert_refused(STEP_3, root, "genres = ['classical'", "['jazz', 'rock']", args=["--genres", "jazz,rock"])


# Recordings


def test_bad_recordings_are_listed_and_stop_nothing(collection, capsys):
    folder = collection / "datasets/mp3_files"
    whole = (folder / clip_path(0)).read_bytes()
    bad = {
        "1/artist-album-01-song-0-29.mp3": (whole, "truncated: the name says 29 seconds, 1.3 are there"),
        "1/cut.mp3": (whole[:-70], "truncated: 70 of the last frame's 144 bytes are missing"),
        "1/empty.mp3": (b"", "empty file"),
        "1/junk.mp3": (b"no music" * 999, "not readable as audio"),
    }
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    tiny_music.write_mp3(folder / "1/silent.mp3", np.zeros(16000, np.float32))
    assert run_script(STEP_1, collection) == 0
    assert "33 done, 4 failed, 0 remain" in capsys.readouterr().out
    assert failures(collection) == {name: reason for name, (_, reason) in bad.items()}
    assert (np.load(collection / "datasets/spectrograms/1/silent.npy") == 0).all()
    (folder / "1/cut.mp3").write_bytes(whole)
    assert run_script(STEP_1, collection) == 0
    assert "33 done, 0 to do, 4 failed before (--retry-failed tries them again)" in capsys.readouterr().out
    assert run_script(STEP_1, collection, "--retry-failed") == 0
    assert "34 done, 3 failed, 0 remain" in capsys.readouterr().out and "1/cut.mp3" not in failures(collection)


def test_nothing_useful_is_no_success(tmp_path):
    (tmp_path / "datasets/mp3_files").mkdir(parents=True)
    (tmp_path / "datasets/mp3_files/junk.mp3").write_bytes(b"junk" * 99)
    assert run_script(STEP_1, tmp_path) == 1
    assert list(failures(tmp_path)) == ["junk.mp3"]


@pytest.mark.parametrize("ending, used", [(".flac", ".flac"), (".MP3", ".MP3"), (".wav", ".mp3")])
def test_recordings_that_would_share_a_spectrogram(collection, capsys, ending, used):
    """The first by name is used, whether or not its spectrogram exists already."""
    first = collection / "datasets/mp3_files" / clip_path(0)
    shutil.copy(first, first.with_suffix(ending))
    assert run_script(STEP_1, collection) == 0
    assert "33 clips: 0 done, 32 to do, 1 with names that cannot be used" in capsys.readouterr().out
    assert run_script(STEP_1, collection) == 0
    assert "32 done, 0 to do, 1 failed before" in capsys.readouterr().out
    ((clip, reason),) = failures(collection).items()
    names = {clip, reason.removesuffix(" would give the same spectrogram: rename one of them")}
    assert names == {clip_path(0), clip_path(0).replace(".mp3", ending)} and reason.split(" would")[0].endswith(used)


# Annotations


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
def test_quirks_of_annotations_do_not_matter(root, change):
    path = root / "datasets/tagged_spectrograms.csv"
    run_all(root, (STEP_2,))
    plain = path.read_bytes()
    rewrite(root, change)
    run_all(root, (STEP_2, "--overwrite"))
    assert path.read_bytes() == plain and len(plain) > 1000


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
        (lambda text: text.replace(b'"101"\t"1"', b'"101"\t"2"'), ("line 3", "tag 'classical' is '2', not 0 or 1")),
        (lambda text: text[: len(text) // 2], ()),
        (lambda text: text.replace(b"artist_1", b"artist_\xff"), ("UTF-8",)),
        (lambda text: bytes(5000), ()),
        (with_row_numbers, ("column 1 has no name", "index=False")),
        (lambda text: text.replace(b'"1"', b'"0"'), ("has a genre or instrument tag", "Check its columns")),
    ],
)
def test_bad_annotations_are_refused(root, change, words):
    rewrite(root, change)
    assert_refused(STEP_2, root, "annotations_final.csv", *words)
    assert not (root / "datasets/tagged_spectrograms.csv").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda path: path.replace("/", "\\"), ("relative to datasets/mp3_files, with / between",)),
        (lambda path: f"/data/mp3_files/{path}", ("relative to datasets/mp3_files", "'/data/mp3_files/0/artist_0")),
        (lambda path: path.replace("title", "piece"), ("names that the files have",)),
        (lambda path: path.split("/")[1], ("Move what is in datasets/mp3_files/0 to datasets/mp3_files", STEP_1)),
    ],
    ids=["backslashes", "absolute", "other names", "without folder"],
)
def test_annotated_paths_that_match_no_file_are_compared(root, change, words):
    rows = [(100 + number, ("jazz",), change(clip_path(number))) for number in range(32)]
    tiny_music.write_annotations(root, rows)
    assert_refused(STEP_2, root, "None of the 32 clips", *words, "'0/artist_0-album-00-title 0-0-1.npy'")


@pytest.mark.parametrize("on_disk, annotated", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_match_in_any_normal_form_of_unicode(tmp_path, on_disk, annotated):
    """A folder that a Mac made, annotations typed on a keyboard; and the reverse."""
    names = [f"chanson française/é-{number}.mp3" for number in range(10)]
    for number, name in enumerate(names):
        path = tmp_path / "datasets/mp3_files" / unicodedata.normalize(on_disk, name)
        tiny_music.write_mp3(path, tiny_music.music(0.5, seed=number))
    rows = [(100 + number, ("jazz",), unicodedata.normalize(annotated, name)) for number, name in enumerate(names)]
    tiny_music.write_annotations(tmp_path, rows)
    run_all(tmp_path, (STEP_1,), (STEP_2,), (STEP_3,), (STEP_4,), (STEP_1, "--check"))
    expected = {unicodedata.normalize(on_disk, name).replace(".mp3", ".npy") for name in names}
    assert set(table(tmp_path, "six_genres.csv")["spectrogram"]) == expected


def test_clips_missing_on_either_side_are_named(root, capsys):
    missing, not_annotated = (clip_path(number).replace(".mp3", ".npy") for number in (0, 5))
    (root / "datasets/spectrograms" / missing).unlink()
    rewrite(root, lambda text: b"\n".join(line for line in text.split(b"\n") if not line.startswith(b'"105"')))
    run_all(root, (STEP_2,))
    printed = capsys.readouterr().out
    assert f"1 clip annotated, but without a spectrogram, skipped: {clip_path(0)}" in printed
    assert f"1 clip with a spectrogram, but not annotated, skipped: {not_annotated.removesuffix('.npy')}\n" in printed
    assert not {"100", "105"} & set(table(root, "tagged_spectrograms.csv")["clip_id"])


def test_path_that_leads_out_of_the_root(root):
    rewrite(root, lambda text: text.replace(clip_path(0).encode(), b"../../x.mp3"))
    before = set(contents(root.parent))
    run_all(root, *STEPS_2_TO_4)
    new = set(contents(root.parent)) - before
    assert new and all(path.startswith("root/datasets/") for path in new)
    assert not table(root, "tagged_spectrograms.csv")["spectrogram"].str.contains("..", regex=False).any()


# Few clips


def test_genre_absent_from_train(root, capsys):
    annotate(root, lambda number: "jazz" if number else "opera")
    run_all(root, *STEPS_2_TO_4)
    printed = capsys.readouterr().out
    assert "no clip at all: classical, baroque, medieval, rock" in printed
    assert "is in train: a network cannot learn it" in printed


def test_too_few_clips(root):
    annotate(root, lambda _: "jazz", numbers=[1])
    run_all(root, (STEP_2,), (STEP_3,))
    assert_refused(STEP_4, root, "1 clip, too few to split: at least 10")


def test_too_few_clips_to_keep_together(root):
    annotate(root, lambda number: ("jazz", "rock")[number // 2 % 2])  # two artists each
    run_all(root, (STEP_2,), (STEP_3,), (STEP_4, "--group-by", "song"))
    annotate(root, lambda number: "jazz", [number for number in range(32) if number // 2 % 4 < 2])
    run_all(root, (STEP_2,), (STEP_3,))
    words = ("3 artists or more", "no genre has clips of more than 2 artists", "or by song")
    assert_refused(STEP_4, root, *words, args=["--overwrite", "--group-by", "artist"])


# --check


def test_check_names_every_wrong_spectrogram(split_root, capsys):
    root, folder = split_root, split_root / "datasets/spectrograms"
    capsys.readouterr()
    assert run_script(STEP_1, root, "--check") == 0
    printed = capsys.readouterr().out
    assert "32 spectrograms checked, 0 wrong" in printed and "5 tables checked, 0 wrong" in printed
    paths = sorted(folder.rglob("*.npy"))
    good = np.load(paths[0])

    def recording_of(path):
        return root / "datasets/mp3_files" / path.relative_to(folder).with_suffix(".mp3")

    damaged = {
        "not a readable .npy": lambda path: path.write_bytes(path.read_bytes()[:-1]),
        "more bytes": lambda path: path.write_bytes(path.read_bytes() + b"x"),
        "not a readable": lambda path: path.write_bytes(b""),
        "dtype float32": lambda path: np.save(path, good.astype(np.float32)),
        "Object arrays": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
        "shape (52, 96)": lambda path: np.save(path, good[:, :52].T.copy()),
        "not finite": lambda path: np.save(path, np.where(good == good.max(), np.nan, good)),
        "from -1 to": lambda path: np.save(path, np.concatenate([good, -np.ones((96, 1), "f2")], axis=1)),
        "to 80 instead of 0 to 12": lambda path: np.save(path, np.concatenate([good, good + 80], axis=1).clip(0, 80)),
        "its recording is missing": lambda path: recording_of(path).unlink(),
    }
    for path, damage in zip(paths, damaged.values(), strict=False):
        damage(path)
    assert run_script(STEP_1, root, "--check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert "31 spectrograms checked, 9 wrong: delete them and run step 1 again" in lines
    assert lines[1] == "1 spectrogram without a recording: restore the recordings, or delete the spectrograms"
    for line, path, problem in zip([*lines[2:11], lines[0]], paths, damaged, strict=False):
        assert line.startswith(str(path.relative_to(folder))) and problem in line


def test_spectrograms_are_used_without_recordings(root):
    shutil.rmtree(root / "datasets/mp3_files")
    run_all(root, (STEP_1, "--check"), (STEP_2,), (STEP_3,), (STEP_4,))


def replace_text(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def repeat_rows(path):
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *rows, *rows]))


@pytest.mark.parametrize(
    "damage, name, problem",
    [
        (lambda data: replace_text(data / "tagged_spectrograms.csv", "kind", "sort"), "tagged_spectrograms", "lacks"),
        (lambda data: repeat_rows(data / "tagged_spectrograms.csv"), "tagged_spectrograms", f"twice. Run {STEP_2}"),
        (lambda data: replace_text(data / "tagged_spectrograms.csv", "jazz", "rock"), "six_genres", "changed since"),
        (lambda data: replace_text(data / "six_genres.csv", ",rock,5", ",rock,4"), "six_genres", "label 4 and genre"),
        (lambda data: (data / "six_genres.json").write_text("{"), "six_genres", "not readable JSON"),
        (lambda data: replace_text(data / "six_genres.csv", ",rock,5", ",jazz,4"), "train", "another six_genres.csv"),
        (lambda data: repeat_rows(data / "train_test_val/train.csv"), "train", "is there twice"),
        (lambda data: (data / "train_test_val/val.csv").unlink(), "train", "val.csv does not exist"),
        (lambda data: replace_text(data / "train_test_val/test.csv", ",rock,5", ",jazz,4"), "train", "not the same"),
        (lambda data: next(data.glob("spectrograms/*/*.npy")).unlink(), "tagged_spectrograms", "without a spectrogram"),
    ],
)
def test_check_names_every_wrong_table(split_root, capsys, damage, name, problem):
    damage(split_root / "datasets")
    capsys.readouterr()
    assert run_script(STEP_1, split_root, "--check") == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if f"{name}.csv: " in line]
    assert lines and problem in lines[0], lines


# The command line


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
    message = capsys.readouterr().err.splitlines()[-1]
    assert args[0] in message and args[1] in message
