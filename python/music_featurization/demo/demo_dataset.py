"""Make the demo data set: plan its pieces, name and tag them, and write the files."""

import csv
import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from music_featurization.artifacts import (
    STEP_0,
    Artifacts,
    PipelineError,
    fingerprint,
    read_json,
    remove_unfinished,
    replacing,
    require_same_settings,
    write_json,
)
from music_featurization.command_line import plural, progress
from music_featurization.dataset.genres import GENRE_TAGS, INSTRUMENT_TAGS
from music_featurization.demo import composer, synthesis
from music_featurization.demo.instruments import INSTRUMENTS
from music_featurization.demo.styles import STYLES

COMPOSER = 2  # raise it when the same seed no longer gives the same music
# Unbalanced as in reality; every genre comes early, so that even a few pieces contain all of them.
ORDER = ("classical rock baroque jazz medieval opera other classical rock baroque jazz medieval "
         "opera classical rock baroque classical jazz medieval opera rock baroque classical other").split()  # fmt: skip

# Tags of MagnaTagATune that step 2 does not know.
OTHER_TAGS = """acoustic|ambient|beat|calm|chamber|chant|duet|electric|fast|female vocal|foreign|harpsichord solo|latin|
    loud|low|male vocal|mellow|modern|no vocals|old|orchestra|quiet|singing|slow|soft|solo|spanish|strange|strings|
    upbeat|vocal|vocals|weird"""
MOODS = ("slow", "fast", "quiet", "loud", "soft", "calm", "mellow", "old")

ARTISTS = {
    "classical": "quartetto_valdarno|lena_hartwig_orchestra|piotr_osinski|kammerphilharmonie_lindau|miriam_ashdown",
    "rock": "the_tin_lanterns|velvet_freight|mojave_static|harbour_lights_out|iron_magpie",
    "baroque": "accademia_della_quercia|ensemble_la_chimere|johannes_vanderlinde|the_ouse_consort|clara_weissbach",
    "jazz": "milo_draper_quartet|ines_cabrera_trio|the_blue_ferry_band|otis_langley|nordlys_jazz",
    "medieval": "vox_silvana|ensemble_trobar_clar|schola_san_leonzio|the_wandering_clerks|joculatrix",
    "opera": "teatro_della_luna|coro_montefiore|elisabetta_carraro|compagnia_serale|anton_reznik",
    "other": "glasshouse_drift|kilowatt_garden|the_heather_lane_trio|dusty_county_line|nadi_ensemble",
}
ALBUMS = """first_light|the_long_room|collected_works|at_the_mill|winter_sessions|north_windows|second_book|open_doors|
    live_at_the_granary|pieces_of_the_year"""
TITLES = {
    "classical": "allegro|andante_con_moto|minuet_and_trio|rondo|adagio|scherzo|presto|romance",
    "rock": "burning_wire|nothing_on_the_radio|last_exit|paper_king|two_wheels|louder_now|cold_engine",
    "baroque": "allemanda|corrente|adagio_e_staccato|fuga|giga|largo|sinfonia|vivace",
    "jazz": "blue_umbrella|corner_table|late_again|seven_steps_down|quiet_avenue|brass_tacks",
    "medieval": "alleluia|ductia|estampie|lamento|o_virga|stella_maris|planctus|kyrie",
    "opera": "aria|scena_e_duetto|preghiera|finale|romanza|coro|cavatina",
    "other": "drifting|open_field|signal|morning_reel|river_road|evening_raga|low_tide",
}
# Where each genre is recorded, likelier places more often.
PLACES = {
    "classical": "hall hall hall chamber church studio shellac",
    "rock": "mastered mastered mastered studio chamber hall",
    "baroque": "chamber chamber hall church church studio",
    "jazz": "studio studio mastered chamber chamber shellac",
    "medieval": "church church church hall chamber studio",
    "opera": "hall hall chamber church studio shellac",
    "other": "mastered studio chamber hall",
}


class Piece(NamedTuple):
    """One composed piece, of which two excerpts become clips."""

    number: int
    seed: int
    genre: str
    style: int  # place in STYLES[genre]
    song: str  # artist-album-NN-title

    def clips(self) -> list[tuple[int, str]]:
        """Return clip_id and mp3_path of each excerpt; the folder is a hexadecimal digit, one per album."""
        folder = hashlib.sha256(self.song.rsplit("-", 2)[0].encode()).hexdigest()[0]
        return [
            (2 * self.number + k + 1, f"{folder}/{self.song}-{start}-{start + 29}.mp3")
            for k, start in enumerate(synthesis.STARTS)
        ]


def make(root: Path, *, pieces: int, seed: int, soundfont: Sequence[Path] = (), overwrite: bool = False) -> None:
    """Make the demo data set, or the part of it that is missing; refuse a data set that was not made here.

    Parameters
    ----------
    pieces : int
        Each piece gives two clips.
    soundfont : sequence of Path
        Sound fonts (.sf2) among which the pieces are distributed; none: the one that comes with pretty_midi.
    """
    artifacts = Artifacts(root)
    fonts = [synthesis.check_soundfont(font) for font in soundfont] or [synthesis.default_soundfont()]
    names = [f"{font.name} {fingerprint(font)}" for font in fonts]
    settings = {"pieces": pieces, "seed": seed, "soundfonts": names, "composer": COMPOSER}
    planned = plan(pieces, seed)
    claim(artifacts, settings, planned, overwrite)
    wanted = {path for piece in planned for _, path in piece.clips()}
    missing = {path for path in wanted if not (artifacts.mp3_files / path).exists()}
    print(f"demo data set: {plural(len(wanted) - len(missing), 'clip')} done, {len(missing)} to do")
    make_all_clips(planned, artifacts.mp3_files, fonts, missing)
    if missing or not artifacts.annotations.exists():
        write_annotations(artifacts.annotations, planned)
    print(f"{len(wanted)} clips are in {artifacts.mp3_files}, their tags in {artifacts.annotations}")


def plan(pieces: int, seed: int) -> list[Piece]:
    """Return all pieces of a data set; piece k is the same for any number of pieces."""
    return [_piece(number, seed) for number in range(pieces)]


def _piece(number: int, seed: int) -> Piece:
    genre = ORDER[number % len(ORDER)]
    # How many pieces of the genre come before it.
    place = (number // len(ORDER)) * ORDER.count(genre) + ORDER[: number % len(ORDER)].count(genre)
    artists, rng = _words(ARTISTS[genre]), random.Random(f"name {seed} {number}")
    band, album = place % len(artists), place // len(artists)
    title = rng.choice(_words(TITLES[genre]))
    if genre in ("classical", "baroque"):
        title += f"_{rng.choice('abcdefg')}_{rng.choice(('major', 'minor'))}"
    song = f"{artists[band]}-{_words(ALBUMS)[(album // 3 + len(artists[band])) % 10]}-{album + 1:02d}-{title}"
    return Piece(number, seed, genre, (band + album) % len(STYLES[genre]), song)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split("|")]


def compose(piece: Piece) -> composer.Score:
    """Compose a piece."""
    return composer.compose(STYLES[piece.genre][piece.style], random.Random(f"music {piece.seed} {piece.number}"))


def make_clips(piece: Piece, folder: Path, soundfonts: Sequence[Path], wanted: set[str]) -> None:
    """Compose and render a piece, and write those of its clips that are wanted (paths relative to `folder`)."""
    rng = np.random.default_rng((piece.seed % 2**32, piece.number))
    soundfont, place = soundfonts[int(rng.integers(len(soundfonts)))], rng.choice(PLACES[piece.genre].split())
    clips = synthesis.render(composer.perform(compose(piece), rng), soundfont, place, rng)
    for (_, path), audio in zip(piece.clips(), clips, strict=True):
        if path in wanted:
            with replacing(folder / path) as temporary:
                synthesis.write_mp3(temporary, audio)


def make_all_clips(pieces: Sequence[Piece], folder: Path, soundfonts: Sequence[Path], wanted: set[str]) -> None:
    """Make the wanted clips on all cores."""
    from joblib import Parallel, delayed

    pieces = [piece for piece in pieces if wanted & {path for _, path in piece.clips()}]
    jobs = (delayed(make_clips)(piece, folder, soundfonts, wanted) for piece in pieces)
    # More workers than pieces would only cost their start.
    finished = Parallel(n_jobs=-1 if len(pieces) > 3 else 1, return_as="generator_unordered")(jobs)
    if pieces:
        list(progress(finished, len(pieces), "piece"))


def tag_columns() -> list[str]:
    """Return the tag columns of the annotations, as MagnaTagATune spells them."""
    counted = [tag.replace("_", " ") for tag in GENRE_TAGS + INSTRUMENT_TAGS]
    return list(dict.fromkeys(counted + _words(OTHER_TAGS)))


def tags_of(piece: Piece) -> list[set[str]]:
    """Return the tags of each clip of a piece: always its genre, and most instruments and moods, as players would."""
    score, rng = compose(piece), random.Random(f"tags {piece.seed} {piece.number}")
    style_tags = score.style.tags
    genres = set(style_tags[: rng.randint(1, len(style_tags))])
    instruments = sorted({INSTRUMENTS[part.instrument].tag for part in score.parts})
    mood = {"slow" if score.tempo < 80 else "fast" if score.tempo > 140 else rng.choice(MOODS)}
    return [
        genres | {tag for tag in instruments if rng.random() < 0.8} | (mood if rng.random() < 0.5 else set())
        for _ in synthesis.STARTS
    ]


def claim(artifacts: Artifacts, settings: dict, pieces: Sequence[Piece], overwrite: bool) -> None:
    """Check that the data set under a root was made here with these settings, or remove it if `overwrite` is set."""
    manifest = artifacts.demo_manifest
    recorded = read_json(manifest, STEP_0, settings=dict, clips=list) if manifest.exists() else {}
    clips = recorded.get("clips", [])
    if foreign := _first_not_ours(artifacts, clips, manifest.exists()):
        raise PipelineError(
            f"{foreign} was not made by this script, so it is left alone. "
            "To make the demo data set elsewhere, give another --root (make demo uses --root demo)."
        )
    if recorded and not overwrite:
        require_same_settings(artifacts.mp3_files, recorded["settings"], settings)
    if overwrite:
        for file in [artifacts.annotations, *(artifacts.mp3_files / clip for clip in clips)]:
            file.unlink(missing_ok=True)
    remove_unfinished(artifacts.mp3_files)
    write_json(manifest, {"settings": settings, "clips": [path for piece in pieces for _, path in piece.clips()]})


def _first_not_ours(artifacts: Artifacts, clips: Sequence[str], claimed: bool) -> Path | None:
    """Return the annotations or the folder of recordings if it contains others than `clips`, those made here."""
    if artifacts.annotations.exists():
        rows = artifacts.annotations.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
        if not rows or not {row.rsplit("\t", 1)[-1].strip('"') for row in rows} <= set(clips):
            return artifacts.annotations
    if not claimed and artifacts.mp3_files.exists() and any(artifacts.mp3_files.rglob("[!.]*.mp3")):
        return artifacts.mp3_files
    return None


def write_annotations(path: Path, pieces: Sequence[Piece]) -> None:
    """Write `annotations_final.csv` as MagnaTagATune's: tab-separated, every field quoted, `mp3_path` last."""
    columns = tag_columns()
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["clip_id", *columns, "mp3_path"])
        for piece in pieces:
            for (clip_id, mp3_path), tags in zip(piece.clips(), tags_of(piece), strict=True):
                writer.writerow([clip_id, *(int(tag in tags) for tag in columns), mp3_path])
