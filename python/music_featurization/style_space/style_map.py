"""The style space: clips by their features, and its map in two dimensions.

The recipe is that of the StyleSpace experiment: PCA to 50 dimensions, then t-SNE, perplexity 50, random state 20.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from music_featurization.artifacts import MAP, TESTING, PipelineError, read_array, read_arrays, replacing
from music_featurization.dataset import clip_names
from music_featurization.evaluation import test_results
from music_featurization.feature_tables import feature_table, tracks

COMPONENTS, PERPLEXITY, RANDOM_STATE = 50, 50, 20
METHODS = {"tsne": "t-SNE", "umap": "UMAP"}
FEWEST = 4  # clips; of fewer there is no neighbourhood to keep


class Files(NamedTuple):
    """Paths of what plot_style_space.py writes."""

    picture: object
    page: object
    map: object  # .npz: the points, so that they are computed once


def files(artifacts, table=None):
    """Where the pictures of the style space and the map of a table of features (the test set if None) are stored."""
    stem = Path(table or default_file(artifacts)).stem
    page = artifacts.style_space_page
    return Files(page.with_suffix(".svg"), page, page.with_name(f"{page.stem}_{stem}.npz"))


def default_file(artifacts):
    """The features of the test set: the .npz beside 2-testing.py's CSV, unless the CSV is newer."""
    return test_results.newest_table(artifacts)


def read(artifacts, file=None):
    """Read clips and their features.

    Parameters
    ----------
    artifacts : Artifacts
    file : Path, optional
        A table of 2-testing.py, 3-format_dataset.py (.npz) or featurize.py; that of the test set if not given.

    Returns
    -------
    clips : pandas.DataFrame
        N rows of text: `name`, `genre`, `predicted` ("" where not known), `artist`, `song`, `seconds` ("59-88"),
        `recording` (its path, "" where there is none), `where` (the path that a recording has or should have).
    features : numpy.ndarray of float32, shape (N, D)

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or the predictions that belong to it were made by another network.
    """
    import pandas

    file = Path(file or default_file(artifacts))
    table = feature_table.read(file, test_results.classes_of(artifacts))
    clips = pandas.DataFrame({"name": table.names, "genre": table.genres}, dtype=str)
    are_tracks = table.are_tracks
    clips["predicted"] = table.genres if are_tracks else _predicted(artifacts, file, table)
    recordings = table.recordings
    where = recordings if are_tracks or any(recordings) else _recordings(artifacts, table.names)
    clips["where"] = pandas.Series(where, dtype=object)  # pandas' text is UTF-8, and a path may be anything
    recordings = [path if path and os.path.isfile(path) else "" for path in where]
    clips["recording"] = pandas.Series(recordings, dtype=object)
    starts = table.rows["start"] if "start" in table.rows else [None] * len(clips)
    named = [_describe(name, are_tracks, start) for name, start in zip(table.names, starts, strict=True)]
    clips[["artist", "song", "seconds"]] = pandas.DataFrame(named, dtype=str)
    return clips, table.features


def _describe(name, is_track, start):
    """Artist, song and seconds as a reader wants them."""
    parsed = clip_names.parse(name if is_track else f"{name.partition('_')[2] or name}.npy")
    song = parsed.song.removeprefix(f"{parsed.artist}-")
    seconds = "" if parsed.start is None or is_track else f"{parsed.start}-{parsed.end}"
    if start is not None:
        seconds = f"from {start:.0f}"
    return _words(parsed.artist), _words(song), seconds


def _words(name):
    return name.replace("_", " ").strip()


def _predicted(artifacts, file, table):
    """Predicted genre of each row, where 2-testing.py left predictions for this very file."""
    for part in test_results.PARTS:
        of_part = test_results.files(artifacts, part)
        tables = (of_part.features.resolve(), of_part.features_npz.resolve())
        if file.resolve() in tables and of_part.prediction.exists():
            made = test_results.record(artifacts, part).get("model") or ""
            what = f"{file} and {of_part.prediction.name} come from different runs; run {TESTING} --overwrite"
            feature_table.require_same_model(table.model_fingerprint, made, what)
            labels = read_array(of_part.prediction, TESTING, dimensions=1).astype(int)
            classes = test_results.classes_of(artifacts)
            if len(labels) != len(table.names) or not np.isin(labels, range(len(classes))).all():
                raise PipelineError(f"{of_part.prediction} does not fit {file}. Run {TESTING} --overwrite.")
            return [classes[label] for label in labels]
    return ""


def _recordings(artifacts, names):
    """Path of each clip's recording, or where it should be; "" where no split tells its folder."""
    if not artifacts.split("test").exists():
        return [""] * len(names)
    clips = test_results.read_clips(artifacts, "all")
    known = {
        f"{clip_id}_{clip_names.stem(path)}": path
        for clip_id, path in zip(clips["clip_id"], clips["spectrogram"], strict=True)
    }
    return [
        os.path.join(artifacts.mp3_files, tracks.find_recording(artifacts.mp3_files, known[name]))
        if name in known
        else ""
        for name in names
    ]


def pca(features):
    """Principal components: numpy.ndarray of float64, shape (N, at most 50); distances are kept as well as they can."""
    from sklearn.decomposition import PCA

    pca = PCA(min(COMPONENTS, *features.shape), random_state=RANDOM_STATE)
    with np.errstate(invalid="ignore"):  # of features that are all equal there is no variance to explain
        return pca.fit_transform(features.astype(np.float64))


def perplexity(clips):
    """Perplexity of t-SNE: 50, or less where that many clips do not have three times as many others."""
    return min(PERPLEXITY, (clips - 1) / 3)


def embed(reduced, method="tsne"):
    """A map in two dimensions that keeps neighbours together.

    Parameters
    ----------
    reduced : numpy.ndarray, shape (N, D)
        That of `pca`.
    method : {"tsne", "umap"}

    Returns
    -------
    numpy.ndarray of float32, shape (N, 2)

    Raises
    ------
    PipelineError
        If there are fewer than four clips, all are equal, or umap-learn is not installed.
    """
    if len(reduced) < FEWEST:
        raise PipelineError(f"{len(reduced)} clips do not make a map; at least {FEWEST} are needed.")
    if np.ptp(reduced, axis=0).max() == 0:
        raise PipelineError(f"All {len(reduced)} clips have the same features: the network tells nothing apart.")
    if method == "umap":
        return _umap(reduced)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    tsne = TSNE(perplexity=perplexity(len(reduced)), random_state=RANDOM_STATE, init="pca")
    # Threads would add up in an order of their own, so that no two maps were equal, and on a busy machine wait for each
    # other at every one of thousands of short steps.
    with threadpool_limits(1):
        return tsne.fit_transform(reduced).astype(np.float32)


def _umap(reduced):
    try:
        import umap
    except ImportError as error:
        raise PipelineError(
            "--method umap needs umap-learn, which is not installed. Run: python3 -m pip install umap-learn, "
            "or leave --method out."
        ) from error
    neighbours = min(15, len(reduced) - 1)
    mapper = umap.UMAP(n_neighbors=neighbours, random_state=RANDOM_STATE, n_jobs=1)
    return mapper.fit_transform(reduced).astype(np.float32)


def read_or_make_map(path, features, method="tsne", overwrite=False):
    """The map of these features, made once.

    Parameters
    ----------
    path : Path
        Keeps the map (.npz: `points`, and `made_from`, what tells whether it is that of these features).
    features : numpy.ndarray of float32, shape (N, D)
    method : {"tsne", "umap"}
    overwrite : bool
        Make it again.

    Returns
    -------
    points : numpy.ndarray of float32, shape (N, 2)
    was_made : bool
        False if it was there.
    """
    made_from = f"{method} {hashlib.sha256(np.ascontiguousarray(features).tobytes()).hexdigest()[:16]}"
    if path.exists() and not overwrite:
        with contextlib.suppress(PipelineError):  # damaged: it is made again
            saved = read_arrays(path, MAP, {"made_from": ("U", 0), "points": ("f", 2)})
            if str(saved["made_from"]) == made_from and saved["points"].shape == (len(features), 2):
                return saved["points"], False
    points = embed(pca(features), method)
    with replacing(path) as temporary:
        np.savez(temporary, points=points, made_from=made_from)
    return points, True


def genres_of(clips, classes):
    """Genres that occur, in label order; any that are no class follow, sorted."""
    found = set(clips["genre"])
    return [genre for genre in classes if genre in found] + sorted(found - set(classes))


def nearest_to_centroid(reduced, members):
    """Row of the clip nearest to the centroid of a genre.

    Parameters
    ----------
    reduced : numpy.ndarray, shape (N, D)
    members : numpy.ndarray of int
        Rows of the genre's clips.

    Returns
    -------
    int
    """
    centroid = reduced[members].mean(axis=0)
    return int(members[np.linalg.norm(reduced[members] - centroid, axis=1).argmin()])


def centroid_clips(clips, reduced, genres):
    """For each genre the clip nearest to its centroid: dict of str to int, the row."""
    return {genre: nearest_to_centroid(reduced, np.flatnonzero(clips["genre"] == genre)) for genre in genres}
