"""Read a published split: the original's `{train,val,test}_files.txt` and `_labels.txt`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import STEP_3, PipelineError
from music_featurization.command_line import plural
from music_featurization.dataset import clip_names, genres

if TYPE_CHECKING:
    import pandas


PARTS = ("train", "val", "test")
COPY_AGAIN = "Copy the published files again."


def files(folder: Path) -> list[Path]:
    """Return the paths of the six files."""
    return [path for part in PARTS for path in _files_of(folder, part)]


def _files_of(folder: Path, part: str) -> tuple[Path, Path]:
    return folder / f"{part}_files.txt", folder / f"{part}_labels.txt"


def require_files(folder: Path) -> list[Path]:
    """Return the paths of the six files; raise a PipelineError that names one that is missing."""
    paths = files(folder)
    for path in paths:
        if not path.is_file():
            raise PipelineError(f"{path} does not exist. --split-from needs a folder with six such files.")
    return paths


def read(table: pandas.DataFrame, folder: Path) -> tuple[dict[str, pandas.DataFrame], list[str]]:
    """Split a table of clips as published.

    Parameters
    ----------
    folder : Path
        Contains the six files. A line of `_files.txt` is `genre.<clip_id>_<name>.jpg`, of `_labels.txt` its label.

    Returns
    -------
    parts : dict of str to pandas.DataFrame
        `train`, `val`, `test`; each clip with the genre it has in `table`.
    remarks : list of str
        What is missing or differs.
    """
    keys = table["clip_id"].astype(str) + "_" + table["spectrogram"].map(clip_names.stem).map(clip_names.composed)
    row_of = dict(zip(keys, table.index, strict=True))
    parts: dict[str, pandas.DataFrame] = {}
    remarks: list[str] = []
    part_of: dict[str, str] = {}
    for part in PARTS:
        listed = _read_part(folder, part)
        for key in listed:
            if part_of.setdefault(key, part) != part:
                parts_of_clip = f"{part_of[key]}_files.txt and {part}_files.txt"
                raise PipelineError(f"{folder}: {key} is in both {parts_of_clip}. {COPY_AGAIN}")
        parts[part] = table.loc[sorted({row_of[key] for key in listed if key in row_of})]
        if parts[part].empty:
            raise PipelineError(
                f"None of the {plural(len(listed), 'clip')} in {folder}/{part}_files.txt is among the clips of "
                f"{STEP_3}. Give the folder of a split of this data set, or leave --split-from out."
            )
        remarks += [f"{part}: {remark}" for remark in _differences(listed, row_of, table["genre"])]
    left_over = len(table) - sum(map(len, parts.values()))
    if left_over:
        remarks.append(f"left out, in no part of the published split: {plural(left_over, 'clip')}")
    return parts, remarks


def _differences(listed: dict[str, str], row_of: dict[str, int], ours: pandas.Series) -> list[str]:
    remarks = []
    if missing := [key for key in listed if key not in row_of]:
        remarks.append(f"{len(missing)} of {plural(len(listed), 'listed clip')} missing here, such as {missing[0]}")
    if differing := [key for key in listed if key in row_of and listed[key] != ours[row_of[key]]]:
        first = differing[0]
        example = f"{first}: {listed[first]} there, {ours[row_of[first]]} here"
        remarks.append(f"{plural(len(differing), 'clip')} listed with another genre ({example}); ours is kept")
    return remarks


def _read_part(folder: Path, part: str) -> dict[str, str]:
    """Read the genre by `<clip_id>_<name>`, in the order of the file; check the labels against the genres."""
    files, labels = map(_lines, _files_of(folder, part))
    if len(files) != len(labels):
        lines = f"{part}_files.txt has {len(files)} lines, {part}_labels.txt {len(labels)}"
        raise PipelineError(f"{folder}: {lines}. {COPY_AGAIN}")
    listed = {}
    for line, (file, label) in enumerate(zip(files, labels, strict=True), start=1):
        genre, dot, name = clip_names.composed(clip_names.stem(file)).partition(".")
        clip_id, underscore, _ = name.partition("_")
        if not (dot and underscore and clip_id.isdecimal()):
            problem = f"{part}_files.txt, line {line}: {file!r} is not genre.<clip_id>_<name>.jpg"
            raise PipelineError(f"{folder}/{problem}. {COPY_AGAIN}")
        if genre in genres.GENRES and label.removesuffix(".0") != str(genres.GENRES.index(genre)):
            problem = f"{part}_labels.txt, line {line}: {label!r} is not the label of {genre}"
            raise PipelineError(f"{folder}/{problem}. {COPY_AGAIN}")
        listed[name] = genre
    return listed


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path} is not UTF-8 text ({error}). {COPY_AGAIN}") from error
