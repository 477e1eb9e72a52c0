"""What a MagnaTagATune name says: `artist-album-NN-title-start-end` (start and end in seconds)."""

import re
import unicodedata
from typing import NamedTuple

EXCERPT = re.compile(r"^(?P<song>.+)-(?P<start>\d+)-(?P<end>\d+)$", re.DOTALL)


class ClipName(NamedTuple):
    """Parts of a clip's name; `start` and `end` are seconds, None where the name gives none."""

    artist: str
    song: str
    start: int | None
    end: int | None


def parse(path: str) -> ClipName:
    """Read artist, song and position from the file name of a clip or its spectrogram.

    The artist is what precedes the first `-`; the song is the name without `-start-end`.
    """
    name = stem(path)
    excerpt = EXCERPT.match(name)
    artist = name.split("-", 1)[0]
    if not excerpt:
        return ClipName(artist, name, None, None)
    return ClipName(artist, excerpt["song"], int(excerpt["start"]), int(excerpt["end"]))


def composed(text: str) -> str:
    """Return text in Unicode's normal form C: in file names, a Mac writes "é" as two characters, a keyboard as one."""
    return unicodedata.normalize("NFC", text)


def stem(path: str) -> str:
    """Return the file name without folders and without its ending (`a/b.c/x.y.mp3` gives `x.y`)."""
    name = path.rsplit("/", 1)[-1]
    head, dot, _ = name.rpartition(".")
    return head if dot and head else name
