"""The style space: clips by their features, and its map in two dimensions.

The recipe is the StyleSpace experiment's: PCA to 50 dimensions, then t-SNE with perplexity 50 and random state 20.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.artifacts import MAP, TESTING, Artifacts, PipelineError, read_array, read_arrays, replacing
from music_featurization.dataset import clip_names
from music_featurization.evaluation import results
from music_featurization.feature_tables import feature_table

if TYPE_CHECKING:
    import pandas

COMPONENTS, PERPLEXITY, RANDOM_STATE = 50, 50, 20
METHODS = {"tsne": "t-SNE", "umap": "UMAP"}
FEWEST = 4  # clips; fewer have no neighbourhoods


class Files(NamedTuple):
    """Paths of the files that plot_style_space.py writes; `map` (.npz) keeps the points."""

    picture: Path
    page: Path
    map: Path


def files(artifacts: Artifacts, table: Path | None = None) -> Files:
    """Return where the pictures and the map of a table of features (by default the test set's) are stored."""
    stem = Path(table or results.newest_table(artifacts)).stem
    page = artifacts.style_space_page
    return Files(page.with_suffix(".svg"), page, page.with_name(f"{page.stem}_{stem}.npz"))


def read(artifacts: Artifacts, file: Path | None = None) -> "tuple[pandas.DataFrame, np.ndarray]":
    """Read clips and their features from a table of 2-testing.py (by default), 3-format_dataset.py or featurize.py.

    Returns
    -------
    clips : pandas.DataFrame
        N rows of text: `name`, `label` (`artist · title · 0:30`), `artist`, `genre`, `predicted` ("" where not known),
        `recording` (absolute path, "" where not known).
    features : numpy.ndarray, float32, shape (N, D)

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or the predictions that belong to it were made by another network.
    """
    import pandas

    file = Path(file or results.newest_table(artifacts))
    table = feature_table.read(file, results.classes_of(artifacts))
    clips = pandas.DataFrame({"name": table.names, "genre": table.genres}, dtype=str)
    paths = table.rows["recording" if table.are_tracks else "spectrogram"]
    starts = table.rows["start"] if "start" in table.rows else [None] * len(clips)
    clips["label"] = [clip_names.readable(path, start) for path, start in zip(paths, starts, strict=True)]
    clips["artist"] = clips["label"].str.partition(" · ")[0]
    clips["predicted"] = table.genres if table.are_tracks else _predicted(artifacts, file, table)
    clips["recording"] = pandas.Series(table.recordings, dtype=object)  # pandas' text is UTF-8, a path may be any bytes
    return clips, table.features


def _predicted(artifacts: Artifacts, file: Path, table: feature_table.FeatureTable) -> list[str] | str:
    """Return the predicted genre of each row, if 2-testing.py wrote predictions together with this file."""
    for part in results.PARTS:
        files = results.files(artifacts, part)
        if file.resolve() not in (files.features.resolve(), files.features_npz.resolve()):
            continue
        if not files.prediction.exists():
            return ""
        results.require_finished(artifacts, part)
        made_by = results.read_record(artifacts, part).get("model") or ""
        what = f"{file} and {files.prediction.name} come from different runs; run {TESTING} --overwrite"
        feature_table.require_same_model(table.model_fingerprint, made_by, what)
        labels = read_array(files.prediction, TESTING, dimensions=1).astype(int)
        classes = results.classes_of(artifacts)
        if len(labels) != len(table.names) or not np.isin(labels, range(len(classes))).all():
            raise PipelineError(f"{files.prediction} does not fit {file}. Run {TESTING} --overwrite.")
        return [classes[label] for label in labels]
    return ""


def has_recording(recording: str) -> bool:
    """Return whether a clip's recording is known and exists."""
    return bool(recording) and os.path.isfile(recording)


def pca(features: np.ndarray) -> np.ndarray:
    """Compute the principal components of features: float64, shape (N, at most 50)."""
    from sklearn.decomposition import PCA

    pca = PCA(min(COMPONENTS, *features.shape), random_state=RANDOM_STATE)
    with np.errstate(invalid="ignore"):  # equal features have no variance to explain
        return pca.fit_transform(features.astype(np.float64))


def embed(reduced: np.ndarray, method: str = "tsne") -> np.ndarray:
    """Compute a map of principal components in two dimensions, float32, that keeps neighbours together.

    `method` is one of `METHODS`. The perplexity of t-SNE is 50, or a third of the number of other clips if that is
    less. There must be four clips or more that are not all equal.
    """
    if len(reduced) < FEWEST:
        raise PipelineError(
            f"{len(reduced)} clips do not make a map: at least {FEWEST} are needed. Give a table of more by --features."
        )
    if np.ptp(reduced, axis=0).max() == 0:
        raise PipelineError(
            f"All {len(reduced)} clips have the same features: the network does not distinguish them. "
            "Give a table of other clips or of another network by --features."
        )
    if method == "umap":
        return _umap(reduced)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    tsne = TSNE(perplexity=min(PERPLEXITY, (len(reduced) - 1) / 3), random_state=RANDOM_STATE, init="pca")
    # Several threads add up in varying order, so that no two maps would be equal; on a busy machine they wait for each
    # other at every one of thousands of short steps.
    with threadpool_limits(1):
        return tsne.fit_transform(reduced).astype(np.float32)


def _umap(reduced: np.ndarray) -> np.ndarray:
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


def read_map(path: Path, features: np.ndarray, method: str | None = None) -> np.ndarray | None:
    """Read the map of these features, shape (N, 2), by a method, or by any if none is given.

    Return None if it has not been made or is damaged.
    """
    sources = [_source(features, name) for name in ([method] if method else METHODS)]
    if path.exists():
        with contextlib.suppress(PipelineError):
            saved = read_arrays(path, MAP, {"made_from": ("U", 0), "points": ("f", 2)})
            if str(saved["made_from"]) in sources and saved["points"].shape == (len(features), 2):
                return saved["points"]
    return None


def method_of_map(path: Path, features: np.ndarray) -> str | None:
    """Return by which of `METHODS` the map of these features was made; None if `read_map` finds none."""
    return next((method for method in METHODS if read_map(path, features, method) is not None), None)


def make_map(path: Path, features: np.ndarray, method: str = "tsne") -> np.ndarray:
    """Compute the map of these features, shape (N, 2), and store it as .npz for `read_map`."""
    points = embed(pca(features), method)
    with replacing(path) as temporary:
        np.savez(temporary, points=points, made_from=_source(features, method))
    return points


def _source(features: np.ndarray, method: str) -> str:
    return f"{method} {hashlib.sha256(np.ascontiguousarray(features).tobytes()).hexdigest()[:16]}"


def genres_of(clips: "pandas.DataFrame", classes: Sequence[str]) -> list[str]:
    """Return the genres that occur, in label order; those that are no class follow, sorted."""
    occurring = set(clips["genre"])
    return [genre for genre in classes if genre in occurring] + sorted(occurring - set(classes))


def centroid_clips(clips: "pandas.DataFrame", reduced: np.ndarray, genres: Sequence[str]) -> dict[str, int]:
    """Return for each genre the row of the clip nearest to its centroid in the principal components."""
    rows = {}
    for genre in genres:
        members = np.flatnonzero(clips["genre"] == genre)
        rows[genre] = int(members[central(reduced[members])])
    return rows


def central(points: np.ndarray) -> int:
    """Return the row of the point nearest to the centroid."""
    return int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())
