"""Step 0: the composed data set is in MagnaTagATune's shape, repeatable, and made only where nothing else lies."""

import csv
import hashlib
import importlib.util
import itertools
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from music_featurization.artifacts import REPOSITORY, Artifacts, PipelineError, read_json
from music_featurization.dataset import clip_names
from music_featurization.dataset.genres import GENRES, PRIORITY
from music_featurization.demo import composer, demo_dataset, synthesis
from music_featurization.demo import styles as demo_styles

SCRIPT = REPOSITORY / "datasets_utils" / "0_make_demo_dataset.py"
PIECES = 3


def command(*arguments):
    """Call the script's command line in this process."""
    spec = importlib.util.spec_from_file_location("make_demo_dataset", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.main([str(argument) for argument in arguments])


def digests(root):
    """Contents of the mp3 files and the annotations."""
    paths = sorted([*(root / "datasets").rglob("*.mp3"), root / "datasets" / "annotations_final.csv"])
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    command("--root", root, "--pieces", PIECES)
    return root


@pytest.fixture
def root(made, tmp_path):
    """A copy of the data set that the test may change."""
    return shutil.copytree(made, tmp_path / "root")


def annotations(root):
    with open(Artifacts(root).annotations, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_clip_is_encoded_as_in_magnatagatune(made):
    clips = sorted(Artifacts(made).mp3_files.rglob("*.mp3"))
    assert len(clips) == 2 * PIECES
    for clip in clips:
        info = soundfile.info(clip)
        audio, rate = soundfile.read(clip)
        assert (rate, info.channels, info.subtype) == (16_000, 1, "MPEG_LAYER_III")
        assert round(info.duration, 1) == 29.1
        assert bitrates(clip) == {32}
        assert 0.2 < np.abs(audio).max() < 1.1  # the codec overshoots a little
        assert np.sqrt(np.mean(audio**2)) > 0.01, f"{clip.name} is nearly silent"
        assert np.mean(np.abs(audio) > 0.999) < 0.001, f"{clip.name} is clipped"


def bitrates(path):
    """Bit rates (kbit/s) of all frames of an MPEG-2 layer III file."""
    table = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    data, position, found = path.read_bytes(), 0, set()
    while position + 4 <= len(data):
        assert data[position] == 0xFF and data[position + 1] & 0xE0 == 0xE0, f"no frame at byte {position}"
        rate = table[data[position + 2] >> 4]
        padding = data[position + 2] >> 1 & 1
        found.add(rate)
        position += 72 * rate * 1000 // 16_000 + padding
    return found


def test_names_say_artist_song_and_excerpt(made):
    for row in annotations(made):
        folder, name = row["mp3_path"].split("/")
        parsed = clip_names.parse(row["mp3_path"])
        assert folder in "0123456789abcdef" and len(folder) == 1
        assert name == name.lower() and " " not in name
        assert (parsed.start, parsed.end) in demo_dataset.EXCERPTS
        assert parsed.song.startswith(f"{parsed.artist}-")
        assert (Artifacts(made).mp3_files / row["mp3_path"]).exists()


def test_annotations_have_the_originals_layout(made):
    text = Artifacts(made).annotations.read_bytes().decode("utf-8")
    lines = text.split("\n")
    assert lines[-1] == "" and "\r" not in text
    assert len(lines) == 2 + 2 * PIECES
    for line in lines[:-1]:
        assert all(field[0] == field[-1] == '"' for field in line.split("\t"))
    rows = annotations(made)
    columns = list(rows[0])
    assert columns[0] == "clip_id" and columns[-1] == "mp3_path"
    assert {"hard rock", "acoustic guitar", "middle eastern"} <= set(columns)
    assert len(set(columns)) == len(columns)
    assert {value for row in rows for value in list(row.values())[1:-1]} == {"0", "1"}
    assert [row["clip_id"] for row in rows] == [str(k + 1) for k in range(2 * PIECES)]


def test_same_seed_same_bytes_and_piece_k_whatever_their_number(made, tmp_path):
    command("--root", tmp_path, "--pieces", 2)
    first, second = digests(made), digests(tmp_path)
    clips = [name for name in second if name.endswith(".mp3")]
    assert len(clips) == 4
    assert all(second[name] == first[name] for name in clips)
    longer = Artifacts(made).annotations.read_text().splitlines()
    assert Artifacts(tmp_path).annotations.read_text().splitlines() == longer[:5]


def test_another_seed_gives_other_music():
    one, other = demo_dataset.plan(7, 1), demo_dataset.plan(7, 2)
    for first, second in zip(one, other, strict=True):
        notes = [[part.notes for part in demo_dataset.score_of(piece)[0].parts] for piece in (first, second)]
        assert first.genre == second.genre
        assert notes[0] != notes[1]


def test_two_clips_of_a_piece_differ(made):
    by_song = {}
    for path, digest in digests(made).items():
        by_song.setdefault(clip_names.parse(path).song, set()).add(digest)
    assert sorted(len(found) for song, found in by_song.items() if "-" in song) == [2] * PIECES


def test_goes_on_where_it_was_interrupted(root, capsys):
    before = digests(root)
    for clip in sorted(Artifacts(root).mp3_files.rglob("*-0-29.mp3"))[:2]:
        clip.unlink()
    Artifacts(root).annotations.unlink()
    kept = {path: path.stat().st_mtime_ns for path in Artifacts(root).mp3_files.rglob("*.mp3")}
    command("--root", root, "--pieces", PIECES)
    assert "4 clips done, 2 to do" in capsys.readouterr().out
    assert digests(root) == before
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_other_settings_are_refused_and_overwrite_replaces_them(root):
    before = digests(root)
    with pytest.raises(PipelineError, match=r"pieces = 3.*pieces = 1.*--overwrite"):
        command("--root", root, "--pieces", 1)
    with pytest.raises(PipelineError, match=r"seed = 10.*seed = 11"):
        command("--root", root, "--pieces", PIECES, "--seed", 11)
    assert digests(root) == before
    own = Artifacts(root).mp3_files / "own" / "own.mp3"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    command("--root", root, "--pieces", 1, "--overwrite")
    assert own.read_bytes() == b"mine"
    assert len(digests(root)) == 4
    assert read_json(Artifacts(root).demo_manifest, "")["settings"]["pieces"] == 1


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_data_set_it_did_not_make_is_left_alone(tmp_path, overwrite):
    files = Artifacts(tmp_path)
    files.mp3_files.mkdir(parents=True)
    (files.mp3_files / "mine.mp3").write_bytes(b"mine")
    with pytest.raises(PipelineError, match="was not made by this script"):
        command("--root", tmp_path, "--pieces", 1, *overwrite)
    assert [path.name for path in (tmp_path / "datasets").rglob("*")] == ["mp3_files", "mine.mp3"]


def test_annotations_put_in_place_of_its_own_are_left_alone(root):
    text = '"clip_id"\t"rock"\t"mp3_path"\n"1"\t"1"\t"a/real.mp3"\n'
    Artifacts(root).annotations.write_text(text)
    with pytest.raises(PipelineError, match=r"annotations_final\.csv was not made by this script"):
        command("--root", root, "--pieces", PIECES, "--overwrite")
    assert Artifacts(root).annotations.read_text() == text


@pytest.mark.parametrize("pieces", ["0", "-3", "1.5", "many", ""])
def test_bad_number_of_pieces(pieces, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command("--root", tmp_path, f"--pieces={pieces}")
    assert stop.value.code == 2
    assert "not a whole number of pieces" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bad_sound_fonts(tmp_path):
    with pytest.raises(PipelineError, match="There is no sound font"):
        command("--root", tmp_path / "root", "--pieces", 1, "--soundfont", tmp_path / "none.sf2")
    (tmp_path / "text.sf2").write_text("not a font")
    with pytest.raises(PipelineError, match="is not a SoundFont 2 file"):
        command("--root", tmp_path / "root", "--pieces", 1, "--soundfont", tmp_path / "text.sf2")
    assert not (tmp_path / "root").exists()


def test_sound_fonts_are_recorded(tmp_path):
    font = shutil.copy(synthesis.default_soundfont(), tmp_path / "mine.sf2")
    command("--root", tmp_path / "root", "--pieces", 1, "--soundfont", font)
    settings = read_json(Artifacts(tmp_path / "root").demo_manifest, "")["settings"]
    assert [name.split()[0] for name in settings["soundfonts"]] == ["mine.sf2"]


def test_help_is_quick():
    start = time.monotonic()
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert "--soundfont" in done.stdout and "default: 120" in done.stdout
    assert time.monotonic() - start < 5  # 0.2 s on an idle machine


# ------------------------------------------------------------------------------------------------------- the plan


def test_the_default_plan_has_enough_of_everything():
    pieces = demo_dataset.plan(120, 10)
    clips = Counter(piece.genre for piece in pieces)
    assert len({piece.song for piece in pieces}) == 120
    assert len({path for piece in pieces for _, path in piece.clips()}) == 240
    assert all(2 * clips[genre] >= 28 for genre in GENRES)
    assert clips["other"] >= 5
    for genre in GENRES:
        artists = Counter(piece.artist for piece in pieces if piece.genre == genre)
        assert len(artists) >= 5 and min(artists.values()) >= 2
    assert {piece.genre for piece in pieces[:7]} == {*GENRES, "other"}


def test_tags_leave_step_3_something_to_decide():
    pieces = demo_dataset.plan(120, 10)
    several = Counter()
    for piece in pieces:
        for tags in demo_dataset.tags_of(piece):
            six = [genre for genre in PRIORITY if genre in tags]
            assert (six[0] if six else "other") == piece.genre
            assert tags <= set(demo_dataset.tag_columns())
            several[tuple(six)] += 1
    assert several[("baroque", "classical")] >= 5
    assert several[("opera", "classical")] >= 5
    assert several[()] >= 10


# ------------------------------------------------------------------------------------------ hallmarks of the genres

EVERY_STYLE = sorted(
    {style for styles in demo_styles.STYLES.values() for style in styles}, key=lambda style: style.__name__
)


@pytest.mark.parametrize("style", EVERY_STYLE, ids=lambda style: style.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_every_style_fills_a_minute(style, seed):
    rng = random.Random(seed)
    score = style(rng)
    played = composer.perform(score, rng)
    assert played.get_end_time() > 58
    for part in score.parts:
        assert part.notes, "a part has nothing to play"
        assert all(0 < note.pitch < 127 and note.length > 0 and note.beat >= 0 for note in part.notes)
    for start, _ in demo_dataset.EXCERPTS:
        clip = composer.excerpt(played, start, synthesis.SECONDS)
        assert sum(len(part.notes) for part in clip.instruments) > 10
        assert min(note.start for part in clip.instruments for note in part.notes) >= 0
        assert clip.get_end_time() == pytest.approx(synthesis.SECONDS, abs=0.01)


def part_of(score, *programs):
    return next(part for part in score.parts if part.program in programs)


def test_medieval_drone_is_held_and_the_melody_modal():
    score = demo_styles.estampie(random.Random(3))
    drones = [part for part in score.parts if part.notes and all(note.length > 11 for note in part.notes)]
    assert len(drones) == 1
    pitches = sorted({note.pitch for note in drones[0].notes})
    assert len(pitches) == 2 and pitches[1] - pitches[0] == 7, "tonic and fifth"
    tonic = pitches[0] % 12
    scale = {(note.pitch - tonic) % 12 for note in score.parts[0].notes}
    assert any(scale <= set(composer.MODES[mode]) for mode in ("dorian", "mixolydian"))


def test_baroque_bass_falls_by_fifths():
    key = composer.Key(0, "major")
    chords = [composer.triad(key, degree, beat, 1) for beat, degree in enumerate(demo_styles.BAROQUE[0])]
    roots = [chord.tones[0] for chord in chords]
    moves = {(later - earlier) % 12 for earlier, later in itertools.pairwise(roots)}
    assert moves <= {5, 6}, "up a fourth is down a fifth; one is diminished"


def test_baroque_second_voice_imitates_the_first():
    score = demo_styles.trio_sonata(random.Random(1))
    first, second = score.parts[0].notes, score.parts[1].notes
    delay = second[0].beat - first[0].beat
    assert delay in (2, 4)
    assert [note.beat - delay for note in second] == [note.beat for note in first[: len(second)]]


def test_classical_left_hand_plays_alberti_bass():
    key = composer.Key(0, "major")
    notes = composer.broken_chords([composer.triad(key, 0, 0, 4)], 48, 67, 0.5)
    low, high, middle, again = (note.pitch for note in notes[:4])
    assert low < middle < high == again
    assert [note.pitch for note in notes[4:]] == [low, high, middle, high]


def test_opera_has_a_singer_above_an_accompaniment():
    for seed in range(6):
        score = demo_styles.aria(random.Random(seed))
        singer = part_of(score, 53)
        low, high = demo_styles.RANGES[singer.singer]
        assert all(low <= note.pitch <= high for note in singer.notes)
        assert singer.vibrato >= 0.25 and len(score.parts) >= 3
        assert any(note.length >= 3 for note in singer.notes), "sustained notes"


def test_jazz_swings_over_a_walking_bass():
    score = demo_styles.combo(random.Random(2))
    drums = part_of(score, composer.DRUMS).notes
    rides = Counter(round(note.beat % 4, 2) for note in drums if note.pitch in (demo_styles.RIDE, demo_styles.BRUSH))
    late = [offset for offset in rides if offset % 1]
    assert len(late) == 2 and all(0.58 < offset % 1 < 0.7 for offset in late)
    hats = Counter(note.beat % 4 for note in drums if note.pitch == demo_styles.PEDAL_HAT)
    assert set(hats) == {1.0, 3.0}
    bass = part_of(score, 32).notes
    assert [note.beat for note in bass[:8]] == [0, 1, 2, 3, 4, 5, 6, 7]


def test_rock_has_a_backbeat_and_power_chords():
    score = demo_styles.hard_rock(random.Random(0))
    snares = Counter(note.beat % 4 for note in part_of(score, composer.DRUMS).notes if note.pitch == demo_styles.SNARE)
    assert {beat for beat, _ in snares.most_common(2)} == {1.0, 3.0}
    guitar = part_of(score, 29, 30).notes
    first = sorted(note.pitch for note in guitar if note.beat == guitar[0].beat)[:3]
    assert [pitch - first[0] for pitch in first] == [0, 7, 12]


# ------------------------------------------------------------------------------------------------------- synthesis


def test_a_sung_note_has_its_pitch_and_vibrato():
    import pretty_midi

    part = pretty_midi.Instrument(53, name="sing tenor 1 0.40")
    part.notes = [pretty_midi.Note(100, 57, 1.0, 20.0)]
    audio = synthesis.sing(part, np.random.default_rng(0))
    assert audio.shape == (synthesis.SAMPLES,)
    middle = audio[4 * 16_000 : 18 * 16_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    frequency = np.fft.rfftfreq(len(middle), 1 / 16_000)
    band = (frequency > 180) & (frequency < 260)
    centre = np.average(frequency[band], weights=spectrum[band] ** 2)
    assert centre == pytest.approx(220, rel=0.02)
    spread = np.sqrt(np.average((frequency[band] - centre) ** 2, weights=spectrum[band] ** 2))
    assert spread > 2, "the pitch trembles"
    assert np.sqrt(np.mean(audio[-5 * 16_000 :] ** 2)) < 0.01 * np.sqrt(np.mean(middle**2)), "silent after the note"


def test_recordings_are_within_bounds_and_differ():
    music = np.sin(np.arange(synthesis.SAMPLES) * 2 * np.pi * 440 / 16_000).astype(np.float32) * 0.1
    heard = {}
    for name in synthesis.RECORDINGS:
        heard[name] = synthesis.record(music, name, np.random.default_rng(1))
        assert heard[name].shape == (synthesis.SAMPLES,)
        assert 0.299 <= np.abs(heard[name]).max() <= 0.92 + 1e-6
    assert len({audio.tobytes() for audio in heard.values()}) == len(synthesis.RECORDINGS)


def test_recording_silence_stays_finite():
    heard = synthesis.record(np.zeros(synthesis.SAMPLES, np.float32), "hall", np.random.default_rng(1))
    assert np.isfinite(heard).all()


def test_the_script_is_short():
    assert len(Path(SCRIPT).read_text().splitlines()) < 100
