"""The nearest tracks to a track, by the cosine of their features."""

import os
import tempfile

import numpy as np

from music_featurization.artifacts import PipelineError, fingerprint
from music_featurization.feature_tables import feature_table
from music_featurization.style_space import search


def by_track(table):
    """One row per track: the means over the windows of each, where the table has windows.

    Parameters
    ----------
    table : FeatureTable

    Returns
    -------
    FeatureTable
        `genres` are those of the first window where the table has windows.
    """
    if "start" not in table.rows:
        return table
    _, first, numbers = np.unique(table.names, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), table.features.shape[1]))
    np.add.at(sums, numbers, table.features)
    means = (sums / np.bincount(numbers)[:, None]).astype(np.float32)
    return table._replace(rows=table.rows.iloc[first].drop(columns="start").reset_index(drop=True), features=means)


def find(track, names, recordings=None):
    """Row of a track.

    Parameters
    ----------
    track : str
        A recording, a name in the table, or a part of one name.
    names : list of str
    recordings : list of str, optional
        Absolute path of each row's recording, where the rows are tracks.

    Returns
    -------
    int or None
        None if the track is a recording that is not in the table.

    Raises
    ------
    PipelineError
        If it is neither in the table nor a recording, or fits several names; some are named.
    """
    if os.path.isfile(track):
        return next(iter(search.by_recording(track, recordings or ())), None)
    rows = search.by_text(track, names)
    if len(rows) > 1:
        raise PipelineError(f"{track!r} fits {len(rows)} tracks: {search.some(rows, names)}.")
    if rows:
        return rows[0]
    raise PipelineError(f"{track!r} is neither in the features file nor a recording.{search.suggestion(track, names)}")


def features_of_recording(track, model_file, made_by, file):
    """Features of a recording, by the network that made a table.

    Parameters
    ----------
    track : str
    model_file : Path
    made_by : str
        Fingerprint of the network that made the table; "" is not known.
    file : Path
        The table, for the message.

    Returns
    -------
    numpy.ndarray of float32, shape (D,)

    Raises
    ------
    PipelineError
        If the network is another one, or the recording cannot be used.
    """
    from music_featurization.feature_tables import track_features, tracks
    from music_featurization.network import checkpoints

    classes, model = checkpoints.require_compatible(model_file), fingerprint(model_file)
    what = f"{file} was made by another network than {model_file}; give the right one as --model"
    feature_table.require_same_model(made_by, model, what)
    with tempfile.TemporaryDirectory() as folder:
        failure = track_features.prepare(tracks.describe(track, file).path, folder=folder)
        if failure:
            raise PipelineError(f"{track}: {failure}.")
        network, found = checkpoints.load(model_file, classes), [tracks.describe(track, file)]
        table = track_features.classify(network, found, folder, classes, model)
    return table.features[0]


def nearest(wanted, features, top, leave_out=None):
    """The most similar rows.

    Parameters
    ----------
    wanted : numpy.ndarray, shape (D,)
    features : numpy.ndarray, shape (N, D)
    top : int
        How many.
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
