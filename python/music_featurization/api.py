"""The Python interface: from an audio file to its spectrogram, tags, genres and features.

Every function accepts one path, or a list of paths, for which it returns a list. Recordings are treated as by
`featurize.py`: any format, any length, cut into windows of 29.1 s, whose results are averaged. A recording or network
that cannot be used raises a `PipelineError`, which names it.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

from music_featurization.artifacts import PROVIDED_MODEL, PipelineError
from music_featurization.audio import decoding, spectrogram
from music_featurization.feature_tables import feature_table, track_features
from music_featurization.feature_tables.featurize import featurize  # noqa: F401  (part of the interface)
from music_featurization.network import front_end

PathLike = str | os.PathLike


def log_mel(path: PathLike | Sequence[PathLike]) -> Any:
    """Compute the log-mel spectrogram of a whole recording, normalised to one level.

    Only the first 30 minutes of a longer recording are used.

    Returns
    -------
    numpy.ndarray, float32, shape (96, frames)
        See `music_featurization.audio.spectrogram.log_mel`; 62.5 frames per second.

    Examples
    --------
    >>> from music_featurization import log_mel
    >>> log_mel("song.mp3").shape
    (96, 569)
    """
    return _each(path, lambda one: spectrogram.log_mel(decoding.stream(one, strict=False)))


def features(
    path: PathLike | Sequence[PathLike], *, every: float | None = None, model: PathLike = PROVIDED_MODEL
) -> Any:
    """Compute the 512 features of a recording.

    Parameters
    ----------
    every : float, optional
        Seconds per row: one row per time step instead of the mean over the recording. A remainder shorter than half a
        step and silent steps are left out.
    model : path-like
        A checkpoint; by default the provided network.

    Returns
    -------
    numpy.ndarray, float32, shape (512,)
        With `every` a tuple: features of shape (steps, 512), and the start of each step in seconds, shape (steps,).

    Examples
    --------
    >>> from music_featurization import features
    >>> features("song.mp3").shape
    (512,)
    >>> rows, seconds = features("song.mp3", every=3.0)
    >>> rows.shape, seconds.tolist()
    ((3, 512), [0.0, 3.0, 6.0])
    """
    networks = track_features.load_networks(model)

    def of_one(one: PathLike) -> Any:
        result = track_features.analyse(one, networks, every)
        return result.features[0] if every is None else (result.features, result.start)

    return _each(path, of_one)


def predict(path: PathLike | Sequence[PathLike], *, model: PathLike = PROVIDED_MODEL) -> Any:
    """Compute the probability of each genre, by the provided network or another checkpoint.

    Returns
    -------
    dict of str to float
        Probability by genre, in label order; they add to 1.

    Examples
    --------
    >>> from music_featurization import predict
    >>> probabilities = predict("song.mp3")
    >>> sorted(probabilities)
    ['baroque', 'classical', 'jazz', 'medieval', 'opera', 'rock']
    >>> max(probabilities, key=probabilities.get) in probabilities
    True
    """
    networks = track_features.load_networks(model)

    def of_one(one: PathLike) -> dict[str, float]:
        probabilities = track_features.analyse(one, networks).probabilities[0]
        return dict(zip(networks.classes, map(float, probabilities), strict=True))

    return _each(path, of_one)


def tags(path: PathLike | Sequence[PathLike], *, every: float | None = None) -> Any:
    """Compute the probability of each of the 100 tags of the front end, by the two musicnn networks.

    Parameters
    ----------
    every : float, optional
        Seconds per value, as for `features`.

    Returns
    -------
    dict of str to float
        Mean over the recording by tag, `mtt_<tag>` (MagnaTagATune) and `msd_<tag>` (Million Song Dataset). With `every`
        a tuple: by tag an array of float32, shape (steps,), and the start of each step in seconds, shape (steps,).

    Examples
    --------
    >>> from music_featurization import tags
    >>> probabilities = tags("song.mp3")
    >>> len(probabilities), [tag for tag in probabilities if tag.endswith("guitar")]
    (100, ['mtt_guitar', 'msd_guitar'])
    >>> over_time, seconds = tags("song.mp3", every=3.0)
    >>> over_time["mtt_guitar"].shape, seconds.shape
    ((3,), (3,))
    """
    networks, names = track_features.load_networks(), front_end.tag_names()

    def of_one(one: PathLike) -> Any:
        result = track_features.analyse(one, networks, every)
        if every is None:
            return dict(zip(names, map(float, result.tags[0]), strict=True))
        return dict(zip(names, result.tags.T, strict=True)), result.start

    return _each(path, of_one)


def load_features(path: PathLike) -> feature_table.FeatureTable:
    """Read a table of features that a script or `featurize` wrote: `.csv`, `.npz` or `.parquet`.

    Returns
    -------
    music_featurization.feature_tables.feature_table.FeatureTable
        A named tuple with `names`, `genres`, `features` (float32, shape (N, 512)), and others.

    Examples
    --------
    >>> from music_featurization import load_features
    >>> table = load_features("features.npz")
    >>> table.names, table.features.shape
    (['song.mp3'], (1, 512))
    """
    return feature_table.read(path)


def _each(path: PathLike | Sequence[PathLike], function: Callable[[PathLike], Any]) -> Any:
    """Apply a function to one path, or to each of a list; an error names the recording."""
    if not isinstance(path, (str, os.PathLike)):
        return [_each(one, function) for one in path]
    try:
        return function(path)
    except decoding.UnreadableAudioError as error:
        raise PipelineError(f"{os.fspath(path)}: {error}. Give another recording.") from error
    except OSError as error:
        raise PipelineError(f"{os.fspath(path)} cannot be read: {error.strerror}. Give another path.") from error
