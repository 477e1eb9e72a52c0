"""Make the table of tags (step 2) and the table of one genre per clip (step 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from music_featurization.artifacts import (
    STEP_1,
    STEP_2,
    Artifacts,
    PipelineError,
    fingerprint,
    is_up_to_date,
    read_table,
    recording,
    require,
    write_table,
)
from music_featurization.command_line import plural, text_table
from music_featurization.dataset import genres
from music_featurization.dataset.annotations import find_spectrograms
from music_featurization.dataset.annotations import read as read_annotations
from music_featurization.dataset.spectrogram_folder import list_spectrograms, spectrogram_name
from music_featurization.file_tree import in_a_line

if TYPE_CHECKING:
    import pandas

TAGGED_COLUMNS = ("clip_id", "spectrogram", "kind", "tag")
GENRE_COLUMNS = ("clip_id", "spectrogram", "genre", "label")
LISTED = 20  # clips outside a folder that are listed


def assign_tags(
    artifacts: Artifacts, *, merge_synonyms: bool = False, genres_from_folders: bool = False, overwrite: bool = False
) -> None:
    """Write the genre and instrument tags of every clip that has a spectrogram: step 2.

    Parameters
    ----------
    merge_synonyms : bool
        Count `genres.SYNONYMS` as one genre.
    genres_from_folders : bool
        Use the name of a clip's first folder as its genre, and no annotations.
    overwrite : bool
        Make the table again even if it is up to date or was made with other settings.
    """
    spectrograms = set(list_spectrograms(artifacts.spectrograms))
    if not spectrograms and (genres_from_folders or artifacts.mp3_files.exists()):
        raise PipelineError(f"{artifacts.spectrograms} contains no spectrogram. Run {STEP_1} first.")
    settings = {"merge_synonyms": merge_synonyms, "genres_from_folders": genres_from_folders}
    use_annotations = not genres_from_folders and artifacts.annotations.exists()
    inputs = fingerprint(*([artifacts.annotations] if use_annotations else []), text="\n".join(sorted(spectrograms)))
    if is_up_to_date([artifacts.tagged], artifacts.tagged_settings, settings, inputs, overwrite):
        return
    if genres_from_folders:
        table = _folder_tags(spectrograms)
    else:
        table = _annotated_tags(artifacts, spectrograms, merge_synonyms)
    if table.empty:
        raise PipelineError(
            f"No clip of {artifacts.annotations} that has a spectrogram has a genre or instrument tag "
            "(music_featurization.dataset.genres lists them). Check its columns, and run this step again."
        )
    with recording(artifacts.tagged_settings, settings, inputs):
        write_table(artifacts.tagged, table)
    print(f"{plural(len(table), 'tag')} of {plural(table['clip_id'].nunique(), 'clip')}: {artifacts.tagged}")


def _folder_tags(spectrograms: set[str]) -> pandas.DataFrame:
    loose = sorted(path for path in spectrograms if "/" not in path)
    if len(loose) == len(spectrograms):
        raise PipelineError(
            f"{in_a_line(_clips(loose)[0])} is in no folder that names its genre "
            f"({plural(len(loose), 'such clip')}). "
            f"Put the clips into mp3_files/<genre>/ and run {STEP_1} again."
        )
    _name_some("in no folder that names a genre, skipped", _clips(loose), most=LISTED)
    table = folder_tag_table(spectrograms)
    for genre, count in table["tag"].value_counts().sort_index().items():
        print(f"{in_a_line(str(genre))}: {plural(count, 'clip')}")
    return table


def _annotated_tags(artifacts: Artifacts, spectrograms: set[str], merge: bool) -> pandas.DataFrame:
    clips, tags = read_annotations(artifacts.annotations)
    clips["spectrogram"] = clips["mp3_path"].map(spectrogram_name)
    if spectrograms:
        clips["spectrogram"] = find_spectrograms(clips, spectrograms, artifacts.annotations)
        exists = clips["spectrogram"].isin(spectrograms)
        _name_some("annotated, but without a spectrogram, skipped", clips["mp3_path"][~exists])
        others = sorted(spectrograms - set(clips["spectrogram"]))
        _name_some("with a spectrogram, but not annotated, skipped", _clips(others))
        clips, tags = clips[exists], tags[exists]
    else:
        print(f"There are no spectrograms yet: all annotated clips are listed. Run {STEP_1} to train.")
    if merge:
        tags, added = merge_synonyms(tags)
        print("synonyms add " + ", ".join(f"{plural(count, 'clip')} to {genre}" for genre, count in added.items()))
    return tag_table(clips, tags)


def _name_some(what: str, names: Sequence[str] | pandas.Series, most: int = 3) -> None:
    """Print how many clips there are of a kind, if any, and the names of the first."""
    if len(names):
        listed = in_a_line(", ".join(list(names)[:most]))
        print(f"{plural(len(names), 'clip')} {what}: {listed}{', ...' if len(names) > most else ''}")


def _clips(spectrograms: Iterable[str]) -> list[str]:
    """Return the paths of spectrograms as people know the clips: without the ending."""
    return [path.removesuffix(".npy") for path in spectrograms]


def tag_table(clips: pandas.DataFrame, tags: pandas.DataFrame) -> pandas.DataFrame:
    """Make a table (TAGGED_COLUMNS) of one row per clip and tag that counts, in the order of the genres module.

    Parameters
    ----------
    clips : pandas.DataFrame
        `clip_id` and `spectrogram`.
    tags : pandas.DataFrame, bool
        One column per tag, rows as in `clips`.
    """
    import pandas

    kinds = dict.fromkeys(genres.GENRE_TAGS, "genre") | dict.fromkeys(genres.INSTRUMENT_TAGS, "instrument")
    counted = [tag for tag in kinds if tag in tags]
    rows, columns = np.nonzero(tags[counted].to_numpy(dtype=bool).reshape(len(tags), len(counted)))
    table = clips[["clip_id", "spectrogram"]].iloc[rows].reset_index(drop=True)
    names = np.array(counted, dtype=object)[columns]
    return table.assign(kind=pandas.Series([kinds[name] for name in names], dtype=object), tag=names)


def folder_tag_table(spectrograms: Iterable[str]) -> pandas.DataFrame:
    """Make the table of clips whose first folder is their genre; the clip_id is the position, from 1, by path."""
    import pandas

    paths = sorted(path for path in spectrograms if "/" in path)
    tags = [genres.tag_name(path.split("/")[0]) for path in paths]
    return pandas.DataFrame(
        {"clip_id": range(1, len(paths) + 1), "spectrogram": paths, "kind": "genre", "tag": tags},
        columns=TAGGED_COLUMNS,
    )


def merge_synonyms(tags: pandas.DataFrame) -> tuple[pandas.DataFrame, dict[str, int]]:
    """Set a genre's tag wherever one of its synonyms is set, and drop the synonyms.

    Return the tags, and the number of clips that each genre gains.
    """
    tags, added = tags.copy(), {}
    for genre, synonyms in genres.SYNONYMS.items():
        present = [synonym for synonym in synonyms if synonym in tags]
        before = tags[genre] if genre in tags else np.zeros(len(tags), dtype=bool)
        after = before | tags[present].any(axis=1)
        added[genre] = int(after.sum() - before.sum())
        tags[genre] = after
        tags = tags.drop(columns=present)
    return tags, added


def choose_genres(artifacts: Artifacts, *, priority: Sequence[str] = genres.PRIORITY, overwrite: bool = False) -> None:
    """Write one genre per clip, the first in order of priority: step 3.

    Raises
    ------
    PipelineError
        If a genre has no clip. Of MagnaTagATune's six, some may have none.
    """
    require(artifacts.tagged, STEP_2)
    classes = genres.label_order(priority)
    settings, inputs = {"genres": list(classes), "priority": list(priority)}, fingerprint(artifacts.tagged)
    if is_up_to_date([artifacts.genres], artifacts.genres_settings, settings, inputs, overwrite):
        return
    tagged = read_table(artifacts.tagged, TAGGED_COLUMNS, STEP_2)
    table = one_genre_per_clip(tagged, priority)
    present = sorted(set(tagged["tag"][tagged["kind"] == "genre"]))
    absent = [genre for genre in priority if genre not in present]
    if table.empty or (absent and set(priority) != set(genres.GENRES)):
        raise PipelineError(
            f"No clip has the genre {' or '.join(absent)}. The genres that exist are: {', '.join(present) or 'none'}. "
            "Give a genre whose name contains a comma in a text file, one genre a line: --genres FILE."
        )
    with recording(artifacts.genres_settings, settings, inputs):
        write_table(artifacts.genres, table)
    counts = table["genre"].value_counts().reindex(list(classes), fill_value=0)
    rows = [(genre, label, counts[genre]) for label, genre in enumerate(classes)]
    print(text_table([("genre", "label", "clips"), *rows, ("all", "", len(table))]))
    print(artifacts.genres)
    if (counts == 0).any():
        print(f"no clip at all: {', '.join(counts.index[counts == 0])}")


def one_genre_per_clip(tagged: pandas.DataFrame, priority: Sequence[str]) -> pandas.DataFrame:
    """Choose for each clip in a `tag_table` the first of its genres in order of priority.

    Returns
    -------
    pandas.DataFrame
        GENRE_COLUMNS, one row per clip that has one of the genres, sorted by clip_id; labels by `genres.label_order`.
    """
    rank = {genre: position for position, genre in enumerate(priority)}
    labels = {genre: label for label, genre in enumerate(genres.label_order(priority))}
    table = tagged[(tagged["kind"] == "genre") & tagged["tag"].isin(rank)]
    table = table.assign(number=table["clip_id"].astype("int64"), rank=table["tag"].map(rank))
    table = table.sort_values(["number", "rank"], kind="stable").drop_duplicates("number")
    table = table.rename(columns={"tag": "genre"}).assign(label=table["tag"].map(labels))
    return table[list(GENRE_COLUMNS)].reset_index(drop=True)
