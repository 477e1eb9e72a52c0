"""The one loader of `annotations_final.csv`: it owns every quirk of that file."""

import csv

from music_featurization.artifacts import PipelineError


def read(path):
    """Read MagnaTagATune's annotations.

    Parameters
    ----------
    path : Path
        Tab-separated (commas are understood), every field quoted or not, with or without a byte-order mark, any line
        end: `clip_id`, tag columns of 0 and 1, `mp3_path`.

    Returns
    -------
    clips : pandas.DataFrame
        `clip_id` (int) and `mp3_path` (str), sorted by `clip_id`.
    tags : pandas.DataFrame, bool
        One column per tag, spaces written as `_`, rows as in `clips`.

    Raises
    ------
    PipelineError
        If the file is missing or not such a table; the message names the line or the ids.
    """
    import pandas

    if not path.exists():
        raise PipelineError(
            f"{path} does not exist. Put MagnaTagATune's annotations_final.csv there (README, 'The data set'), "
            "run `make demo` to try everything on music that the project composes itself, "
            "or, if the clips lie in folders named by genre, run 2_assign_genre.py --genres-from-folders."
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
            low_memory=False,  # a tag column is numbers, or text if a single cell is none
        )
    except (ValueError, pandas.errors.ParserError) as error:
        raise PipelineError(f"{path} is not a readable table: {error}. Take it anew from the data set.") from error
    for column in ("clip_id", "mp3_path"):
        if column not in header:
            raise PipelineError(
                f"{path} has no column {column}; it has {', '.join(header[:5])}, ... "
                "The first line must be that of MagnaTagATune's annotations_final.csv."
            )
    clips = _clips(path, table)
    tags = _tags(path, table.drop(columns=["clip_id", "mp3_path"]).loc[clips.index])
    return clips.reset_index(drop=True), tags.reset_index(drop=True)


def _header(path):
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    separator = "\t" if "\t" in first or "," not in first else ","
    return next(csv.reader([first.rstrip("\r\n")], delimiter=separator), []), separator


def _clips(path, table):
    """`clip_id` as int and `mp3_path`, sorted, rows that stand twice taken once."""
    import pandas

    wrong = ~table["clip_id"].str.fullmatch(r"\d{1,18}")
    if wrong.any():
        line = wrong.idxmax() + 2
        raise PipelineError(f"{path}, line {line}: clip_id is {table['clip_id'][line - 2]!r}, not a whole number.")
    table = table.drop_duplicates()
    clips = pandas.DataFrame({"clip_id": table["clip_id"].astype("int64"), "mp3_path": table["mp3_path"]})
    twice = clips["clip_id"][clips["clip_id"].duplicated()].unique()
    if len(twice):
        raise PipelineError(
            f"{path} has different rows for one clip_id: {', '.join(map(str, twice[:5]))}"
            f"{' ...' if len(twice) > 5 else ''} ({len(twice)} ids). Each clip needs an id of its own."
        )
    return clips.sort_values("clip_id", kind="stable")


def _tags(path, table):
    """Tag columns as bool, under their names with `_`; columns that then have one name are merged."""
    import pandas

    tags = {}
    for column in table:
        one, zero = (1, 0) if pandas.api.types.is_numeric_dtype(table[column]) else ("1", "0")
        is_set = table[column] == one
        wrong = ~is_set & (table[column] != zero)
        if wrong.any():
            at = wrong.idxmax()
            raise PipelineError(f"{path}, line {at + 2}: tag {column!r} is {table[column][at]!r}, not 0 or 1.")
        name = column.strip().replace(" ", "_")
        tags[name] = tags[name] | is_set if name in tags else is_set
    return pandas.DataFrame(tags, index=table.index)
