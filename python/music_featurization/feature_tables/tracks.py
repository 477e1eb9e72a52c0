"""Recordings of one's own music: find them, each once, and name them in a table.

A track is a real file. Its name in a table is the path relative to the table's folder if the file is below that folder,
so that both can be moved together, and an absolute path otherwise. Links to folders are resolved in it. It never begins
with a character that makes a spreadsheet read a cell as a formula.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from music_featurization.artifacts import PipelineError
from music_featurization.audio import decoding
from music_featurization.file_tree import Skipped, files

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # https://owasp.org/www-community/attacks/CSV_Injection


class Track(NamedTuple):
    """A recording: its path, its name in the table, and its size in bytes and time of change when it was found."""

    path: str
    name: str
    bytes: int
    modified: str


def find(paths: Iterable[str | os.PathLike], table: Path) -> tuple[list[Track], Skipped]:
    """Find the recordings among files and folders, each real file once, for a table that will name them.

    In a folder, the files with one of `decoding.FILE_ENDINGS` are recordings. A file that is given by its own path can
    have any ending.

    Returns
    -------
    tracks : list of Track
    skipped : Skipped
        What is left out of the folders.

    Raises
    ------
    PipelineError
        If a path does not exist or a folder contains no recording.
    """
    tracks: dict[object, Track] = {}
    skipped, folder = Skipped(), _folder_of(table)
    for path in paths:
        for recording in _recordings(os.fspath(path), skipped):
            real = _resolve_folder(recording)
            key = identity(real)
            if key not in tracks or (os.path.islink(tracks[key].path) and not os.path.islink(real)):
                tracks[key] = _describe(real, folder)
    return list(tracks.values()), skipped


def _recordings(path: str, skipped: Skipped) -> list[str]:
    if not os.path.exists(path):
        raise PipelineError(f"{path or repr(path)} does not exist. Give recordings, or folders that contain some.")
    if not os.path.isdir(path):
        return [path]
    skipped_here = Skipped()
    try:
        below = [os.path.join(path, name) for name in files(path, decoding.FILE_ENDINGS, skipped_here)]
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}. Change its permissions.") from error
    if not below:
        why = "".join(f" {line}." for line in skipped_here.lines())
        raise PipelineError(
            f"{path} contains no recording ({', '.join(decoding.FILE_ENDINGS)}).{why} A file with another ending "
            "can be given by its name."
        )
    skipped.add(skipped_here, path)
    return below


def _resolve_folder(path: str | os.PathLike) -> str:
    """Resolve the links in a path, but keep the name of the file if it is a link: only that may contain the title."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _folder_of(table: Path) -> str:
    return os.path.realpath(os.path.dirname(table))


def _describe(path: str, folder: str) -> Track:
    try:
        status = os.stat(path)
    except OSError:  # reading it will say why
        return Track(path, _name(path, folder), 0, "")
    return Track(path, _name(path, folder), status.st_size, _time(status.st_mtime_ns))


def _name(path: str, folder: str) -> str:
    below = os.path.join(folder, "")
    if not path.startswith(below):
        return path
    name = path.removeprefix(below).replace(os.sep, "/")
    return f"./{name}" if name.startswith(FORMULA) else name


def _time(nanoseconds: int) -> str:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # a file can have any number
        return str(nanoseconds)


def paths_of(names: Iterable[str], table: Path) -> list[str]:
    """Return the absolute paths of tracks by their names in a table."""
    folder = _folder_of(table)
    return [os.path.normpath(os.path.join(folder, name)) for name in names]


def identity(path: str | os.PathLike) -> tuple | str:
    """Return a value that is equal for two paths if they lead to the same file at present."""
    try:
        status = os.stat(path)
    except OSError:
        return _resolve_folder(path)
    if not status.st_ino:  # a file system without such numbers
        return os.path.realpath(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns  # some file systems give a number twice


def find_recording(folder: str | os.PathLike, spectrogram: str) -> str:
    """Return the path of the recording of a spectrogram, both relative to their folders; an .mp3 if there is none."""
    base = spectrogram.removesuffix(".npy")
    paths = [base + ending for ending in (*decoding.FILE_ENDINGS, *map(str.upper, decoding.FILE_ENDINGS))]
    return next((path for path in paths if os.path.isfile(os.path.join(folder, path))), f"{base}.mp3")
