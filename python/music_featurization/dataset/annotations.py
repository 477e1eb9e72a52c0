"""Read `annotations_final.csv`, with all its quirks, and match its clips with the spectrograms."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import STEP_1, STEP_2, PipelineError
from music_featurization.dataset.clip_names import composed
from music_featurization.dataset.genres import tag_name

if TYPE_CHECKING:
    import pandas


def read(path: Path) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Read MagnaTagATune's annotations.

    Parameters
    ----------
    path : Path
        Columns `clip_id`, tags (0 or 1) and `mp3_path`, separated by tabs, commas or semicolons; quoted or not, with or
        without a byte-order mark, with any line end.

    Returns
    -------
    clips : pandas.DataFrame
        `clip_id` (int) and `mp3_path` (str), sorted by `clip_id`.
    tags : pandas.DataFrame, bool
        One column per tag, named by `genres.tag_name`, rows as in `clips`.
    """
    import pandas

    if not path.exists():
        raise PipelineError(
            f"{path} does not exist. Put MagnaTagATune's annotations_final.csv there (README, 'The data set'), "
            "run `make demo` to try everything on music that the project composes itself, "
            f"or, if the clips are in folders named by genre, run {STEP_2} --genres-from-folders."
        )
    header, separator = _header(path)
    try:
        table = pandas.read_csv(
            path,
            sep=separator,
            dtype={"clip_id": str, "mp3_path": str},
            keep_default_na=False,
            encoding="utf-8-sig",
            index_col=False,
            low_memory=False,  # otherwise a column can be numbers in one chunk of the file and text in another
        )
    except (ValueError, pandas.errors.ParserError) as error:
        raise PipelineError(f"{path} is not a readable table: {error}. Copy it from the data set again.") from error
    _require_columns(path, header)
    clips = _clips(path, table)
    tags = _tags(path, table.drop(columns=["clip_id", "mp3_path"]).loc[clips.index])
    return clips.reset_index(drop=True), tags.reset_index(drop=True)


def _header(path: Path) -> tuple[list[str], str]:
    """Return the names of the columns and the separator."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    separator = "\t"
    if separator not in first and ("," in first or ";" in first):
        separator = max(",;", key=first.count)
    return next(csv.reader([first.rstrip("\r\n")], delimiter=separator), []), separator


def _require_columns(path: Path, header: list[str]) -> None:
    if "" in header:
        raise PipelineError(
            f"{path}, column {header.index('') + 1} has no name, as if a row number had been saved with the table. "
            "Delete that column (in pandas: to_csv(..., index=False))."
        )
    for column in ("clip_id", "mp3_path"):
        if column not in header:
            raise PipelineError(
                f"{path} has no column {column}; it has {', '.join(repr(name[:30])[1:-1] for name in header[:5])}, ... "
                "The first line must be that of MagnaTagATune's annotations_final.csv."
            )


def _clips(path: Path, table: pandas.DataFrame) -> pandas.DataFrame:
    """Return `clip_id` as int and `mp3_path`, sorted, each row once."""
    wrong = ~table["clip_id"].str.fullmatch(r"\d{1,18}")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise PipelineError(f"{path}, line {row + 2}: clip_id is {table['clip_id'].iloc[row]!r}, not a whole number.")
    clips = table.drop_duplicates()[["clip_id", "mp3_path"]].astype({"clip_id": "int64"})
    twice = clips["clip_id"][clips["clip_id"].duplicated()].unique()
    if len(twice):
        raise PipelineError(
            f"{path} has different rows for one clip_id: {', '.join(map(str, twice[:5]))}"
            f"{' ...' if len(twice) > 5 else ''} ({len(twice)} ids). Each clip needs an id of its own."
        )
    return clips.sort_values("clip_id", kind="stable")


def _tags(path: Path, table: pandas.DataFrame) -> pandas.DataFrame:
    """Return the tag columns as bool, named by `tag_name`; columns that get the same name are merged."""
    import pandas

    tags: dict[str, pandas.Series] = {}
    for column in table:
        one, zero = (1, 0) if pandas.api.types.is_numeric_dtype(table[column]) else ("1", "0")
        is_set = table[column] == one
        wrong = ~is_set & (table[column] != zero)
        if wrong.any():
            row = int(table.index[wrong].min())
            raise PipelineError(f"{path}, line {row + 2}: tag {column!r} is {str(table[column][row])!r}, not 0 or 1.")
        name = tag_name(str(column))
        tags[name] = tags[name] | is_set if name in tags else is_set
    return pandas.DataFrame(tags, index=table.index)


def find_spectrograms(clips: pandas.DataFrame, spectrograms: Collection[str], path: Path) -> pandas.Series:
    """Return the path of each clip's spectrogram, which may be in another normal form of Unicode than in `clips`.

    Clips that have no spectrogram keep their path. If none has one, the PipelineError compares the paths with those of
    the annotations, which are at `path`.
    """
    by_form = {composed(name): name for name in spectrograms}
    exact = set(spectrograms)
    matches = clips["spectrogram"].map(lambda name: name if name in exact else by_form.get(composed(name), name))
    if len(clips) and not matches.isin(exact).any():
        raise PipelineError(_why_none(clips, sorted(spectrograms), path))
    return matches


def _why_none(clips: pandas.DataFrame, spectrograms: list[str], path: Path) -> str:
    by_name = {_name(composed(spectrogram)): spectrogram for spectrogram in reversed(spectrograms)}
    annotated = clips["spectrogram"].str.replace("\\", "/").map(composed)
    wanted = next((name for name in annotated if _name(name) in by_name), "")
    example = by_name.get(_name(wanted), spectrograms[0])
    advice = "Write mp3_path relative to datasets/mp3_files, with / between folders and the names that the files have"
    if wanted and composed(example).endswith(f"/{wanted}"):
        above = composed(example).removesuffix(f"/{wanted}")
        advice = f"Move what is in datasets/mp3_files/{above} to datasets/mp3_files, and run {STEP_1} --overwrite"
    return (
        f"None of the {len(clips)} clips in {path} has a spectrogram. Its first mp3_path is "
        f"{clips['mp3_path'].iloc[0]!r}; a spectrogram that exists is {example!r}. {advice}."
    )


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
