"""Whether the tables of steps 2 to 4 are whole and fit each other and the spectrograms: step 1's --check."""

from music_featurization.artifacts import (
    STEP_2,
    STEP_3,
    STEP_4,
    PipelineError,
    fingerprint,
    read_genres,
    read_json,
    read_table,
)
from music_featurization.dataset import split
from music_featurization.dataset.tags import GENRE_COLUMNS, TAGGED_COLUMNS


def check(artifacts, spectrograms):
    """Verify the tables that there are; a step that was not run yet is no problem.

    Parameters
    ----------
    artifacts : Artifacts
    spectrograms : collection of str
        Paths of all spectrograms, relative to their folder.

    Yields
    ------
    path : Path
        Of a table.
    problem : str or None
        What is wrong with it and what to run; None if nothing is.
    """
    parts = [artifacts.split(part) for part in split.PARTS]
    yield from _problems_of([artifacts.tagged], STEP_2, lambda: _tagged(artifacts, spectrograms))
    yield from _problems_of([artifacts.genres], STEP_3, lambda: _genres(artifacts, spectrograms))
    yield from _problems_of(parts, STEP_4, lambda: _parts(artifacts))


def _problems_of(tables, step, find):
    if not any(table.exists() for table in tables):
        return
    try:
        problem = find()
    except PipelineError as error:  # it names the file and the step itself
        problem = str(error)
    else:
        problem = f"{problem}. Run {step} --overwrite." if problem else None
    for table in tables:
        yield table, problem
        problem = None  # of the three parts together: said once


def _tagged(artifacts, spectrograms):
    table = read_table(artifacts.tagged, TAGGED_COLUMNS, STEP_2)
    read_json(artifacts.tagged_settings, STEP_2)
    if table.duplicated().any():
        return f"the row {', '.join(table[table.duplicated()].iloc[0])} is there twice"
    return _without_spectrogram(table, spectrograms)


def _genres(artifacts, spectrograms):
    table = read_table(artifacts.genres, GENRE_COLUMNS, STEP_3)
    record = artifacts.genres_settings
    split.refuse_wrong_labels(table, read_genres(record, STEP_3), artifacts.genres, STEP_3)
    return (
        _made_from_another(artifacts.tagged, read_json(record, STEP_3))
        or _twice(table)
        or _without_spectrogram(table, spectrograms)
    )


def _parts(artifacts):
    import pandas

    table = pandas.concat([split.read_part(artifacts, part)[list(GENRE_COLUMNS)] for part in split.PARTS])
    made = read_json(artifacts.split_settings, STEP_4, settings=dict)
    problem = _twice(table) or _made_from_another(artifacts.genres, made)
    if problem or not artifacts.genres.exists():
        return problem
    whole = read_table(artifacts.genres, GENRE_COLUMNS, STEP_3)[list(GENRE_COLUMNS)]
    strange = table.merge(whole, how="left", indicator=True)["_merge"] == "left_only"
    if strange.any():
        return f"{table['spectrogram'].iloc[strange.to_numpy().argmax()]} does not stand so in {artifacts.genres.name}"
    missing = len(whole) - len(table)
    if missing and not made["settings"].get("split_from"):  # a published split may leave clips out
        return f"{missing} clips of {artifacts.genres.name} are in no part"
    return None


def _made_from_another(source, made):
    if source.exists() and made.get("inputs") != fingerprint(source):
        return f"made from another {source.name}, or that was changed since"
    return None


def _twice(table):
    again = table["spectrogram"].duplicated()
    return f"{table['spectrogram'][again].iloc[0]} is there twice" if again.any() else None


def _without_spectrogram(table, spectrograms):
    if not spectrograms:  # before step 1 was run, step 2 lists all annotated clips
        return None
    absent = table["spectrogram"][~table["spectrogram"].isin(spectrograms)]
    return f"{absent.nunique()} of its clips have no spectrogram, such as {absent.iloc[0]}" if len(absent) else None
