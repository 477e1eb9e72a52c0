"""Parse the names of MagnaTagATune's clips: `artist-album-NN-title-start-end` (start and end in seconds)."""

import re
import unicodedata
from typing import NamedTuple

EXCERPT = re.compile(r"^(?P<song>.+)-(?P<start>\d+)-(?P<end>\d+)$", re.DOTALL)
TITLED = re.compile(r"^(?P<artist>[^-]+)-.+?-\d\d-(?P<title>.+)$", re.DOTALL)


class ClipName(NamedTuple):
    """Parts of a clip's name; `start` and `end` are seconds, None where the name gives none."""

    artist: str
    song: str
    start: int | None
    end: int | None

    @property
    def seconds(self) -> int | None:
        """Return the length of the excerpt, None if the name does not give it."""
        return None if self.start is None or self.end is None else self.end - self.start


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


def readable(path: str, start: float | None = None) -> str:
    """Return the name of a clip, or of a recording named `artist - title`, as people read it.

    `start` (seconds) replaces the start in the name.

    Examples
    --------
    >>> readable("4/some_artist-an_album-03-a_title-30-59.mp3")
    'some artist · a title · 0:30'
    """
    clip = parse(path)
    titled = TITLED.match(clip.song)
    parts = [titled["artist"], titled["title"]] if titled else clip.song.split(" - ", 1)
    start = clip.start if start is None else start
    parts = [*(part.replace("_", " ").strip() for part in parts), "" if start is None else clock(start)]
    return " · ".join(part for part in parts if part)


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds, such as "1:05"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def composed(text: str) -> str:
    """Return text in Unicode's normal form C: in file names, a Mac writes "é" as two characters, a keyboard as one."""
    return unicodedata.normalize("NFC", text)


def stem(path: str) -> str:
    """Return the file name without folders and without its ending (`a/b.c/x.y.mp3` gives `x.y`)."""
    name = path.rsplit("/", 1)[-1]
    head, dot, _ = name.rpartition(".")
    return head if dot and head else name
