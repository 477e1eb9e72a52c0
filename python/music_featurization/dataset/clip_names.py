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


def parse(path):
    """Artist, song and position of a clip, from its file name.

    Parameters
    ----------
    path : str
        Path or name of a clip or its spectrogram, with `/` between folders, with or without a file ending.

    Returns
    -------
    ClipName
        The artist is what precedes the first `-`; the song is the name less `-start-end`.
    """
    name = stem(path)
    excerpt = EXCERPT.match(name)
    song = excerpt["song"] if excerpt else name
    start, end = (int(excerpt["start"]), int(excerpt["end"])) if excerpt else (None, None)
    return ClipName(artist=name.split("-", 1)[0], song=song, start=start, end=end)


def composed(text: str) -> str:
    """Text in Unicode's normal form C: a Mac writes "é" in names of files as two characters, a keyboard as one."""
    return unicodedata.normalize("NFC", text)


def stem(path):
    """File name without folders and without its ending (`a/b.c/x.y.mp3` gives `x.y`)."""
    name = path.rsplit("/", 1)[-1]
    head, dot, _ = name.rpartition(".")
    return head if dot and head else name
