"""Train, validation and test: making the split, reading it, and reading one that was published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import STEP_4, PipelineError, fingerprint, read_genres, read_table, require
from music_featurization.dataset import clip_names, genres, magnatagatune
from music_featurization.dataset.tags import GENRE_COLUMNS

if TYPE_CHECKING:
    import pandas

PARTS = ("train", "val", "test")
# What follows where a part has no clip of a genre.
WITHOUT_GENRE = {
    "train": "a network cannot learn it",
    "val": "the best epoch is chosen without it",
    "test": "the report cannot measure it",
}
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # of all clips; of the rest
RANDOM_STATE = 10  # the original's
# Few groups want many shuffles: a genre with three songs is easily missed. With many the first is near enough.
SHUFFLES, NEAR_ENOUGH = 20, 0.05


def read_part(artifacts, part):
    """Read one part of the split.

    Parameters
    ----------
    artifacts : Artifacts
    part : str
        `train`, `val` or `test`.

    Returns
    -------
    pandas.DataFrame
        Columns `clip_id, spectrogram, genre` (str) and `label` (int).

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or a label is not that of its genre.
    """
    table = read_table(artifacts.split(part), GENRE_COLUMNS, STEP_4)
    refuse_wrong_labels(table, read_classes(artifacts), artifacts.split(part), STEP_4)
    return table


def refuse_wrong_labels(table: pandas.DataFrame, classes: Sequence[str], path: Path, made_by: str) -> None:
    """Raise a PipelineError if a clip's genre is unknown or its label is that of another genre."""
    wrong = table["genre"].map({genre: label for label, genre in enumerate(classes)}) != table["label"]
    if wrong.any():
        row = table[wrong].iloc[0]
        raise PipelineError(
            f"{path}: {row['spectrogram']} has label {row['label']} and genre {row['genre']}; the genres are "
            f"{', '.join(classes)}. Run {made_by} --overwrite."
        )


def read_classes(artifacts):
    """Genres in label order.

    Parameters
    ----------
    artifacts : Artifacts

    Returns
    -------
    tuple of str
        All classes of step 3, also those that no clip has.
    """
    require(artifacts.split("train"), STEP_4)
    return tuple(read_genres(artifacts.split_settings, STEP_4))


def training_fingerprint(artifacts):
    """Fingerprint of the clips that a network trains and validates on: tells whether it was trained on this split."""
    return fingerprint(artifacts.split("train"), artifacts.split("val"))


def random_split(table):
    """Split clip by clip, as the original did: 20 % test, then 10 % of the rest validation.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per clip, sorted by clip_id.

    Returns
    -------
    dict of str to pandas.DataFrame
        `train`, `val`, `test`, each sorted as `table` is.
    """
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(table, test_size=TEST_SHARE, random_state=RANDOM_STATE)
    train, val = train_test_split(rest, test_size=VALIDATION_SHARE, random_state=RANDOM_STATE)
    return {"train": train.sort_index(), "val": val.sort_index(), "test": test.sort_index()}


def grouped_split(table, group_by):
    """Split so that all clips of a song or artist are in one part, each genre as near to its share as that allows.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per clip, sorted by clip_id.
    group_by : str
        `song` or `artist`.

    Returns
    -------
    dict of str to pandas.DataFrame
        `train`, `val`, `test`, each sorted as `table` is.
    """
    groups = table["spectrogram"].map(lambda path: getattr(clip_names.parse(path), group_by))
    test = _fold(table, groups, TEST_SHARE)
    rest = table.drop(index=test.index)
    val = _fold(rest, groups[rest.index], VALIDATION_SHARE)
    return {"train": rest.drop(index=val.index), "val": val, "test": test}


def by_folder(table: pandas.DataFrame) -> dict[str, pandas.DataFrame]:
    """Split as MagnaTagATune's literature does: folders 0-b train, c validation, d-f test.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per clip, sorted by clip_id.

    Returns
    -------
    dict of str to pandas.DataFrame
        `train`, `val`, `test`, each sorted as `table` is.

    Raises
    ------
    PipelineError
        If a clip is in another folder, or a part has no clip.
    """
    part_of = {folder: part for part, folders in magnatagatune.FOLDERS.items() for folder in folders}
    assigned = table["spectrogram"].map(lambda path: part_of.get(magnatagatune.folder(path)))
    other = table["spectrogram"][assigned.isna()]
    if len(other):
        raise PipelineError(
            f"--split-by folder needs MagnaTagATune's folders 0-9 and a-f; {len(other)} of {len(table)} clips are in "
            f"other folders, such as {other.iloc[0]}. Use --group-by song or artist for this data set."
        )
    for part, folders in magnatagatune.FOLDERS.items():
        if not (assigned == part).any():
            raise PipelineError(
                f"No clip with a genre is in the folders of {part} ({'-'.join(sorted({folders[0], folders[-1]}))}). "
                "Add MagnaTagATune's missing folders and run steps 1 to 3 again, or use --group-by song."
            )
    return {part: table[assigned == part] for part in PARTS}


def _fold(table, groups, share):
    """The part of about `share` that comes nearest to its share of every genre, of all that some shuffles give."""
    folds = round(1 / share)
    if groups.nunique() < folds:
        raise PipelineError(
            f"{groups.nunique()} songs or artists are too few to split off {share:.0%} of them whole; "
            f"at least {folds} are needed. Split without --group-by, or by song instead of artist."
        )
    if table["genre"].value_counts().max() < folds:
        raise PipelineError(
            f"No genre has {folds} of the {len(table)} clips, too few to split off {share:.0%} in whole groups. "
            "Split without --group-by, or add clips."
        )
    wanted = table["genre"].value_counts() * share

    def distance(fold):
        # Rare genres count as much as frequent ones. Worse than any deviation: a genre of which the fold has no clip,
        # and worst one of which it has all, so that none is left to learn from.
        counts = fold["genre"].value_counts().reindex(wanted.index, fill_value=0)
        return ((counts - wanted).abs() / wanted).mean() + (counts == 0).sum() + 100 * (counts == wanted / share).sum()

    best = None
    for random_state in range(RANDOM_STATE, RANDOM_STATE + SHUFFLES):
        best = min([*_folds(table, groups, folds, random_state), *([] if best is None else [best])], key=distance)
        if distance(best) < NEAR_ENOUGH:
            break
    return best


def _folds(table, groups, folds, random_state):
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    kfold = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a genre with fewer clips than folds: `deviation` tells
        return [table.iloc[rows] for _, rows in kfold.split(table, table["genre"], groups)]


def deviation(parts):
    """How far each part is from its share of each genre.

    Parameters
    ----------
    parts : dict of str to pandas.DataFrame

    Returns
    -------
    str
        One line: the largest deviation, in percentage points of the genre's clips, and where it is.
    """
    shares = {"test": TEST_SHARE, "val": (1 - TEST_SHARE) * VALIDATION_SHARE}
    shares["train"] = 1 - sum(shares.values())
    total = sum(part["genre"].value_counts().reindex(_genres(parts), fill_value=0) for part in parts.values())
    off = {
        (name, genre): 100 * ((part["genre"] == genre).sum() / total[genre] - shares[name])
        for name, part in parts.items()
        for genre in total.index
    }
    (name, genre), points = max(off.items(), key=lambda item: abs(item[1]))
    return f"furthest from its share: {genre} in {name}, {points:+.1f} percentage points of its {total[genre]} clips"


def counts_table(parts, classes):
    """Counts per genre and part, as text.

    Parameters
    ----------
    parts : dict of str to pandas.DataFrame
    classes : sequence of str

    Returns
    -------
    str
    """
    counts = {name: part["genre"].value_counts().reindex(list(classes), fill_value=0) for name, part in parts.items()}
    width = max(len("genre"), *map(len, classes))
    rows = [("genre", *counts)] + [(genre, *(str(count[genre]) for count in counts.values())) for genre in classes]
    rows.append(("all", *(str(count.sum()) for count in counts.values())))
    return "\n".join(row[0].ljust(width) + "".join(cell.rjust(8) for cell in row[1:]) for row in rows)


def missing_genres(
    parts: dict[str, pandas.DataFrame], classes: Sequence[str], group_by: str | None = None
) -> list[str]:
    """Name the genres that have no clip in one part of the split, what follows from it, and what to do.

    Parameters
    ----------
    parts : dict of str to pandas.DataFrame
    classes : sequence of str
    group_by : {"song", "artist"}, optional
        What was kept together.

    Returns
    -------
    list of str
        One line for each part in which a genre is missing, and one with the ways out; [] where none is missing.
    """
    existing = set(_genres(parts))
    lines = []
    for part in PARTS:
        there = set(parts[part]["genre"])
        # A genre without any clip is said once, for train.
        absent = [genre for genre in classes if genre not in there and (part == "train" or genre in existing)]
        if absent:
            lines.append(f"warning: no clip of {', '.join(absent)} is in {part}: {WITHOUT_GENRE[part]}")
    if lines:
        wider = {"artist": "split with --group-by song, ", "song": "split without --group-by, "}.get(group_by, "")
        lines.append(f"To change that: {wider}add clips of it, or leave it out with step 3's --genres.")
    return lines


def _genres(parts):
    return sorted({genre for part in parts.values() for genre in part["genre"]})


def published_split(table, folder):
    """Split as published: the original's `{train,val,test}_files.txt` and `_labels.txt`.

    Parameters
    ----------
    table : pandas.DataFrame
        The clips at hand, one row per clip.
    folder : Path
        Holds the six files; each line of `_files.txt` is `genre.<clip_id>_<name>.jpg`, that of `_labels.txt` its label.

    Returns
    -------
    parts : dict of str to pandas.DataFrame
        `train`, `val`, `test`; each clip with the genre it has in `table`.
    remarks : list of str
        What was missing or differs.

    Raises
    ------
    PipelineError
        If a file is missing or malformed, a clip stands in two parts, or a part ends up without any clip.
    """
    keys = table["clip_id"].astype(str) + "_" + table["spectrogram"].map(clip_names.stem).map(clip_names.composed)
    at_hand = dict(zip(keys, table.index, strict=True))
    parts, remarks, seen = {}, [], {}
    for part in PARTS:
        listed = _published_part(Path(folder), part)
        for key in listed:
            if seen.setdefault(key, part) != part:
                raise PipelineError(f"{folder}: {key} stands in both {seen[key]}_files.txt and {part}_files.txt.")
        found = [key for key in listed if key in at_hand]
        parts[part] = table.loc[sorted({at_hand[key] for key in found})]
        missing = [key for key in listed if key not in at_hand]
        if missing:
            remarks.append(
                f"{part}: {len(missing)} of {len(listed)} listed clips are not at hand, such as {missing[0]}"
            )
        differing = [key for key in found if listed[key] != table["genre"][at_hand[key]]]
        if differing:
            example = f"{differing[0]}: {listed[differing[0]]} there, {table['genre'][at_hand[differing[0]]]} here"
            remarks.append(f"{part}: {len(differing)} clips are listed with another genre ({example}); ours is kept")
        if not len(parts[part]):
            raise PipelineError(f"None of the {len(listed)} clips of {folder}/{part}_files.txt is at hand.")
    left_over = len(table) - sum(map(len, parts.values()))
    if left_over:
        remarks.append(f"{left_over} clips at hand are in no part of the published split; they are left out")
    return parts, remarks


def _published_part(folder, part):
    """Genre by `<clip_id>_<name>`, in the order of the file; checks the labels against the genres."""
    files, labels = (_lines(folder / f"{part}_{what}.txt") for what in ("files", "labels"))
    if len(files) != len(labels):
        raise PipelineError(f"{folder}: {part}_files.txt has {len(files)} lines, {part}_labels.txt {len(labels)}.")
    listed = {}
    for line, (file, label) in enumerate(zip(files, labels, strict=True), start=1):
        genre, dot, name = clip_names.composed(clip_names.stem(file)).partition(".")
        clip_id, underscore, _ = name.partition("_")
        if not (dot and underscore and clip_id.isdecimal()):
            raise PipelineError(f"{folder}/{part}_files.txt, line {line}: {file!r} is not genre.<clip_id>_<name>.jpg.")
        if genre in genres.GENRES and label not in (str(genres.GENRES.index(genre)), f"{genres.GENRES.index(genre)}.0"):
            raise PipelineError(f"{folder}/{part}_labels.txt, line {line}: {label!r} is not the label of {genre}.")
        listed[name] = genre
    return listed


def _lines(path):
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise PipelineError(f"{path} does not exist. --split-from takes a folder with six such files.") from error
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path} is not UTF-8 text ({error}).") from error
