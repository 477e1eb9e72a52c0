"""Check that the tables of steps 2 to 4 are whole and match each other and the spectrograms: step 1's --check."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import (
    STEP_2,
    STEP_3,
    STEP_4,
    Artifacts,
    PipelineError,
    fingerprint,
    read_genres,
    read_json,
    read_table,
)
from music_featurization.command_line import plural
from music_featurization.dataset import published_split, split
from music_featurization.dataset.tags import GENRE_COLUMNS, TAGGED_COLUMNS

if TYPE_CHECKING:
    import pandas


def check(artifacts: Artifacts, spectrograms: Collection[str]) -> Iterator[tuple[Path, str | None]]:
    """Yield every table that exists, relative to the root, and its problem and the step to run, or None."""
    checks: list[tuple[str, list[Path], Callable[[Artifacts, Collection[str]], str | None]]] = [
        (STEP_2, [artifacts.tagged], _problem_of_tags),
        (STEP_3, [artifacts.genres], _problem_of_genres),
        (STEP_4, [artifacts.split(part) for part in split.PARTS], _problem_of_split),
    ]
    for step, tables, find_problem in checks:
        if any(table.exists() for table in tables):
            try:
                problem = find_problem(artifacts, spectrograms)
                problem = problem and f"{problem}. Run {step} --overwrite."
            except PipelineError as error:  # it names the file and the step
                problem = str(error)
            for table in tables:
                yield table.relative_to(artifacts.root), problem
                problem = None  # of the three parts together: reported once


def _problem_of_tags(artifacts: Artifacts, spectrograms: Collection[str]) -> str | None:
    table = read_table(artifacts.tagged, TAGGED_COLUMNS, STEP_2)
    read_json(artifacts.tagged_settings, STEP_2)
    if table.duplicated().any():
        return f"the row {', '.join(table[table.duplicated()].iloc[0])} is there twice"
    return _without_spectrogram(table, spectrograms)


def _problem_of_genres(artifacts: Artifacts, spectrograms: Collection[str]) -> str | None:
    table = read_table(artifacts.genres, GENRE_COLUMNS, STEP_3)
    classes = read_genres(artifacts.genres_settings, STEP_3)
    split.refuse_wrong_labels(table, classes, artifacts.genres, STEP_3)
    record = read_json(artifacts.genres_settings, STEP_3)
    return _source_changed(record, artifacts.tagged) or _clip_twice(table) or _without_spectrogram(table, spectrograms)


def _problem_of_split(artifacts: Artifacts, spectrograms: Collection[str]) -> str | None:
    import pandas

    table = pandas.concat([split.read_part(artifacts, part)[list(GENRE_COLUMNS)] for part in split.PARTS])
    record = read_json(artifacts.split_settings, STEP_4, settings=dict)
    split_from = record["settings"].get("split_from")
    if not isinstance(split_from, str | None):
        return f"in {artifacts.split_settings.name}, split_from is not a path"
    published = published_split.files(Path(split_from)) if split_from else []
    problem = _clip_twice(table) or _source_changed(record, artifacts.genres, *published)
    if problem or not artifacts.genres.exists():
        return problem
    whole = read_table(artifacts.genres, GENRE_COLUMNS, STEP_3)[list(GENRE_COLUMNS)]
    foreign = table.merge(whole, how="left", indicator=True)["_merge"].to_numpy() == "left_only"
    if foreign.any():
        return f"{table['spectrogram'].iloc[foreign.argmax()]} is not the same in {artifacts.genres.name}"
    missing = len(whole) - len(table)
    if missing and not split_from:  # a published split may leave clips out
        return f"in no part: {plural(missing, 'clip')} of {artifacts.genres.name}"
    return None


def _source_changed(record: dict, *sources: Path) -> str | None:
    changed = all(source.exists() for source in sources) and record.get("inputs") != fingerprint(*sources)
    names = sources[0].name + (" or published split" if len(sources) > 1 else "")
    return f"made from another {names}, or that was changed since" if changed else None


def _clip_twice(table: pandas.DataFrame) -> str | None:
    again = table["spectrogram"].duplicated()
    return f"{table['spectrogram'][again].iloc[0]} is there twice" if again.any() else None


def _without_spectrogram(table: pandas.DataFrame, spectrograms: Collection[str]) -> str | None:
    absent = table["spectrogram"][~table["spectrogram"].isin(spectrograms)]
    if absent.empty or not spectrograms:  # before step 1 was run, step 2 lists all annotated clips
        return None
    return f"{plural(absent.nunique(), 'clip')} without a spectrogram, such as {absent.iloc[0]}"
