"""Collections other than MagnaTagATune as published: their splits, folders as genres, other genres, synonyms; names."""

import re
import unicodedata

import pandas
import pytest
import tiny_music
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pipeline import refused, run_script, table

from music_featurization.artifacts import STEP_1, STEP_2, STEP_3, STEP_4, PipelineError
from music_featurization.dataset import annotations, clip_names, genres, split, tags


@pytest.fixture
def six_genres(collection_with_spectrograms):
    """A root after step 3."""
    assert run_script(STEP_2, collection_with_spectrograms) == run_script(STEP_3, collection_with_spectrograms) == 0
    return collection_with_spectrograms


# A published split


def write_published(folder, rows, missing=()):
    """The original's six files: `genre.<clip_id>_<name>.jpg`, and the labels as numpy writes floats or ints."""
    folder.mkdir(exist_ok=True)
    for number, part in enumerate(("train", "val", "test")):
        part_rows, absent = rows[number::3], missing if part == "train" else ()
        lines = [f"{row.genre}.{row.clip_id}_{clip_names.stem(row.spectrogram)}.jpg" for row in part_rows]
        (folder / f"{part}_files.txt").write_text("\n".join([*lines, *absent]) + "\n")
        labels = [f"{row.label}.0" if number else row.label for row in part_rows] + ["4"] * len(absent)
        (folder / f"{part}_labels.txt").write_text("\n".join(labels) + "\n")


def test_published_split_is_taken_over(six_genres, tmp_path, capsys, monkeypatch):
    rows = list(table(six_genres, "six_genres.csv").itertuples())
    write_published(tmp_path / "published", rows[:-1], missing=["jazz.999_gone-0-29.jpg"])
    assert run_script(STEP_4, six_genres, "--split-from", tmp_path / "published") == 0
    for number, part in enumerate(("train", "val", "test")):
        result = table(six_genres, f"train_test_val/{part}.csv")
        assert list(result["clip_id"]) == [row.clip_id for row in rows[:-1][number::3]]
    printed = capsys.readouterr().out
    assert "train: 1 of 10 listed clips missing here, such as 999_gone-0-29" in printed
    assert "left out, in no part of the published split: 1 clip\n" in printed
    monkeypatch.chdir(tmp_path)
    assert run_script(STEP_4, six_genres, "--split-from", "published") == 0  # the same folder
    assert "is up to date, nothing to do" in capsys.readouterr().out
    write_published(tmp_path / "published", rows[:-3])
    assert run_script(STEP_1, six_genres, "--check") == 1
    assert "made from another six_genres.csv or published split" in capsys.readouterr().out
    assert run_script(STEP_4, six_genres, "--split-from", "published") == 0
    assert "left out, in no part of the published split: 3 clips" in capsys.readouterr().out


def test_published_split_of_another_genre_is_reported(six_genres, tmp_path, capsys):
    rows = list(table(six_genres, "six_genres.csv").itertuples())
    changed = [row._replace(genre="jazz", label="4") if row.genre == "baroque" else row for row in rows]
    write_published(tmp_path / "published", changed)
    assert run_script(STEP_4, six_genres, "--split-from", tmp_path / "published") == 0
    assert re.search(
        r"clips listed with another genre \(.*: jazz there, baroque here\); ours is kept", capsys.readouterr().out
    )
    assert set(table(six_genres, "train_test_val/train.csv")["genre"]) == set(genres.GENRES)


@pytest.mark.parametrize(
    "file, change, words",
    [
        ("val_files.txt", None, "val_files.txt does not exist. --split-from needs a folder"),
        ("val_labels.txt", lambda text: text + "1\n", "val_files.txt has"),
        ("train_files.txt", lambda text: text.replace("jazz.", "jazz", 1), "is not genre.<clip_id>_<name>.jpg"),
        ("train_labels.txt", lambda text: "5\n" + text.split("\n", 1)[1], "is not the label of classical"),
        ("test_files.txt", lambda text: None, "is in both"),
        ("test_files.txt", lambda text: re.sub(r"\.\d+_", ".9_", text), "None of the"),
    ],
)
def test_bad_published_split(six_genres, tmp_path, file, change, words):
    folder = tmp_path / "published"
    write_published(folder, list(table(six_genres, "six_genres.csv").itertuples()))
    text = change((folder / file).read_text()) if change else ""
    if change and text is None:  # the same clips as in train
        for what in ("files", "labels"):
            (folder / f"test_{what}.txt").write_text((folder / f"train_{what}.txt").read_text())
    elif change:
        (folder / file).write_text(text)
    else:
        (folder / file).unlink()
    assert words in refused(STEP_4, six_genres, "--split-from", folder)
    assert not (six_genres / "datasets/train_test_val").exists()


# A genre that is missing in a part


@pytest.mark.parametrize("way", ["artist", "song"])
def test_genre_missing_in_one_part_is_named_with_the_way_out(tmp_path, capsys, way):
    """Opera has one artist and one song, so that a split that keeps them together leaves two parts without it."""
    (tmp_path / "datasets").mkdir()
    paths = [f"a/artist {n % 31}-album-01-song {n % 40}-{n}-0-29.mp3" for n in range(80)]
    paths += [f"a/diva-album-01-aria-{n}-{n + 29}.mp3" for n in range(4)]
    rows = [(n, (("jazz", "rock")[n % 2] if n < 80 else "opera",), path) for n, path in enumerate(paths)]
    tiny_music.write_annotations(tmp_path, rows)
    assert run_script(STEP_2, tmp_path) == run_script(STEP_3, tmp_path, "--genres", "opera,jazz,rock") == 0
    capsys.readouterr()
    assert run_script(STEP_4, tmp_path, "--group-by", way) == 0
    printed = capsys.readouterr().out
    assert "warning: no clip of opera is in val: the best epoch is chosen without it" in printed
    assert "warning: no clip of opera is in test: the report cannot measure it" in printed
    wider = {"artist": "split with --group-by song", "song": "split without --group-by"}[way]
    assert f"To change that: {wider}, add clips of such a genre, or leave it out with step 3's --genres.\n" in printed


# Folders named by genre, other genres, synonyms


def folders_named_by_genre(root, *folders, clips=4):
    """Make folders of spectrograms, which are empty files, and run step 2."""
    for folder in folders:
        (root / "datasets/spectrograms" / folder).mkdir(parents=True)
        for number in range(clips):
            (root / f"datasets/spectrograms/{folder}/{number}.npy").touch()
    assert run_script(STEP_2, root, "--genres-from-folders") == 0


def test_genres_from_folders(tmp_path, capsys):
    folders_named_by_genre(tmp_path, "drum and bass/some album", "tango", clips=15)
    assert "drum_and_bass: 15 clips\ntango: 15 clips" in capsys.readouterr().out
    assert "The genres that exist are: drum_and_bass, tango" in refused(STEP_3, tmp_path)
    assert run_script(STEP_3, tmp_path, "--genres", "tango, drum and bass") == run_script(STEP_4, tmp_path) == 0
    parts = pandas.concat(table(tmp_path, f"train_test_val/{part}.csv") for part in split.PARTS)
    assert set(zip(parts["genre"], parts["label"], strict=True)) == {("tango", "0"), ("drum_and_bass", "1")}
    assert sorted(parts["clip_id"].astype(int)) == list(range(1, 31))


def test_files_outside_a_folder_are_listed_and_skipped(tmp_path, capsys):
    folder = tmp_path / "datasets/spectrograms"
    folder.mkdir(parents=True)
    for name in ("loose\n1.npy", "loose 2.npy"):
        (folder / name).touch()
    message = refused(STEP_2, tmp_path, "--genres-from-folders")
    assert "loose\\n1 is in no folder that names its genre (2 such clips)" in message
    assert "mp3_files/<genre>/" in message
    folders_named_by_genre(tmp_path, "tango", "salsa", clips=1)
    assert "2 clips in no folder that names a genre, skipped: loose\\n1, loose 2\n" in capsys.readouterr().out
    result = table(tmp_path, "tagged_spectrograms.csv")
    assert list(result["spectrogram"]) == ["salsa/0.npy", "tango/0.npy"] and list(result["clip_id"]) == ["1", "2"]


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_genres_match_in_any_normal_form_of_unicode(tmp_path, typed):
    folders = [unicodedata.normalize(form, name) for form in ("NFC", "NFD") for name in ("flûte", "forró")]
    folders_named_by_genre(tmp_path, *folders)
    assert run_script(STEP_3, tmp_path, "--genres", unicodedata.normalize(typed, "flûte,forró")) == 0
    assert table(tmp_path, "six_genres.csv")["genre"].value_counts().to_dict() == {"flûte": 8, "forró": 8}


def test_genres_from_a_file(tmp_path, capsys):
    folders_named_by_genre(tmp_path, "rock, live", "drum and bass", "jazz")
    listed = tmp_path / "genres.txt"
    listed.write_bytes(b"\xef\xbb\xbfrock, live\r\n\r\ndrum and bass\r\n")
    assert run_script(STEP_3, tmp_path, "--genres", listed) == 0
    result = table(tmp_path, "six_genres.csv")
    assert set(zip(result["genre"], result["label"], strict=True)) == {("rock,_live", "0"), ("drum_and_bass", "1")}
    assert run_script(STEP_3, tmp_path, "--genres", ",".join(f"genre {number}" for number in range(99))) == 1
    assert run_script(STEP_3, tmp_path, "--genres", tmp_path / "missing.txt") == 2
    assert f"there is no file {tmp_path / 'missing.txt'}" in capsys.readouterr().err
    for content, message in ((b"rock, live\n", "two or more different genres"), (b"\xff\xfe", "not a readable text")):
        listed.write_bytes(content)
        assert run_script(STEP_3, tmp_path, "--genres", listed) == 2
        assert message in capsys.readouterr().err


def test_genre_that_no_clip_has_is_refused(tmp_path, capsys):
    folders_named_by_genre(tmp_path, "rock", "jazz", "bolero, slow")
    message = refused(STEP_3, tmp_path, "--genres", "rock,jazz,bolero, slow")
    assert "No clip has the genre bolero or slow" in message and "are: bolero,_slow, jazz, rock. " in message
    assert "comma in a text file, one genre a line" in message
    assert not (tmp_path / "datasets/six_genres.csv").exists()
    assert run_script(STEP_3, tmp_path) == 0  # the six of MagnaTagATune may be incomplete
    assert "no clip at all: classical, baroque, opera, medieval\n" in capsys.readouterr().out


def test_other_genres_and_their_priority(collection_with_spectrograms):
    assert run_script(STEP_2, collection_with_spectrograms) == 0
    assert run_script(STEP_3, collection_with_spectrograms, "--genres", "classical,baroque,hard_rock") == 0
    result = table(collection_with_spectrograms, "six_genres.csv")
    labels = {"classical": "0", "baroque": "1", "hard_rock": "2"}
    assert dict(zip(result["genre"], result["label"], strict=True)) == labels
    assert result.set_index("clip_id").loc["101", "genre"] == "classical"  # here classical comes first


def test_merge_synonyms(collection_with_spectrograms, capsys):
    assert run_script(STEP_2, collection_with_spectrograms, "--merge-synonyms") == 0
    assert "0 clips to jazz, 3 clips to rock" in capsys.readouterr().out
    result = table(collection_with_spectrograms, "tagged_spectrograms.csv")
    assert not {"hard_rock", "jazzy"} & set(result["tag"])
    assert {"106", "118", "130"} <= set(result["clip_id"][result["tag"] == "rock"])


# Text


@given(
    song=st.text(st.characters(exclude_characters="/.", exclude_categories=["Cs"]), min_size=1),
    start=st.integers(0, 9999),
    length=st.integers(0, 99),
    folder=st.sampled_from(["", "a/", "a/b.c/"]),
)
def test_names_of_excerpts(song, start, length, folder):
    result = clip_names.parse(f"{folder}{song}-{start}-{start + length}.mp3")
    assert result == (song.split("-")[0], song, start, start + length)


TAG_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)


@given(
    tags_=st.sets(TAG_NAMES, min_size=1, max_size=4),
    paths=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1), min_size=1, max_size=5
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    data=st.data(),
)
def test_annotations_with_any_names_are_read_as_they_are(tmp_path_factory, tags_, paths, ending, mark, data):
    columns = sorted(tags_ - {"clip_id", "mp3_path"}) or ["rock"]
    values = [[data.draw(st.booleans()) for _ in columns] for _ in paths]
    quoted = [["clip_id", *columns, "mp3_path"]]
    quoted += [[str(number), *(str(int(value)) for value in row), path]
               for number, (row, path) in enumerate(zip(values, paths, strict=True), start=7)]  # fmt: skip
    text = "".join("\t".join('"' + cell.replace('"', '""') + '"' for cell in row) + ending for row in quoted)
    path = tmp_path_factory.mktemp("csv") / "annotations_final.csv"
    path.write_bytes(mark + text.encode())
    clips, result = annotations.read(path)
    assert list(clips["clip_id"]) == list(range(7, 7 + len(paths))) and list(clips["mp3_path"]) == paths
    for position, column in enumerate(columns):
        name = genres.tag_name(column)
        same = [other for other in range(len(columns)) if genres.tag_name(columns[other]) == name]
        assert list(result[name]) == [any(row[other] for other in same) for row in values], position


@given(st.binary(max_size=300))
def test_annotations_of_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "annotations_final.csv"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"annotations_final\.csv"):
        annotations.read(path)


# The split


def clips_of(counts, group=1):
    """Return a table of clips by genre: `group` clips of each song by an artist of its own."""
    rows = [(genre, number) for genre, count in counts.items() for number in range(count)]
    paths = [f"{genre}/{genre} {n // group}-album-01-song-{n}-{n + 29}.npy" for genre, n in rows]
    return pandas.DataFrame({"spectrogram": paths, "genre": [genre for genre, _ in rows]})


def counts_of(parts):
    """Return the number of clips in train, val and test by genre."""
    counts = {part: clips["genre"].value_counts() for part, clips in parts.items()}
    return {genre: tuple(int(counts[part].get(genre, 0)) for part in split.PARTS) for genre in parts["train"]["genre"]}


@pytest.mark.parametrize(
    "counts, group, expected",
    [
        ({"tango": 10, "salsa": 10, "bolero": 10}, 1, [(7, 1, 2)] * 3),
        ({"tango": 10, "salsa": 10, "bolero": 10}, 2, [(6, 2, 2)] * 3),
        ({"tango": 5, "salsa": 4, "bolero": 3}, 1, [(3, 1, 1), (2, 1, 1), (1, 1, 1)]),
        ({"tango": 100, "salsa": 2, "bolero": 1}, 1, [(72, 8, 20), (1, 0, 1), (1, 0, 0)]),
    ],
)
def test_every_part_of_a_small_collection_has_every_genre(counts, group, expected):
    clips = clips_of(counts, group)
    splits = [split.grouped_split(clips, way) for way in ("song", "artist")]
    for parts in splits if group > 1 else [*splits, split.random_split(clips)]:
        assert counts_of(parts) == dict(zip(counts, expected, strict=True))
        assert sorted(pandas.concat(parts.values())["spectrogram"]) == sorted(clips["spectrogram"])
        artists = [{clip_names.parse(path).artist for path in part["spectrogram"]} for part in parts.values()]
        assert sum(map(len, artists)) == clips["spectrogram"].map(lambda path: clip_names.parse(path).artist).nunique()


@settings(max_examples=6)
@given(
    songs=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(genres.GENRES)), min_size=120, max_size=200),
)
def test_groups_are_kept_together(songs):
    paths = [f"a/artist {song % 15}-album-01-song {song}-{n}-{n + 29}.npy" for n, (song, _) in enumerate(songs)]
    clips = pandas.DataFrame({"spectrogram": paths, "genre": [genre for _, genre in songs]})
    clips["clip_id"] = clips.index.map(str)
    try:
        parts = split.grouped_split(clips, "song")
    except PipelineError as error:
        assert "no genre has clips of more than" in str(error)
        return
    assert sorted(pandas.concat(parts.values())["clip_id"]) == sorted(clips["clip_id"])
    result = [{clip_names.parse(path).song for path in part["spectrogram"]} for part in parts.values()]
    assert all(result) and not (result[0] & result[1] or result[0] & result[2] or result[1] & result[2])


@given(st.data())
def test_one_genre_per_clip_is_the_first_of_its_genres(data):
    priority = data.draw(st.permutations(genres.PRIORITY))
    chosen = data.draw(st.dictionaries(st.integers(1, 99), st.sets(st.sampled_from(genres.GENRE_TAGS)), min_size=1))
    rows = [(str(clip), f"{clip}.npy", "genre", tag) for clip, its_tags in chosen.items() for tag in sorted(its_tags)]
    tagged = pandas.DataFrame(rows, columns=tags.TAGGED_COLUMNS)
    result = tags.one_genre_per_clip(tagged, priority)
    counted = {clip: its_tags & set(priority) for clip, its_tags in chosen.items()}
    expected = {clip: min(its_tags, key=priority.index) for clip, its_tags in counted.items() if its_tags}
    assert dict(zip(result["clip_id"].astype(int), result["genre"], strict=True)) == expected
    assert list(result["clip_id"].astype(int)) == sorted(expected)
    assert all(genres.GENRES[label] == genre for label, genre in zip(result["label"], result["genre"], strict=True))
