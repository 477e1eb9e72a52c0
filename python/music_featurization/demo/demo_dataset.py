"""The demo data set: which pieces there are, who plays them, what they are called and tagged, where each clip lies."""

import csv
import hashlib
import random
from typing import NamedTuple

from music_featurization.artifacts import (
    STEP_0,
    PipelineError,
    read_json,
    remove_unfinished,
    replacing,
    require_same_settings,
    write_json,
)
from music_featurization.dataset.genres import GENRE_TAGS, INSTRUMENT_TAGS

COMPOSER = 1  # raise it when the same seed no longer gives the same music
# As unbalanced as music is, and every genre early, so that even a few pieces hold all of them.
ORDER = """classical rock baroque jazz medieval opera other classical rock baroque jazz medieval
    opera classical rock baroque classical jazz medieval opera rock baroque classical other""".split()
EXCERPTS = ((0, 29), (29, 58))  # seconds, as MagnaTagATune names them

# Tags as MagnaTagATune spells them; the original has 188, among them all of these.
OTHER_TAGS = """acoustic|ambient|beat|calm|chamber|chant|duet|electric|fast|female vocal|foreign|harpsichord solo|latin|
    loud|low|male vocal|mellow|modern|no vocals|old|orchestra|quiet|singing|slow|soft|solo|spanish|strange|strings|
    upbeat|vocal|vocals|weird"""
MOODS = ("slow", "fast", "quiet", "loud", "soft", "calm", "mellow", "old")

ARTISTS = {
    "classical": """quartetto_valdarno|lena_hartwig_orchestra|piotr_osinski|kammerphilharmonie_lindau|miriam_ashdown|
        the_halverton_players|joaquim_serra_vidal""",
    "rock": "the_tin_lanterns|velvet_freight|mojave_static|harbour_lights_out|iron_magpie|sunday_riot_club",
    "baroque": """accademia_della_quercia|ensemble_la_chimere|johannes_vanderlinde|the_ouse_consort|
        musica_antiqua_rovigo|clara_weissbach""",
    "jazz": "milo_draper_quartet|ines_cabrera_trio|the_blue_ferry_band|otis_langley|nordlys_jazz|kenji_morita_group",
    "medieval": "vox_silvana|ensemble_trobar_clar|schola_san_leonzio|the_wandering_clerks|joculatrix",
    "opera": "teatro_della_luna|coro_montefiore|elisabetta_carraro|compagnia_serale|anton_reznik",
    "other": "glasshouse_drift|kilowatt_garden|the_heather_lane_trio|dusty_county_line|nadi_ensemble",
}
ALBUMS = """first_light|the_long_room|collected_works|at_the_mill|winter_sessions|north_windows|second_book|open_doors|
    live_at_the_granary|pieces_of_the_year"""
TITLES = {
    "classical": "allegro|andante_con_moto|minuet_and_trio|rondo|adagio|scherzo|theme_and_variations|presto|romance",
    "rock": "burning_wire|nothing_on_the_radio|last_exit|runaway_summer|paper_king|two_wheels|louder_now|cold_engine",
    "baroque": "allemanda|corrente|adagio_e_staccato|fuga|giga|largo|sinfonia|passacaglia|vivace",
    "jazz": "blue_umbrella|corner_table|late_again|seven_steps_down|quiet_avenue|the_other_waltz|brass_tacks",
    "medieval": "alleluia|ductia|estampie|lamento|o_virga|stella_maris|planctus|kyrie",
    "opera": "aria|scena_e_duetto|preghiera|finale|romanza|coro|cavatina",
    "other": "drifting|open_field|signal|morning_reel|river_road|evening_raga|low_tide",
}
# Where each genre is recorded, likelier places more often.
PLACES = {
    "classical": ("hall", "hall", "hall", "chamber", "church", "studio", "shellac"),
    "rock": ("mastered", "mastered", "mastered", "studio", "chamber", "hall"),
    "baroque": ("chamber", "chamber", "hall", "church", "church", "studio"),
    "jazz": ("studio", "studio", "mastered", "chamber", "chamber", "shellac"),
    "medieval": ("church", "church", "church", "hall", "chamber", "studio"),
    "opera": ("hall", "hall", "chamber", "church", "studio", "shellac"),
    "other": ("mastered", "studio", "chamber", "hall"),
}


class Piece(NamedTuple):
    """One composed piece, of which two excerpts become clips."""

    number: int
    seed: int
    genre: str
    artist: str
    style: int  # place in demo_styles.STYLES[genre], counted on beyond its end
    song: str  # artist-album-NN-title

    def clips(self):
        """(clip_id, mp3_path) of its excerpts; the folder is a hexadecimal digit, one per album."""
        folder = hashlib.sha256(self.song.rsplit("-", 2)[0].encode()).hexdigest()[0]
        return [
            (2 * self.number + k + 1, f"{folder}/{self.song}-{start}-{end}.mp3")
            for k, (start, end) in enumerate(EXCERPTS)
        ]


def words(text):
    """Fields of a text separated by `|`."""
    return [word.strip() for word in text.split("|") if word.strip()]


def plan(pieces, seed):
    """All pieces of a data set; piece k is the same whatever the number of pieces.

    Parameters
    ----------
    pieces : int
    seed : int

    Returns
    -------
    list of Piece
    """
    return [_piece(number, seed) for number in range(pieces)]


def _piece(number, seed):
    genre = ORDER[number % len(ORDER)]
    place = (number // len(ORDER)) * ORDER.count(genre) + ORDER[: number % len(ORDER)].count(genre)
    artists = words(ARTISTS[genre])
    band, album = place % len(artists), place // len(artists)
    rng = random.Random(f"name {seed} {number}")
    # An artist is at home in two or three neighbouring styles, as real ones are.
    style = band + 2 * (album % 3)
    title = f"{rng.choice(words(TITLES[genre]))}_{rng.choice('abcdefg')}_{rng.choice(('major', 'minor'))}"
    if genre in ("rock", "jazz", "medieval", "other"):
        title = rng.choice(words(TITLES[genre]))
    song = f"{artists[band]}-{words(ALBUMS)[(album // 3 + len(artists[band])) % 10]}-{album + 1:02d}-{title}"
    return Piece(number, seed, genre, artists[band], style, song)


def score_of(piece):
    """Compose a piece.

    Returns
    -------
    demo_music.Score
    pretty_midi.PrettyMIDI
        The score as it is played.
    """
    from music_featurization.demo import composer
    from music_featurization.demo import styles as demo_styles

    rng = random.Random(f"music {piece.seed} {piece.number}")
    styles = demo_styles.STYLES[piece.genre]
    score = styles[piece.style % len(styles)](rng)
    return score, composer.perform(score, rng)


def make_clips(piece, folder, soundfonts, wanted):
    """Compose a piece, render those of its clips that are wanted, and write them.

    Parameters
    ----------
    piece : Piece
    folder : Path
        The folder `mp3_files`.
    soundfonts : list of Path
        The piece is played on one of these.
    wanted : set of str
        The paths, relative to `folder`, to write.
    """
    from music_featurization.demo import synthesis
    from music_featurization.demo.composer import excerpt

    rng = random.Random(f"recording {piece.seed} {piece.number}")
    soundfont, place = rng.choice(soundfonts), rng.choice(PLACES[piece.genre])
    _, played = score_of(piece)
    for (_, path), (start, _) in zip(piece.clips(), EXCERPTS, strict=True):
        if path in wanted:
            clip = excerpt(played, start, synthesis.SECONDS)
            audio = synthesis.perform_clip(clip, soundfont, place, (piece.seed, piece.number))
            with replacing(folder / path) as temporary:
                synthesis.write_mp3(temporary, audio)


def tag_columns():
    """The tag columns of the annotations: every tag step 2 knows and some others, as the original spells them."""
    known = [tag.replace("_", " ") for tag in GENRE_TAGS + INSTRUMENT_TAGS]
    return list(dict.fromkeys(known + words(OTHER_TAGS)))


def tags_of(piece):
    """Tags of each clip of a piece: its genre always, instruments and moods as attentively as players listen.

    Returns
    -------
    list of set of str
        One set per excerpt.
    """
    from music_featurization.demo.composer import PROGRAM_TAGS

    score, _ = score_of(piece)
    rng = random.Random(f"tags {piece.seed} {piece.number}")
    heard = sorted({PROGRAM_TAGS[part.program] for part in score.parts if part.program in PROGRAM_TAGS})
    genres = set(score.tags)
    mood = {"slow" if score.tempo < 80 else "fast" if score.tempo > 140 else rng.choice(MOODS)}
    return [
        genres | {tag for tag in heard if rng.random() < 0.8} | (mood if rng.random() < 0.5 else set())
        for _ in EXCERPTS
    ]


def claim(files, settings, pieces, overwrite):
    """Make sure that the data set under a root is this script's own and made with these settings.

    Parameters
    ----------
    files : Artifacts
    settings : dict
    pieces : list of Piece
    overwrite : bool
        Remove what was made with other settings.

    Raises
    ------
    PipelineError
        If there is a data set that was not made here, or one of other settings and `overwrite` is not set.
    """
    manifest = files.demo_manifest
    clips = read_json(manifest, STEP_0)["clips"] if manifest.exists() else []
    for foreign in _not_ours(files, clips, manifest.exists()):
        raise PipelineError(
            f"{foreign} was not made by this script, so it is left alone. "
            "To make the demo data set elsewhere, give another --root (make demo uses --root demo)."
        )
    if manifest.exists() and not overwrite:
        require_same_settings(files.mp3_files, read_json(manifest, "").get("settings"), settings)
    if overwrite:
        for made in [files.annotations, *(files.mp3_files / clip for clip in clips)]:
            made.unlink(missing_ok=True)
    remove_unfinished(files.mp3_files)
    paths = [path for piece in pieces for _, path in piece.clips()]
    write_json(manifest, {"settings": settings, "clips": paths})


def _not_ours(files, clips, claimed):
    """What of a data set is there that this script did not make, the first of it."""
    if files.annotations.exists():
        rows = files.annotations.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
        if not rows or not {row.rsplit("\t", 1)[-1].strip('"') for row in rows} <= set(clips):
            return [files.annotations]
    if not claimed and files.mp3_files.exists() and any(files.mp3_files.rglob("[!.]*.mp3")):
        return [files.mp3_files]
    return []


def write_annotations(path, pieces):
    """Write `annotations_final.csv` as MagnaTagATune's: tab-separated, every field quoted, `mp3_path` last.

    Parameters
    ----------
    path : Path
    pieces : list of Piece
    """
    columns = tag_columns()
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["clip_id", *columns, "mp3_path"])
        for piece in pieces:
            for (clip_id, mp3_path), tags in zip(piece.clips(), tags_of(piece), strict=True):
                unknown = tags - set(columns)
                if unknown:
                    raise ValueError(f"no column for the tags {sorted(unknown)}")
                writer.writerow([clip_id, *(int(tag in tags) for tag in columns), mp3_path])
