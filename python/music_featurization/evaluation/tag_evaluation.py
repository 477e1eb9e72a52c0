"""Evaluate tags on MagnaTagATune's standard split, as the literature on music tagging does.

The 50 tags are musicnn's: the 50 most frequent columns of annotations_final.csv, without merging synonyms. Clips that
have none of them are left out. Folders 0-b are the training part, c is the validation part, d-f the test part.
"""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from music_featurization.artifacts import (
    FRONT_END,
    PROVIDED_MODEL,
    STEP_1,
    Artifacts,
    PipelineError,
    write_json,
    write_text,
)
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


def evaluate(root: Path, *, train: bool = False, model: Path = PROVIDED_MODEL, jobs: int = 1) -> None:
    """Evaluate the front end's MagnaTagATune tags on folders d-f, and write `results/tags.txt` and `tags.json`.

    Parameters
    ----------
    root : Path
        Contains the annotations and the spectrograms of step 1.
    train : bool
        Also fit a logistic regression per tag on the 512 features of folders 0-b, and evaluate it beside the tags.
    model : Path
        Network that computes the features.
    jobs : int
        Processes that compute missing embeddings.
    """
    artifacts = Artifacts(root)
    clips, truth, missing = read_clips(artifacts)
    parts = {part: clips["folder"].isin(list(folders)).to_numpy() for part, folders in magnatagatune.FOLDERS.items()}
    _require_clips(parts, train, artifacts)
    names, tags = clips["spectrogram"].tolist(), list(map(str, truth))
    tested, positives = clips["spectrogram"][parts["test"]].tolist(), truth[parts["test"]]
    embeddings.generate_missing(artifacts, names if train else tested, jobs=jobs)
    probabilities = predict_tags([artifacts.embeddings / name for name in tested], tags)
    scores = {"front end": score(positives.to_numpy(), probabilities, tags)}
    if not scores["front end"]:
        raise PipelineError(f"No tag is set on some of the {len(tested)} test clips and not on the others.")
    if train:
        features = compute_features(artifacts, names, model)
        probabilities, strength = fit_and_predict(features, truth.to_numpy(), parts)
        scores[f"features, C = {strength:g}"] = score(positives.to_numpy(), probabilities, tags)
    content = {
        "clips": {part: int(chosen.sum()) for part, chosen in parts.items()},
        "tags_without_both_classes": [tag for tag in tags if tag not in scores["front end"]],
        "tags_not_in_annotations": missing,
        "test_clips_not_of_magnatagatune": sum(not magnatagatune.is_clip(name) for name in tested),
        "published": PUBLISHED,
        "scores": {name: {**means(areas), "per_tag": areas} for name, areas in scores.items()},
    }
    _write(artifacts, content, positives.sum())


def read_clips(artifacts: Artifacts) -> tuple["pandas.DataFrame", "pandas.DataFrame", list[str]]:
    """Read the clips that have a spectrogram and at least one of the 50 tags.

    Return `clip_id`, `spectrogram` and `folder` of each, a bool for each clip and tag that the annotations have, and
    the tags that they do not have.
    """
    clips, tags = annotations.read(artifacts.annotations)
    clips["spectrogram"] = clips["mp3_path"].map(spectrogram_name)
    existing = list(list_spectrograms(artifacts.spectrograms))
    if not existing:
        raise PipelineError(f"{artifacts.spectrograms} contains no spectrogram. Run {STEP_1} first.")
    clips["spectrogram"] = annotations.find_spectrograms(clips, existing, artifacts.annotations)
    clips["folder"] = clips["spectrogram"].map(magnatagatune.folder)
    names = _tag_names()
    truth = tags[[name for name in names if name in tags]]
    usable = clips["spectrogram"].isin(set(existing)) & truth.any(axis=1)
    return clips[usable].reset_index(drop=True), truth[usable].reset_index(drop=True), sorted(set(names) - set(tags))


def _tag_names() -> list[str]:
    """Return the 50 tags in the order of the front end, spelled as in the annotations."""
    return [tag_name(tag) for tag in front_end.read_about()["tags"]["mtt"]]


def _require_clips(parts: dict[str, np.ndarray], train: bool, artifacts: Artifacts) -> None:
    if not parts["test"].any():
        raise PipelineError(
            f"No clip in the folders d, e and f of {artifacts.spectrograms} has one of the 50 tags. "
            f"Run {STEP_1} on these folders of MagnaTagATune, with its annotations_final.csv."
        )
    if train and not (parts["train"].any() and parts["val"].any()):
        raise PipelineError(
            "--train needs clips with tags in folders 0-b, and in folder c to choose the regularisation; there are "
            f"{parts['train'].sum()} and {parts['val'].sum()}. Run {STEP_1} on these folders too."
        )


def predict_tags(files: Sequence[Path], tags: Sequence[str]) -> np.ndarray:
    """Compute the probability of tags with the front end's last layer: float64, shape (clips, tags).

    `files` are the embeddings of the clips; the probabilities are means over the windows of a clip.
    """
    network = load_keras().saving.load_model(FRONT_END, compile=False)
    kernel, bias = map(to_numpy, network.get_layer("mtt_tags").weights)
    names = _tag_names()
    columns = [names.index(tag) for tag in tags]
    rows = []
    for file in files:
        penultimate = batches.load_embedding(file)[:, : len(kernel)]
        rows.append((1 / (1 + np.exp(-(penultimate @ kernel + bias).astype(np.float64)))).mean(axis=0)[columns])
    return np.array(rows)


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
        The clips of `train`, `val` and `test`.

    Returns
    -------
    probabilities : numpy.ndarray, float64, shape (test clips, tags)
    strength : float
        C of the regressions, the one of `STRENGTHS` with the highest mean ROC AUC on the validation part.
    """
    train = features[parts["train"]]
    scale = train.std(axis=0)
    inputs = (features - train.mean(axis=0)) / np.where(scale, scale, 1)
    names = list(map(str, range(truth.shape[1])))
    highest, best = -1.0, (np.empty(0), 0.0)
    for strength in STRENGTHS:
        probabilities = _fit(inputs[parts["train"]], truth[parts["train"]], inputs, strength)
        areas = score(truth[parts["val"]], probabilities[parts["val"]], names)
        mean = means(areas)["roc_auc"] if areas else 0.0
        if mean > highest:
            highest, best = mean, (probabilities[parts["test"]], strength)
    return best


def _fit(inputs: np.ndarray, truth: np.ndarray, others: np.ndarray, strength: float) -> np.ndarray:
    """Fit a regression per tag and return the tags' probabilities for other clips, shape (others, tags).

    A tag that all or none of the clips have gets the probability 1 or 0.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    columns = []
    with threadpool_limits(1):  # for matrices of this size, threads wait for each other most of the time
        for is_set in truth.T:
            if is_set.all() or not is_set.any():
                columns.append(np.full(len(others), float(is_set[0])))
                continue
            regression = LogisticRegression(C=strength, max_iter=1000).fit(inputs, is_set)
            columns.append(regression.predict_proba(others)[:, 1])
    return np.stack(columns, axis=1)


def score(truth: np.ndarray, probabilities: np.ndarray, tags: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Compute ROC AUC and PR AUC (average precision) of each tag, except tags that all or none of the clips have.

    `truth` (bool) and `probabilities` have the shape (clips, tags).

    Examples
    --------
    >>> import numpy as np
    >>> score(np.array([[1, 0], [0, 0], [1, 0]], bool), np.array([[0.9, 0.1], [0.5, 0.1], [0.6, 0.1]]), "ab")
    {'a': (1.0, 1.0)}
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        tag: (float(roc_auc_score(is_set, values)), float(average_precision_score(is_set, values)))
        for tag, is_set, values in zip(tags, truth.T, probabilities.T, strict=True)
        if is_set.any() and not is_set.all()
    }


def means(scores: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Return the macro averages over the tags."""
    return dict(zip(("roc_auc", "pr_auc"), np.mean(list(scores.values()), axis=0).tolist(), strict=True))


def _write(artifacts: Artifacts, content: dict, positives: "pandas.Series") -> None:
    remarks = [textwrap.fill(line, 100) for line in _remarks(content)]
    text = "\n".join([*_table(content, positives), "", *remarks]) + "\n"
    json_file, text_file = artifacts.results / "tags.json", artifacts.results / "tags.txt"
    write_json(json_file, content)
    write_text(text_file, text)
    print(f"{text}\ntags: {text_file}, {json_file}")


def _table(content: dict, positives: "pandas.Series") -> Iterator[str]:
    """Yield one line per tag, the most frequent first, then the averages and the published ones."""

    def areas(pairs: Sequence[Sequence[float]]) -> str:
        return "".join(f"{100 * roc_auc:14.2f}{100 * pr_auc:10.2f}" for roc_auc, pr_auc in pairs)

    scores = content["scores"]
    tags = positives[list(scores["front end"]["per_tag"])].sort_values(ascending=False, kind="stable")
    yield f"Tags of MagnaTagATune on folders d-f: {content['clips']['test']} clips that have at least one of the tags."
    yield ""
    yield f"{'':20}{'clips':>7}" + "".join(f"{name:>24}" for name in scores)
    yield f"{'':27}" + f"{'ROC AUC':>14}{'PR AUC':>10}" * len(scores)
    for tag, clips in zip(map(str, tags.index), tags, strict=True):
        yield f"{tag:20}{clips:7}{areas([columns['per_tag'][tag] for columns in scores.values()])}"
    yield ""
    averages = [(columns["roc_auc"], columns["pr_auc"]) for columns in scores.values()]
    yield f"{f'mean of {len(tags)} tags':27}{areas(averages)}"
    yield f"{'published (musicnn)':27}{areas([(PUBLISHED['roc_auc'], PUBLISHED['pr_auc'])])}"


def _remarks(content: dict) -> Iterator[str]:
    yield "The tags are musicnn's 50: the most frequent columns of annotations_final.csv, synonyms not merged."
    if missing := content["tags_not_in_annotations"]:
        yield f"Left out, not in the annotations: {', '.join(missing)}."
    if without := content["tags_without_both_classes"]:
        yield f"Left out, set on none or on all of the test clips: {', '.join(without)}."
    if foreign := content["test_clips_not_of_magnatagatune"]:
        yield (
            f"{foreign} of {content['clips']['test']} test clips are not from MagnaTagATune: do not compare these "
            "means with the published ones, which are for all 50 tags on its folders d-f."
        )
