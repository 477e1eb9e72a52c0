"""Evaluate tags on MagnaTagATune's standard split, as the literature on music tagging does.

The 50 tags are musicnn's: the 50 most frequent columns of annotations_final.csv, without merging synonyms. Clips that
have none of them are left out. Folders 0-b are the training part, c is the validation part, d-f the test part.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.artifacts import FRONT_END, PROVIDED_MODEL, Artifacts, PipelineError, write_json, write_text
from music_featurization.dataset import annotations, magnatagatune
from music_featurization.dataset.genres import tag_name
from music_featurization.dataset.spectrogram_folder import list_spectrograms, spectrogram_name
from music_featurization.network import batches, checkpoints, embeddings, front_end, networks, prediction
from music_featurization.network.keras_backend import load_keras, to_numpy

if TYPE_CHECKING:
    import pandas

# Of MTT_musicnn, as its authors give them (https://github.com/jordipons/musicnn-training).
PUBLISHED = {"roc_auc": 0.9069, "pr_auc": 0.3844}
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03)  # C of the logistic regressions, chosen on folder c


class TagScores(NamedTuple):
    """Areas under the ROC and the precision-recall curve per tag; `without` lists the tags that have none."""

    roc_auc: dict[str, float]
    pr_auc: dict[str, float]
    without: list[str]

    def means(self) -> dict[str, float]:
        """Return the macro averages over the tags."""
        return {name: float(np.mean(list(getattr(self, name).values()))) for name in ("roc_auc", "pr_auc")}


def score(truth: np.ndarray, probabilities: np.ndarray, tags: Sequence[str]) -> TagScores:
    """Compute ROC AUC and PR AUC (average precision) of each tag.

    Parameters
    ----------
    truth : numpy.ndarray of bool, shape (clips, tags)
    probabilities : numpy.ndarray of float, shape (clips, tags)
    tags : sequence of str
        Names of the columns.

    Returns
    -------
    TagScores
        A tag that all clips have, or none, has no ROC AUC: it is in `without`.

    Examples
    --------
    >>> import numpy as np
    >>> scores = score(np.array([[1, 0], [0, 0], [1, 0]], bool), np.array([[0.9, 0.1], [0.5, 0.1], [0.2, 0.1]]), "ab")
    >>> scores.roc_auc, scores.without
    ({'a': 0.5}, ['b'])
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores = TagScores({}, {}, [])
    for tag, is_set, values in zip(tags, truth.T, probabilities.T, strict=True):
        if is_set.all() or not is_set.any():
            scores.without.append(tag)
            continue
        scores.roc_auc[tag] = float(roc_auc_score(is_set, values))
        scores.pr_auc[tag] = float(average_precision_score(is_set, values))
    return scores


def evaluate(root: Path, *, train: bool = False, model_file: Path = PROVIDED_MODEL, jobs: int = 1) -> None:
    """Evaluate the front end's MagnaTagATune tags on folders d-f, and write `results/tags.txt` and `tags.json`.

    Parameters
    ----------
    root : Path
        Contains the annotations and the spectrograms of step 1.
    train : bool
        Also fit a logistic regression per tag on the 512 features of folders 0-b, and evaluate it beside the tags.
    model_file : Path
        Network that computes the features.
    jobs : int
        Processes that compute missing embeddings.

    Raises
    ------
    PipelineError
        If there is no clip with tags to test on (or, with `train`, to train on), or an input is missing or damaged.
    """
    artifacts = Artifacts(root)
    clips, truth, missing = read_clips(artifacts)
    parts = {part: clips["folder"].isin(list(folders)).to_numpy() for part, folders in magnatagatune.FOLDERS.items()}
    _require_clips(parts, train, artifacts)
    tags = list(map(str, truth))
    needed = parts["test"] if not train else np.ones(len(clips), bool)
    embeddings.generate_missing(artifacts, list(clips["spectrogram"][needed]), jobs=jobs)
    files = [artifacts.embeddings / name for name in clips["spectrogram"][parts["test"]]]
    scores = {"front end": score(truth.to_numpy()[parts["test"]], predict_tags(files, tags), tags)}
    if train:
        features = compute_features(artifacts, list(clips["spectrogram"]), model_file)
        probabilities, strength = fit_and_predict(features, truth.to_numpy(), parts)
        scores[f"features, C = {strength:g}"] = score(truth.to_numpy()[parts["test"]], probabilities, tags)
    if not scores["front end"].roc_auc:
        raise PipelineError(f"No tag is set on some of the {parts['test'].sum()} test clips and not on the others.")
    foreign = sum(not magnatagatune.is_clip(name) for name in clips["spectrogram"][parts["test"]])
    counts = {part: int(chosen.sum()) for part, chosen in parts.items()}
    _write(artifacts, scores, truth[parts["test"]].sum(), missing, counts, foreign)


def read_clips(artifacts: Artifacts) -> tuple["pandas.DataFrame", "pandas.DataFrame", list[str]]:
    """Read the clips that have a spectrogram and at least one of the 50 tags.

    Returns
    -------
    clips : pandas.DataFrame
        `clip_id`, `spectrogram`, `folder`.
    truth : pandas.DataFrame of bool
        One column per tag that the annotations have.
    missing : list of str
        Tags that the annotations do not have.
    """
    clips, tags = annotations.read(artifacts.annotations)
    clips["spectrogram"] = clips["mp3_path"].map(spectrogram_name)
    existing = list(list_spectrograms(artifacts.spectrograms)) if artifacts.spectrograms.is_dir() else []
    if not existing:
        raise PipelineError(f"{artifacts.spectrograms} has no spectrogram. Run step 1 first.")
    clips["spectrogram"] = annotations.find_spectrograms(clips, existing, artifacts.annotations)
    clips["folder"] = clips["spectrogram"].map(magnatagatune.folder)
    names = [tag_name(tag) for tag in front_end.read_about()["tags"]["mtt"]]
    truth = tags[[name for name in names if name in tags]]
    usable = clips["spectrogram"].isin(set(existing)) & truth.any(axis=1)
    return clips[usable].reset_index(drop=True), truth[usable].reset_index(drop=True), sorted(set(names) - set(tags))


def _require_clips(parts: dict[str, np.ndarray], train: bool, artifacts: Artifacts) -> None:
    if not parts["test"].any():
        raise PipelineError(
            f"No clip in the folders d, e and f of {artifacts.spectrograms} has one of the 50 tags. "
            "Run step 1 on these folders of MagnaTagATune, with its annotations_final.csv."
        )
    if train and not (parts["train"].any() and parts["val"].any()):
        raise PipelineError(
            "--train needs clips with tags in folders 0-b, and in folder c to choose the regularisation; there are "
            f"{parts['train'].sum()} and {parts['val'].sum()}. Run step 1 on these folders too."
        )


def predict_tags(files: Sequence[Path], tags: Sequence[str]) -> np.ndarray:
    """Compute the probability of MTT tags from embeddings: the mean over the windows of a clip.

    Parameters
    ----------
    files : sequence of Path
        Embeddings.
    tags : sequence of str
        Names as in the annotations, with `_` for a space.

    Returns
    -------
    numpy.ndarray, float64, shape (clips, tags)
    """
    names = [tag_name(tag) for tag in front_end.read_about()["tags"]["mtt"]]
    network = load_keras().saving.load_model(FRONT_END, compile=False)
    kernel, bias = map(to_numpy, network.get_layer("mtt_tags").weights)
    columns = [names.index(tag) for tag in tags]
    means = []
    for file in files:
        penultimate = batches.load_embedding(file)[:, : len(kernel)]
        means.append((1 / (1 + np.exp(-(penultimate @ kernel + bias).astype(np.float64)))).mean(axis=0)[columns])
    return np.array(means)


def compute_features(artifacts: Artifacts, spectrograms: Sequence[str], model_file: Path) -> np.ndarray:
    """Compute the features of clips whose embeddings exist: float32, shape (clips, 512)."""
    load_keras()
    model = checkpoints.load(model_file)
    embedded = networks.has_provided_front_end(checkpoints.read_about(model_file))
    folder = artifacts.embeddings if embedded else artifacts.spectrograms
    return prediction.predict(model, [folder / name for name in spectrograms], embedded=embedded)[1]


def fit_and_predict(features: np.ndarray, truth: np.ndarray, parts: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """Fit a logistic regression per tag on the training part and apply it to the test part.

    Parameters
    ----------
    features : numpy.ndarray of float, shape (clips, D)
    truth : numpy.ndarray of bool, shape (clips, tags)
    parts : dict of str to numpy.ndarray of bool, shape (clips,)
        Which clips belong to `train`, `val` and `test`.

    Returns
    -------
    probabilities : numpy.ndarray, float64, shape (test clips, tags)
    strength : float
        C of the regressions, the one of `STRENGTHS` with the highest mean ROC AUC on the validation part.
    """
    train = features[parts["train"]]
    scale = train.std(axis=0)
    inputs = {
        part: (features[chosen] - train.mean(axis=0)) / np.where(scale, scale, 1) for part, chosen in parts.items()
    }
    names = list(map(str, range(truth.shape[1])))
    best: tuple[float, float, np.ndarray] | None = None
    for strength in STRENGTHS:
        predicted = _fit(inputs["train"], truth[parts["train"]], (inputs["val"], inputs["test"]), strength)
        scores = score(truth[parts["val"]], predicted[0], names)
        mean = scores.means()["roc_auc"] if scores.roc_auc else 0.0
        if best is None or mean > best[0]:
            best = mean, strength, predicted[1]
    assert best is not None  # STRENGTHS is not empty
    return best[2], best[1]


def _fit(inputs: np.ndarray, truth: np.ndarray, others: Sequence[np.ndarray], strength: float) -> list[np.ndarray]:
    """Return the tags' probabilities for other clips; those of a tag without both classes in training are constant."""
    import joblib
    from sklearn.linear_model import LogisticRegression

    def fit_one(is_set: np.ndarray) -> list[np.ndarray]:
        if is_set.all() or not is_set.any():
            return [np.full(len(other), float(is_set[0])) for other in others]
        regression = LogisticRegression(C=strength, max_iter=1000).fit(inputs, is_set)
        return [regression.predict_proba(other)[:, 1] for other in others]

    columns = joblib.Parallel(n_jobs=-1)(joblib.delayed(fit_one)(is_set) for is_set in truth.T)
    return [np.stack(parts, axis=1) for parts in zip(*columns, strict=True)]


def _write(
    artifacts: Artifacts,
    scores: dict[str, TagScores],
    positives: "pandas.Series",
    missing: list[str],
    counts: dict[str, int],
    foreign: int,
) -> None:
    without = scores["front end"].without
    remarks = [textwrap.fill(line, 100) + "\n" for line in _remarks(without, missing, counts, foreign)]
    text = "".join([_as_text(scores, positives, counts), *remarks])
    write_json(
        artifacts.results / "tags.json",
        {
            "clips": counts,
            "tags_without_both_classes": without,
            "tags_not_in_annotations": missing,
            "test_clips_not_of_magnatagatune": foreign,
            "published": PUBLISHED,
            "scores": {
                name: {**one.means(), "per_tag": {tag: [one.roc_auc[tag], one.pr_auc[tag]] for tag in one.roc_auc}}
                for name, one in scores.items()
            },
        },
    )
    write_text(artifacts.results / "tags.txt", text)
    print(text, end="")
    print(f"\ntags: {artifacts.results / 'tags.txt'}, {artifacts.results / 'tags.json'}")


def _as_text(scores: dict[str, TagScores], positives: "pandas.Series", counts: dict[str, int]) -> str:
    """Lay out the table: one line per tag, the most frequent first, then the averages and the published ones."""
    lines = [f"Tags of MagnaTagATune on folders d-f: {counts['test']} clips that have at least one of the tags.", ""]
    lines.append(f"{'':20}{'clips':>7}" + "".join(f"{name:>24}" for name in scores))
    lines.append(f"{'':27}" + f"{'ROC AUC':>14}{'PR AUC':>10}" * len(scores))
    tags = positives[list(scores["front end"].roc_auc)].sort_values(ascending=False, kind="stable")
    for tag, clips in zip(map(str, tags.index), tags, strict=True):
        areas = "".join(f"{100 * one.roc_auc[tag]:14.2f}{100 * one.pr_auc[tag]:10.2f}" for one in scores.values())
        lines.append(f"{tag:20}{clips:7}{areas}")
    means = "".join(
        f"{100 * mean['roc_auc']:14.2f}{100 * mean['pr_auc']:10.2f}"
        for mean in (one.means() for one in scores.values())
    )
    lines += ["", f"{f'mean of {len(tags)} tags':27}{means}"]
    lines.append(f"{'published (musicnn)':27}{100 * PUBLISHED['roc_auc']:14.2f}{100 * PUBLISHED['pr_auc']:10.2f}")
    return "\n".join(lines) + "\n\n"


def _remarks(without: list[str], missing: list[str], counts: dict[str, int], foreign: int) -> list[str]:
    lines = ["The tags are musicnn's 50: the most frequent columns of annotations_final.csv, synonyms not merged."]
    if missing:
        lines.append(f"Left out, not in the annotations: {', '.join(missing)}.")
    if without:
        lines.append(f"Left out, set on none or on all of the test clips: {', '.join(without)}.")
    if foreign:
        lines.append(
            f"{foreign} of {counts['test']} test clips are not from MagnaTagATune: do not compare these means with the "
            "published ones, which are for all 50 tags on its folders d-f."
        )
    return lines
