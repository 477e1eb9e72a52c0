"""Step 0: the composed data set is in MagnaTagATune's shape, repeatable, and never replaces other data."""

import csv
import hashlib
import random
import re
import shutil
from collections import Counter

import numpy as np
import pytest
import soundfile
from tiny_pipeline import contents, refused, run_script

from music_featurization.artifacts import STEP_0, Artifacts, read_json
from music_featurization.dataset import clip_names
from music_featurization.dataset.genres import GENRES, PRIORITY
from music_featurization.demo import composer, demo_dataset, synthesis
from music_featurization.demo.styles import STYLES

PIECES = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    assert run_script(STEP_0, root, "--pieces", PIECES) == 0
    return root


@pytest.fixture
def root(dataset, tmp_path):
    """A copy of the data set that the test may change."""
    return shutil.copytree(dataset, tmp_path / "root")


def annotations(root):
    with open(Artifacts(root).annotations, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_clip_is_encoded_as_in_magnatagatune(dataset):
    clips = sorted(Artifacts(dataset).mp3_files.rglob("*.mp3"))
    assert len(clips) == 2 * PIECES == len({hashlib.sha256(clip.read_bytes()).digest() for clip in clips})
    for clip in clips:
        info = soundfile.info(clip)
        audio, rate = soundfile.read(clip)
        assert (rate, info.channels, info.subtype) == (16_000, 1, "MPEG_LAYER_III")
        assert round(info.duration, 1) == 29.1
        data = clip.read_bytes()  # frames of 144 bytes, whose header says 32 kbit/s at 16 kHz
        assert len(data) % 144 == 0 and {data[at : at + 3] for at in range(0, len(data), 144)} == {b"\xff\xf3\x48"}
        assert 0.2 < np.abs(audio).max() < 1.1  # the codec overshoots a little
        assert np.sqrt(np.mean(audio**2)) > 0.01, f"{clip.name} is nearly silent"
        assert np.mean(np.abs(audio) > 0.999) < 0.001, f"{clip.name} is clipped"


def test_annotations_have_the_layout_of_the_original(dataset):
    text = Artifacts(dataset).annotations.read_bytes().decode("utf-8")
    lines = text.split("\n")
    assert lines[-1] == "" and "\r" not in text and len(lines) == 2 + 2 * PIECES
    assert all(field[0] == field[-1] == '"' for line in lines[:-1] for field in line.split("\t"))
    rows = annotations(dataset)
    columns = list(rows[0])
    assert columns[0] == "clip_id" and columns[-1] == "mp3_path"
    assert {"hard rock", "acoustic guitar", "middle eastern"} <= set(columns) and len(set(columns)) == len(columns)
    assert {value for row in rows for value in list(row.values())[1:-1]} == {"0", "1"}
    assert [row["clip_id"] for row in rows] == [str(k + 1) for k in range(2 * PIECES)]
    for row in rows:
        name = clip_names.parse(row["mp3_path"])
        assert re.fullmatch(r"[0-9a-f]/[a-z0-9_-]+\.mp3", row["mp3_path"])
        assert (name.start, name.end) in ((0, 29), (29, 58)) and name.song.startswith(f"{name.artist}-")
        assert (Artifacts(dataset).mp3_files / row["mp3_path"]).exists()


def test_same_seed_gives_the_same_bytes_for_any_number_of_pieces(dataset, tmp_path):
    assert run_script(STEP_0, tmp_path, "--pieces", 2) == 0
    clips = contents(Artifacts(tmp_path).mp3_files)
    assert len(clips) == 4 and clips.items() <= contents(Artifacts(dataset).mp3_files).items()
    longer = Artifacts(dataset).annotations.read_text().splitlines()
    assert Artifacts(tmp_path).annotations.read_text().splitlines() == longer[:5]


def test_another_seed_gives_other_music():
    for first, second in zip(demo_dataset.plan(7, 1), demo_dataset.plan(7, 2), strict=True):
        assert first.genre == second.genre
        assert demo_dataset.compose(first).parts[0].notes != demo_dataset.compose(second).parts[0].notes


def test_continues_where_it_was_interrupted(root, capsys):
    before, artifacts = contents(root), Artifacts(root)
    for clip in sorted(artifacts.mp3_files.rglob("*-0-29.mp3"))[:2]:
        clip.unlink()
    artifacts.annotations.unlink()
    kept = {path: path.stat().st_mtime_ns for path in artifacts.mp3_files.rglob("*.mp3")}
    assert run_script(STEP_0, root, "--pieces", PIECES) == 0
    assert "4 clips done, 2 to do" in capsys.readouterr().out
    assert contents(root) == before
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--pieces", 1], ("pieces = 3", "pieces = 1", "--overwrite")),
     (["--pieces", PIECES, "--seed", 11], ("seed = 10", "seed = 11"))],
)  # fmt: skip
def test_other_settings_are_refused(root, options, message):
    before, error = contents(root), refused(STEP_0, root, *options)
    assert all(words in error for words in message) and contents(root) == before


def test_overwrite_replaces_its_own_clips_only_and_sound_fonts_are_recorded(root):
    own = Artifacts(root).mp3_files / "own" / "own.mp3"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    font = shutil.copy(synthesis.default_soundfont(), root / "mine.sf2")
    assert run_script(STEP_0, root, "--pieces", 1, "--overwrite", "--soundfont", font) == 0
    assert own.read_bytes() == b"mine"
    assert len(list(Artifacts(root).mp3_files.rglob("*.mp3"))) == 3 and len(annotations(root)) == 2
    settings = read_json(Artifacts(root).demo_manifest, STEP_0)["settings"]
    assert settings["pieces"] == 1 and settings["soundfonts"][0].startswith("mine.sf2 ")


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_data_set_it_did_not_make_is_left_alone(tmp_path, overwrite):
    file = Artifacts(tmp_path).mp3_files / "mine.mp3"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")
    assert "was not made by this script" in refused(STEP_0, tmp_path, "--pieces", 1, *overwrite)
    assert contents(tmp_path) == {"datasets/mp3_files/mine.mp3": b"mine"}


def test_annotations_put_in_place_of_its_own_are_left_alone(root):
    text = '"clip_id"\t"rock"\t"mp3_path"\n"1"\t"1"\t"a/real.mp3"\n'
    Artifacts(root).annotations.write_text(text)
    message = refused(STEP_0, root, "--pieces", PIECES, "--overwrite")
    assert "annotations_final.csv was not made by this script" in message
    assert Artifacts(root).annotations.read_text() == text


@pytest.mark.parametrize(("text", "message"), [(None, "There is no sound font"), ("x", "is not a SoundFont 2 file")])
def test_bad_sound_fonts(tmp_path, text, message):
    if text:
        (tmp_path / "font.sf2").write_text(text)
    assert message in refused(STEP_0, tmp_path / "root", "--soundfont", tmp_path / "font.sf2")
    assert not (tmp_path / "root").exists()


def test_the_default_plan_has_enough_of_everything():
    pieces = demo_dataset.plan(120, 10)
    counts = Counter(piece.genre for piece in pieces)
    assert len({piece.song for piece in pieces}) == 120
    assert len({path for piece in pieces for _, path in piece.clips()}) == 240
    assert all(2 * counts[genre] >= 28 for genre in GENRES) and counts["other"] >= 5
    assert {piece.genre for piece in pieces[:7]} == {*GENRES, "other"}
    for genre, styles in STYLES.items():
        assert {piece.style for piece in pieces if piece.genre == genre} == set(range(len(styles)))


def test_tags_leave_step_3_something_to_decide():
    several = Counter()
    for piece in demo_dataset.plan(120, 10):
        for tags in demo_dataset.tags_of(piece):
            six = [genre for genre in PRIORITY if genre in tags]
            assert (six[0] if six else "other") == piece.genre
            assert tags <= set(demo_dataset.tag_columns())
            several[tuple(six)] += 1
    assert several["baroque", "classical"] >= 5 and several["opera", "classical"] >= 5 and several[()] >= 10


@pytest.mark.parametrize(("genre", "style"), [(genre, i) for genre in STYLES for i in range(len(STYLES[genre]))])
def test_every_style_fills_both_clips(genre, style):
    for seed in range(4):
        score = composer.compose(STYLES[genre][style], random.Random(seed))
        assert all(part.notes for part in score.parts), "a part has nothing to play"
        notes = [note for part in score.parts for note in part.notes]
        assert all(0 < note.pitch < 127 and note.length > 0 and note.beat >= 0 for note in notes)
        played = composer.perform(score, np.random.default_rng(seed))
        starts = np.array([note.start for part in played for note in part.midi.notes])
        assert (starts < 29).sum() > 10 and (starts > 29).sum() > 10
        assert starts.min() >= 0 and max(part.midi.get_end_time() for part in played) <= composer.SECONDS
