"""The nearest tracks to a track, by the cosine of their features."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from music_featurization.artifacts import PROVIDED_MODEL, PipelineError, fingerprint
from music_featurization.dataset.genres import GENRES
from music_featurization.feature_tables import feature_table
from music_featurization.feature_tables.feature_table import FeatureTable
from music_featurization.style_space import search


def similar(
    track: str,
    table_file: Path,
    *,
    top: int = 10,
    model: Path = PROVIDED_MODEL,
    classes: Sequence[str] = GENRES,
) -> tuple[str, FeatureTable, list[tuple[float, int]]]:
    """Find the tracks of a table that sound most like a track.

    Parameters
    ----------
    track : str
        A recording, a name in the table, or a part of one name.
    table_file : Path
        Written by featurize.py, 2-testing.py or 3-format_dataset.py.
    top : int
        Number of tracks.
    model : Path
        The network that made the table, for a recording that is not in it.
    classes : sequence of str
        The genres of a CSV of 2-testing.py.

    Returns
    -------
    name : str
        The track's name in the table, or as given.
    table : FeatureTable
        One row per track.
    matches : list of (float, int)
        As `nearest` returns them.
    """
    table = by_track(feature_table.read(table_file, classes))
    row = find(track, table.names, table.recordings)
    if row is None:
        from music_featurization import api
        from music_featurization.network import checkpoints

        checkpoints.require_compatible(model)
        what = f"{table_file} was made by another network than {model}; give the right one as --model"
        feature_table.require_same_model(table.model_fingerprint, fingerprint(model), what)
        return track, table, nearest(api.features(track, model=model), table.features, top)
    return table.names[row], table, nearest(table.features[row], table.features, top, leave_out=row)


def by_track(table: FeatureTable) -> FeatureTable:
    """Average the time steps of each track; the genre is that of its first step."""
    if "start" not in table.rows:
        return table
    _, first, numbers = np.unique(table.names, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), table.features.shape[1]))
    np.add.at(sums, numbers, table.features)
    means = (sums / np.bincount(numbers)[:, None]).astype(np.float32)
    return table._replace(
        rows=table.rows.iloc[first].drop(columns=["start", "end"]).reset_index(drop=True), features=means
    )


def find(track: str, names: Sequence[str], recordings: Sequence[str] = ()) -> int | None:
    """Find the row of a track: a recording, a name in the table, or a part of one name.

    Return None if the track is a recording that is not among `recordings`, the absolute path of each row's recording;
    raise a PipelineError if it is neither in the table nor a recording, or matches several names.
    """
    if os.path.isfile(track):
        return next(iter(search.by_recording(track, recordings)), None)
    rows = search.by_text(track, names)
    if len(rows) > 1:
        raise PipelineError(f"{track!r} fits {len(rows)} tracks: {search.some(rows, names)}. Give more of a name.")
    if rows:
        return rows[0]
    raise PipelineError(
        f"{track!r} is neither in the table of features nor a recording.{search.suggestion(track, names)} "
        "Give a recording, or a part of a name in the table."
    )


def nearest(
    wanted: np.ndarray, features: np.ndarray, top: int, leave_out: int | None = None
) -> list[tuple[float, int]]:
    """Find the `top` rows of features, shape (N, D), that are most similar to `wanted`, shape (D,).

    Return the cosine of the angle between the features (0 for features that are all 0) and the row of each, the most
    similar first; `leave_out` is the row of the track itself.
    """
    wanted, features = wanted.astype(np.float64), features.astype(np.float64)
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(wanted)
    cosines = np.divide(features @ wanted, lengths, out=np.zeros(len(features)), where=lengths > 0)
    order = [int(row) for row in np.argsort(-cosines, kind="stable") if row != leave_out]
    return [(float(cosines[row]), row) for row in order[:top]]
