"""The genres and instruments of MagnaTagATune: which tags count, and every order and code in which they appear.

The tag lists are those of the published original, with `_` for a space.
"""

from collections.abc import Sequence

from music_featurization.dataset.clip_names import composed

# Label of each class inside the network (its position).
GENRES = ("classical", "baroque", "opera", "medieval", "jazz", "rock")

# A clip tagged with several of the six gets the first of these: the rarer and more specific genre wins.
PRIORITY = ("baroque", "medieval", "opera", "classical", "jazz", "rock")

# First column of music_dataset.csv, as the StyleSpace experiment reads it.
STYLE_SPACE_CODES = {"classical": 1, "baroque": 2, "rock": 3, "opera": 4, "medieval": 5, "jazz": 6}

GENRE_TAGS = tuple(
    """hard_rock classical funcky soft_rock jazz spacey folk new_age funk middle_eastern medieval classic electronic
    chanting opera country electro reggae tribal dark irish electronica operatic arabic trance drone heavy_metal disco
    deep jungle pop celtic orchestral eastern punk blues indian rock dance jazzy techno house oriental rap metal hip_hop
    choir baroque""".split()
)

INSTRUMENT_TAGS = tuple(
    """bongos harpsichord sitar clarinet woodwind horns guitar banjo violins synth trumpet percussion drum bass
    harpsicord drums organ acoustic_guitar electric_guitar classical_guitar violin horn synthesizer bells harp lute oboe
    viola piano flutes sax piano_solo guitars cello flute fiddle""".split()
)

# Tags that MagnaTagATune's players used for the same genre (--merge-synonyms); each key is one of the six.
SYNONYMS = {
    "baroque": (),
    "medieval": (),
    "opera": ("operatic",),
    "classical": ("classic", "clasical"),
    "jazz": ("jazzy",),
    "rock": ("hard_rock", "soft_rock"),
}


def tag_name(text: str) -> str:
    """Return the name of a tag or genre as it is compared and stored: `_` for a space, in Unicode's normal form C."""
    return composed(text.strip().replace(" ", "_"))


def label_order(genres: Sequence[str]) -> tuple[str, ...]:
    """Return genres in label order: `GENRES` if they are the six of MagnaTagATune, otherwise as they are."""
    return GENRES if set(genres) == set(GENRES) else tuple(genres)


def style_space_codes(genres: Sequence[str]) -> dict[str, int]:
    """Return the code of each genre in the first column of music_dataset.csv; label + 1 if not of the six."""
    if set(genres) <= set(GENRES):
        return STYLE_SPACE_CODES
    return {genre: label + 1 for label, genre in enumerate(genres)}
