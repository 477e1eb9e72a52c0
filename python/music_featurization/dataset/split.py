"""Split the clips into train, validation and test (step 4), and read the parts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import (
    STEP_3,
    STEP_4,
    Artifacts,
    PipelineError,
    fingerprint,
    is_up_to_date,
    read_genres,
    read_table,
    recording,
    require,
    write_table,
)
from music_featurization.command_line import plural, text_table
from music_featurization.dataset import clip_names, magnatagatune, published_split
from music_featurization.dataset.tags import GENRE_COLUMNS

if TYPE_CHECKING:
    import pandas

    Parts = dict[str, pandas.DataFrame]  # rows of the table of genres, in its order

PARTS = published_split.PARTS
FEWEST_CLIPS = 10
# What follows where a part has no clip of a genre.
WITHOUT_GENRE = {
    "train": "a network cannot learn it",
    "val": "the best epoch is chosen without it",
    "test": "the report cannot measure it",
}
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # of all clips; of the others
SHARES = {  # of all clips, in the order in which the parts get a genre that has few songs
    "train": (1 - TEST_SHARE) * (1 - VALIDATION_SHARE),
    "test": TEST_SHARE,
    "val": (1 - TEST_SHARE) * VALIDATION_SHARE,
}
RANDOM_STATE = 10  # the original's
# Few groups need many shuffles, because a part easily lacks a genre with three songs. With many groups, the first
# shuffle is near enough.
SHUFFLES, NEAR_ENOUGH = 20, 0.05


def read_part(artifacts: Artifacts, part: str) -> pandas.DataFrame:
    """Read `train`, `val` or `test`: columns `clip_id, spectrogram, genre` (str) and `label` (int)."""
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


def read_classes(artifacts: Artifacts) -> tuple[str, ...]:
    """Return all genres of step 3 in label order, also those that no clip has."""
    require(artifacts.split("train"), STEP_4)
    return tuple(read_genres(artifacts.split_settings, STEP_4))


def training_fingerprint(artifacts: Artifacts) -> str:
    """Return a fingerprint of the clips that a network trains and validates on."""
    return fingerprint(artifacts.split("train"), artifacts.split("val"))


def save(
    artifacts: Artifacts,
    *,
    group_by: str | None = None,
    split_by: str | None = None,
    split_from: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Split the clips of step 3 and write the three parts: step 4. At random, unless one of three ways is given.

    Parameters
    ----------
    group_by : {"song", "artist"}, optional
        Keep all clips of a song or artist in one part.
    split_by : {"folder"}, optional
        Use MagnaTagATune's standard split.
    split_from : Path, optional
        Folder of a published split; see `published_split.read`.
    overwrite : bool
        Split again even if the split is up to date or was made in another way.
    """
    require(artifacts.genres, STEP_3)
    classes = read_genres(artifacts.genres_settings, STEP_3)
    settings = {"genres": classes, "group_by": group_by, "split_by": split_by}
    settings["split_from"] = os.path.abspath(split_from.expanduser()) if split_from else None
    published = published_split.require_files(split_from) if split_from else []
    inputs, outputs = fingerprint(artifacts.genres, *published), [artifacts.split(part) for part in PARTS]
    if is_up_to_date(outputs, artifacts.split_settings, settings, inputs, overwrite):
        return
    table = read_table(artifacts.genres, GENRE_COLUMNS, STEP_3)
    refuse_wrong_labels(table, classes, artifacts.genres, STEP_3)
    parts = _make(table, group_by, split_by, split_from)
    with recording(artifacts.split_settings, settings, inputs):
        for part in PARTS:
            write_table(artifacts.split(part), parts[part])
    print(counts_table(parts, classes))
    print(*missing_genres(parts, classes, group_by), artifacts.split_folder, sep="\n")


def _make(table: pandas.DataFrame, group_by: str | None, split_by: str | None, split_from: Path | None) -> Parts:
    if split_from:
        parts, remarks = published_split.read(table, split_from)
        print("".join(f"{remark}\n" for remark in remarks), end="")
        return parts
    if len(table) < FEWEST_CLIPS:
        raise PipelineError(
            f"{plural(len(table), 'clip')}, too few to split: at least {FEWEST_CLIPS} are needed. "
            f"Add recordings, or give more genres in {STEP_3}, and run all steps again."
        )
    if split_by:
        parts = by_folder(table)
        if foreign := (~table["spectrogram"].map(magnatagatune.is_clip)).sum():
            print(f"note: not the standard split: {foreign} of {len(table)} clips from no MagnaTagATune album")
        return parts
    if not group_by:
        return random_split(table)
    parts = grouped_split(table, group_by)
    print(f"split by {group_by}; {deviation(parts)}")
    return parts


def random_split(table: pandas.DataFrame) -> Parts:
    """Split clip by clip, as the original did: 20 % test, then 10 % of the others validation.

    If a part lacks a genre that has enough clips, each genre is split on its own.
    """
    from sklearn.model_selection import train_test_split

    parts = _split_twice(
        table, lambda clips, share: train_test_split(clips, test_size=share, random_state=RANDOM_STATE)
    )
    return _with_every_genre(parts, table, table["spectrogram"])


def grouped_split(table: pandas.DataFrame, group_by: str) -> Parts:
    """Split so that all clips of a song or artist are in one part, each genre as near to its share as that allows.

    If a part lacks a genre that has enough songs or artists, each genre is split on its own.
    """
    groups = table["spectrogram"].map(lambda path: getattr(clip_names.parse(path), group_by))

    def divide(clips: pandas.DataFrame, share: float) -> tuple[pandas.DataFrame, pandas.DataFrame]:
        fold = _nearest_fold(clips, groups[clips.index], share)
        return clips.drop(index=fold.index), fold

    parts = _with_every_genre(_split_twice(table, divide), table, groups)
    if any(part.empty for part in parts.values()):
        most = groups.groupby(table["genre"]).nunique().max()
        raise PipelineError(
            f"--group-by {group_by} needs a genre with clips of {len(PARTS)} {group_by}s or more, one for each of "
            f"{', '.join(PARTS)}; no genre has clips of more than {plural(most, group_by)}. Split without --group-by"
            f"{', or by song' if group_by == 'artist' else ''}, or add clips."
        )
    return parts


def _split_twice(
    table: pandas.DataFrame, divide: Callable[[pandas.DataFrame, float], tuple[pandas.DataFrame, pandas.DataFrame]]
) -> Parts:
    others, test = divide(table, TEST_SHARE)
    train, val = divide(others, VALIDATION_SHARE)
    return {"train": train.sort_index(), "val": val.sort_index(), "test": test.sort_index()}


def _with_every_genre(parts: Parts, table: pandas.DataFrame, groups: pandas.Series) -> Parts:
    """Return the parts, or those of `_genre_by_genre` if a part lacks a genre that has enough groups for it."""
    possible = groups.groupby(table["genre"]).nunique().clip(upper=len(PARTS))
    genres = list(possible.index)

    def rank(parts: Parts) -> tuple[bool, int]:
        return all(len(part) for part in parts.values()), int(_parts_by_genre(parts, genres).sum())

    if (_parts_by_genre(parts, genres) >= possible).all():
        return parts
    return max(parts, _genre_by_genre(table, groups), key=rank)  # the first if they are equal


def _parts_by_genre(parts: Parts, genres: Sequence[str]) -> pandas.Series:
    """Count the parts in which each genre has clips."""
    return (_counts(parts, genres) > 0).sum(axis=1)


def _genre_by_genre(table: pandas.DataFrame, groups: pandas.Series) -> Parts:
    """Split each genre on its own, the rarest first, so that train, test and val have a group of it if it has three."""
    part_of: dict[str, str] = {}
    shuffled = groups.sample(frac=1, random_state=RANDOM_STATE).groupby(table["genre"])
    for genre in shuffled.nunique().sort_values(kind="stable").index:
        sizes = shuffled.get_group(genre).value_counts(sort=False).sort_values(ascending=False, kind="stable")
        wanted = {part: share * sizes.sum() for part, share in SHARES.items()}  # clips that each part still needs
        lacking = list(SHARES)  # the parts that have no group of the genre yet
        # First the groups that a rarer genre has assigned, then the largest.
        for done, group in enumerate(sorted(sizes.index, key=lambda group: group not in part_of)):
            if group not in part_of:
                left = len(sizes) - done
                part_of[group] = lacking[0] if left <= len(lacking) else max(wanted, key=wanted.__getitem__)
            part = part_of[group]
            wanted[part] -= sizes[group]
            lacking = [name for name in lacking if name != part]
    assigned = groups.map(part_of)
    return {part: table[assigned == part] for part in PARTS}


def by_folder(table: pandas.DataFrame) -> Parts:
    """Split as MagnaTagATune's literature does: folders 0-b train, c validation, d-f test."""
    part_of = {folder: part for part, folders in magnatagatune.FOLDERS.items() for folder in folders}
    assigned = table["spectrogram"].map(lambda path: part_of.get(magnatagatune.folder(path)))
    other = table["spectrogram"][assigned.isna()]
    if len(other):
        raise PipelineError(
            f"--split-by folder needs MagnaTagATune's folders 0-9 and a-f. In other folders: {len(other)} of "
            f"{len(table)} clips, such as {other.iloc[0]}. Use --group-by song or artist for this data set."
        )
    for part, folders in magnatagatune.FOLDERS.items():
        if not (assigned == part).any():
            raise PipelineError(
                f"No clip with a genre is in the folders of {part} ({'-'.join(sorted({folders[0], folders[-1]}))}). "
                "Add MagnaTagATune's missing folders and run steps 1 to 3 again, or use --group-by song."
            )
    return {part: table[assigned == part] for part in PARTS}


def _nearest_fold(table: pandas.DataFrame, groups: pandas.Series, share: float) -> pandas.DataFrame:
    """Return, of several shuffles, the fold of about `share` that is nearest to its share of every genre."""
    available = table["genre"].value_counts()
    folds = min(round(1 / share), groups.nunique(), available.max())
    if folds < 2:
        return table.iloc[:0]
    wanted = available * share

    def distance(fold: pandas.DataFrame) -> float:
        # Rare genres count as much as frequent ones. To miss a genre costs more than to deviate; to have all of its
        # clips costs most, because none is left to learn from.
        counts = fold["genre"].value_counts().reindex(available.index, fill_value=0)
        return ((counts - wanted).abs() / wanted).mean() + (counts == 0).sum() + 100 * (counts == available).sum()

    nearest = min(_folds(table, groups, folds, RANDOM_STATE), key=distance)
    for random_state in range(RANDOM_STATE + 1, RANDOM_STATE + SHUFFLES):
        if distance(nearest) < NEAR_ENOUGH:
            break
        fold = min(_folds(table, groups, folds, random_state), key=distance)
        nearest = min(fold, nearest, key=distance)  # the first if they are equal
    return nearest


def _folds(table: pandas.DataFrame, groups: pandas.Series, folds: int, random_state: int) -> list[pandas.DataFrame]:
    from sklearn.model_selection import StratifiedGroupKFold

    kfold = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about a genre with fewer clips than folds
        return [table.iloc[rows] for _, rows in kfold.split(table, table["genre"], groups)]


def _counts(parts: Parts, classes: Sequence[str]) -> pandas.DataFrame:
    """Count the clips of each class (rows) in each part (columns)."""
    import pandas

    counts = {name: part["genre"].value_counts() for name, part in parts.items()}
    return pandas.DataFrame(counts).reindex(list(classes)).fillna(0).astype(int)


def deviation(parts: Parts) -> str:
    """Return the largest deviation of a part from its share of a genre, as text."""
    counts = _counts(parts, sorted({genre for part in parts.values() for genre in part["genre"]}))[list(SHARES)]
    total = counts.sum(axis=1)
    points = 100 * (counts.div(total, axis=0) - SHARES).unstack()
    part, genre = max(points.index, key=lambda place: abs(points[place]))
    return (
        f"furthest from its share: {genre} in {part}, {points[part, genre]:+.1f} percentage points of its "
        f"{plural(total[genre], 'clip')}"
    )


def counts_table(parts: Parts, classes: Sequence[str]) -> str:
    """Return the number of clips per genre and part, as text."""
    counts = _counts(parts, classes)
    counts.loc["all"] = counts.sum()
    return text_table([("genre", *counts), *counts.itertuples(name=None)])


def missing_genres(parts: Parts, classes: Sequence[str], group_by: str | None = None) -> list[str]:
    """Return a line for each part in which genres have no clip, and one that says what to do, if there is any."""
    counts, lines = _counts(parts, classes), []
    for part in PARTS:
        # A genre without any clip is named once, for train.
        absent = counts.index[(counts[part] == 0) & ((part == "train") | (counts.sum(axis=1) > 0))]
        if len(absent):
            lines.append(f"warning: no clip of {', '.join(absent)} is in {part}: {WITHOUT_GENRE[part]}")
    if lines:
        wider = {"artist": "split with --group-by song, ", "song": "split without --group-by, "}.get(group_by or "", "")
        lines.append(f"To change that: {wider}add clips of such a genre, or leave it out with step 3's --genres.")
    return lines
