"""Read a table of features that any script wrote: 2-testing.py, 3-format_dataset.py (its .npz) or featurize.py."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from music_featurization.artifacts import FEATURIZE, TESTING, PipelineError, require
from music_featurization.dataset.genres import GENRES
from music_featurization.feature_tables import feature_table, track_table, tracks

MADE_BY = f"{TESTING} or {FEATURIZE}"


class Features(NamedTuple):
    """N rows: `names` `<clip_id>_<name>`, or paths of tracks; `genres`; `features` float32 (N, D).

    `model` is the fingerprint of the network that made them, "" where the file does not say. `starts` are seconds, for
    windows of tracks. `recordings` are absolute paths, for tracks, whose genres are predicted, not known.
    """

    names: list
    genres: list
    features: np.ndarray
    model: str
    starts: list | None
    recordings: list | None


def read(path, classes=GENRES):
    """Read a table of features.

    Parameters
    ----------
    path : Path
        `.csv`, `.npz` or `.parquet`.
    classes : sequence of str
        The genres with which rows of 2-testing.py's CSV can begin.

    Returns
    -------
    Features

    Raises
    ------
    PipelineError
        If the file is missing, is none of these, or contains numbers that are not finite.
    """
    path = Path(path)
    require(path, MADE_BY)
    if track_table.is_table(path):
        table = _of_tracks(track_table.read(path), path)
    elif path.suffix == ".npz":
        table = _of_clips(feature_table.read_npz(path, MADE_BY))
    else:
        rows, features = feature_table.read_csv(path)
        genres, names = zip(*(feature_table.split_row_name(row, classes) for row in rows), strict=True)
        table = Features(list(names), list(genres), features, "", None, None)
    if not table.names:
        raise PipelineError(f"{path} contains no row. Run {MADE_BY} again.")
    if not np.isfinite(table.features).all():
        raise PipelineError(f"{path} contains features that are not finite numbers. Run {MADE_BY} again.")
    return table


def _of_clips(arrays):
    names, genres = arrays["names"].tolist(), arrays["genres"].tolist()
    clips = [
        feature_table.split_row_name(name, [genre])[1] if name.startswith(f"{genre}.") else name
        for name, genre in zip(names, genres, strict=True)
    ]
    model = str(arrays.get("model", ""))
    return Features(clips, genres, arrays["features"], "" if model == "unknown" else model, None, None)


def _of_tracks(table, path):
    names, starts = table["path"].tolist(), table["start"].tolist() if "start" in table else None
    features, model = track_table.features_of(table), table["model"].iloc[0] if names else ""
    return Features(names, table["genre"].tolist(), features, model, starts, tracks.paths_of(names, path))


def require_same_model(made, asked, what):
    """Raise a PipelineError if features of two networks would be compared.

    Parameters
    ----------
    made, asked : str
        Fingerprints; "" is not known, and passes.
    what : str
        For the message: what is compared with what, and what to do.
    """
    if made and asked and made != asked:
        raise PipelineError(f"{what} (networks {made} and {asked}): their features cannot be compared.")
