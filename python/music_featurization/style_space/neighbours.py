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
    """Find the row of a track.

    Parameters
    ----------
    track : str
        A recording, a name in the table, or a part of one name.
    names : sequence of str
    recordings : sequence of str
        Absolute path of each row's recording.

    Returns
    -------
    int or None
        None if the track is a recording that is not in the table.

    Raises
    ------
    PipelineError
        If it is neither in the table nor a recording, or matches several names; some are named.
    """
    if os.path.isfile(track):
        return next(iter(search.by_recording(track, recordings)), None)
    rows = search.by_text(track, names)
    if len(rows) > 1:
        raise PipelineError(f"{track!r} fits {len(rows)} tracks: {search.some(rows, names)}.")
    if rows:
        return rows[0]
    raise PipelineError(f"{track!r} is neither in the features file nor a recording.{search.suggestion(track, names)}")


def features_of_recording(
    track: str | os.PathLike, model_file: Path, model_fingerprint: str, table_file: Path
) -> np.ndarray:
    """Compute the features of a recording by the network that made a table.

    Parameters
    ----------
    track : path-like
    model_file : Path
    model_fingerprint : str
        Fingerprint of the network that made the table, "" where it is not known.
    table_file : Path
        The table, for the message.

    Returns
    -------
    numpy.ndarray, float32, shape (D,)

    Raises
    ------
    PipelineError
        If the network is another one, or the recording cannot be used.
    """
    from music_featurization import api
    from music_featurization.network import checkpoints

    checkpoints.require_compatible(model_file)
    what = f"{table_file} was made by another network than {model_file}; give the right one as --model"
    feature_table.require_same_model(model_fingerprint, fingerprint(model_file), what)
    return api.features(track, model=model_file)


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

    Raises
    ------
    PipelineError
        If the table cannot be read, or the track is not one in it and no recording.
    """
    table = by_track(feature_table.read(table_file, classes))
    row = find(track, table.names, table.recordings)
    if row is None:
        wanted = features_of_recording(track, model, table.model_fingerprint, table_file)
        return track, table, nearest(wanted, table.features, top)
    return table.names[row], table, nearest(table.features[row], table.features, top, leave_out=row)


def nearest(
    wanted: np.ndarray, features: np.ndarray, top: int, leave_out: int | None = None
) -> list[tuple[float, int]]:
    """Find the most similar rows.

    Parameters
    ----------
    wanted : numpy.ndarray, shape (D,)
    features : numpy.ndarray, shape (N, D)
    top : int
        Number of rows.
    leave_out : int, optional
        Row of the track itself.

    Returns
    -------
    list of (float, int)
        Cosine of the angle between the features (0 for features that are all 0) and row, the most similar first.
    """
    wanted, features = wanted.astype(np.float64), features.astype(np.float64)
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(wanted)
    cosines = np.divide(features @ wanted, lengths, out=np.zeros(len(features)), where=lengths > 0)
    order = [int(row) for row in np.argsort(-cosines, kind="stable") if row != leave_out]
    return [(float(cosines[row]), row) for row in order[:top]]
