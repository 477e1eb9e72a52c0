"""Train and measure several classifiers on the same clips: what the accuracy benchmarks share."""

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.fft import dct
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, recall_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from music_featurization.artifacts import Artifacts
from music_featurization.network import checkpoints, embeddings, front_end, networks, recipe, training
from music_featurization.network.batches import load_clip, load_embedding
from music_featurization.network.keras_backend import load_keras, use_precision
from music_featurization.network.prediction import predict

if TYPE_CHECKING:
    import keras

RESULTS = Path(__file__).resolve().parent / "results"
SCORES = ("accuracy", "balanced accuracy", "macro F")
COLUMNS = (*SCORES, "parameters", "training ms", "inference ms", "rank", "kNN")
BASELINES = {"musictagger": "MusicTaggerCRNN", "vgg16": "Bahuleyan's VGG16, random weights"}
TIMED = 16  # clips whose inference is timed
Folds = list[tuple[np.ndarray, np.ndarray]]  # indices of training and test clips


class Clips(NamedTuple):
    """Clips as parallel arrays: files of spectrograms and embeddings, labels, and the song of each."""

    spectrograms: np.ndarray
    embeddings: np.ndarray
    labels: np.ndarray
    songs: np.ndarray

    def part(self, chosen: np.ndarray) -> "Clips":
        """Return the clips of these indices."""
        return Clips(*(values[chosen] for values in self))

    def for_training(self, embedded: bool) -> training.Clips:
        """Return the clips as the package's training reads them."""
        return training.Clips(self.embeddings if embedded else self.spectrograms, self.labels, embedded)


def collect(root: Path, names: Sequence[str], labels: Sequence[int], songs: Sequence[str]) -> Clips:
    """Return the clips of a root folder, after computing the embeddings that are missing there."""
    artifacts = Artifacts(root)
    embeddings.generate_missing(artifacts, names, jobs=os.cpu_count())
    folders = (artifacts.spectrograms, artifacts.embeddings)
    files = (np.array([folder / name for name in names], dtype=object) for folder in folders)
    return Clips(*files, np.asarray(labels), np.asarray(songs))


def joined(first: Clips, second: Clips) -> tuple[Clips, Folds]:
    """Return the clips of both and a list of one fold: training on the first, test on the second."""
    clips = Clips(*map(np.concatenate, zip(first, second, strict=True)))
    count = len(first.labels)
    return clips, [(np.arange(count), np.arange(count, len(clips.labels)))]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is trained and how often."""
    parser.add_argument("--seeds", type=int, default=3, help="runs, each with another start (default: 3)")
    text = "epochs of this project's network; 0 leaves it out (default: 40)"
    parser.add_argument("--epochs", type=int, default=40, help=text)
    text = "also train this project's network with its front end, which is slow on a CPU"
    parser.add_argument("--fine-tune", action="store_true", help=text)
    text = "other networks (default: all)"
    parser.add_argument("--baselines", nargs="+", choices=BASELINES, default=list(BASELINES), help=text)
    text = "epochs of the other networks; 0 leaves them out (default: 0)"
    parser.add_argument("--baseline-epochs", type=int, default=0, help=text)


def options(args: argparse.Namespace) -> dict:
    """Return the values of the options of `add_options`, as `compare` expects them."""
    return {name: getattr(args, name) for name in ("seeds", "epochs", "fine_tune", "baselines", "baseline_epochs")}


def classifiers(*, epochs: int, fine_tune: bool, baselines: Sequence[str], baseline_epochs: int) -> dict[str, Callable]:
    """Return functions from (train, test, n_classes, seed) to probabilities and properties, by title."""
    functions: dict[str, Callable] = {
        f"{title} + logistic regression": functools.partial(regression, describe=describe)
        for title, describe in DESCRIPTIONS.items()
    }
    if epochs:
        functions["this project's CRNN"] = functools.partial(network, name="crnn", epochs=epochs)
    if epochs and fine_tune:
        title = "this project's CRNN, its front end trained too"
        functions[title] = functools.partial(network, name="crnn", epochs=epochs, fine_tune=True)
    for name in baselines if baseline_epochs else ():
        title = f"{BASELINES[name]}, {baseline_epochs} epochs"
        functions[title] = functools.partial(network, name=name, epochs=baseline_epochs)
    return functions


def compare(
    clips: Clips, folds_of: Callable[[int], Folds], n_classes: int, *, seeds: int, **options: Any
) -> dict[str, dict]:
    """Measure all classifiers.

    Parameters
    ----------
    folds_of : callable
        Returns the folds of a seed.
    **options
        Those of `classifiers`.

    Returns
    -------
    dict of str to dict
        A row for each classifier: the mean over the seeds, and the spread of the scores.
    """
    runs: dict[str, list[dict]] = {}
    for seed in range(seeds):
        for title, classify in classifiers(**options).items():
            row = measure(classify, clips, folds_of(seed), n_classes, seed)
            print(title, seed, {key: round(value, 3) for key, value in row.items()}, flush=True)
            runs.setdefault(title, []).append(row)
    return {title: summary(rows) for title, rows in runs.items()}


def measure(classify: Callable, clips: Clips, folds: Folds, n_classes: int, seed: int) -> dict[str, float]:
    """Return a classifier's row: scores of its decisions on all folds together, mean of the other properties."""
    results = [classify(clips.part(train), clips.part(test), n_classes, seed) for train, test in folds]
    truth = clips.labels[np.concatenate([test for _, test in folds])]
    properties = [row for _, row in results]
    means = {key: float(np.mean([row[key] for row in properties])) for key in properties[0]}
    return scores(truth, np.concatenate([probabilities for probabilities, _ in results])) | means


def scores(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return accuracy, and recall and F averaged over the classes that the clips have, of (clips, classes)."""
    predicted, classes = probabilities.argmax(1), np.unique(truth)
    values = (
        accuracy_score(truth, predicted),
        recall_score(truth, predicted, labels=classes, average="macro"),
        f1_score(truth, predicted, labels=classes, average="macro"),
    )
    return dict(zip(SCORES, map(float, values), strict=True))


def mfcc_statistics(clips: Clips) -> np.ndarray:
    """Compute mean, deviation and mean change of 20 MFCCs of each clip: (clips, 60)."""
    statistics = []
    for path in clips.spectrograms:
        mfcc = dct(load_clip(path), axis=0, norm="ortho")[:20]
        statistics.append(np.concatenate([mfcc.mean(1), mfcc.std(1), np.abs(np.diff(mfcc)).mean(1)]))
    return np.stack(statistics)


def mean_embeddings(clips: Clips) -> np.ndarray:
    """Compute the mean embedding of each clip: (clips, 1608)."""
    return np.stack([load_embedding(path).mean(0) for path in clips.embeddings])


def mean_penultimate(clips: Clips) -> np.ndarray:
    """Compute the mean of the values before the tag layers of each clip: (clips, 400)."""
    return mean_embeddings(clips)[:, : front_end.PARTS["penultimate"]]


DESCRIPTIONS = {
    "MFCC": mfcc_statistics,
    "mean penultimate values (400)": mean_penultimate,
    "mean embedding (1,608)": mean_embeddings,
}


def regression(
    train: Clips, test: Clips, n_classes: int, seed: int, *, describe: Callable[[Clips], np.ndarray]
) -> tuple[np.ndarray, dict]:
    """Classify the test clips by logistic regression on standardised descriptions; the seed has no effect."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
    model.fit(describe(train), train.labels)
    probabilities = np.zeros((len(test.labels), n_classes))
    probabilities[:, model.classes_] = model.predict_proba(describe(test))
    return probabilities, {}


def network(
    train: Clips, test: Clips, n_classes: int, seed: int, *, name: str, epochs: int, fine_tune: bool = False
) -> tuple[np.ndarray, dict]:
    """Train a network, classify the test clips and inspect the features."""
    load_keras().backend.clear_session()
    embedded = name == "crnn" and not fine_tune
    trained, milliseconds = train_network(
        train.for_training(embedded), n_classes, seed, name=name, epochs=epochs, fine_tune=fine_tune
    )
    parts = [predict(trained, part.for_training(embedded).paths, embedded=embedded) for part in (train, test)]
    probabilities, features = parts[1]
    return probabilities, {
        "parameters": trained.count_params(),
        "training ms": milliseconds,
        "inference ms": inference_time(trained, test.spectrograms[:TIMED]),
        "rank": effective_rank(np.concatenate([values for _, values in parts])),
        "kNN": knn_accuracy(features, test.labels, test.songs),
    }


def train_network(
    clips: training.Clips, n_classes: int, seed: int, *, name: str, epochs: int, fine_tune: bool
) -> tuple["keras.Model", float]:
    """Train a network by the project's recipe, nothing chosen on the test clips: the last epoch's weights.

    Returns
    -------
    network : keras.Model
    milliseconds : float
        Training time per clip and epoch, the first epoch (which compiles) left out where there are more.
    """
    keras = load_keras()
    changes = {"learning_rate": 1e-3, "precision": "float32"} if name == "musictagger" else {}
    settings = recipe.complete("crnn" if name == "crnn" else "vgg16", changes, len(clips.paths))
    use_precision(settings["precision"])
    keras.utils.set_random_seed(seed)
    built = build(name, n_classes, fine_tune)
    model = training.trained_part(built, clips, settings, epochs, pretrained=name == "crnn")
    training.standardise(built, clips)
    speeds = [training.train_epoch(model, clips, n_classes, settings, seed, epoch)[1] for epoch in range(1, epochs + 1)]
    return checkpoints.in_float32(built), float(np.median(1000 / np.array(speeds[1:] or speeds)))


def build(name: str, n_classes: int, fine_tune: bool) -> "keras.Model":
    """Build one of the project's networks or MusicTaggerCRNN."""
    if name == "musictagger":
        from musictagger import musictagger  # after load_keras, which keeps TensorFlow quiet

        return musictagger(n_classes)
    weights = networks.PRETRAINED if name == "crnn" else networks.RANDOM
    return networks.build_network(name, n_classes, weights=weights, fine_tune=fine_tune)


def inference_time(model: "keras.Model", spectrograms: np.ndarray) -> float:
    """Measure the milliseconds per clip from spectrogram files to probabilities and features, all of the network."""
    predict(model, spectrograms)  # compiles
    started = time.perf_counter()
    predict(model, spectrograms)
    return 1000 * (time.perf_counter() - started) / len(spectrograms)


def effective_rank(features: np.ndarray) -> float:
    """Compute exp of the entropy of the normalised singular values of (clips, features)."""
    values = np.linalg.svd(features, compute_uv=False)
    values = values[values > 0] / values.sum()
    return float(np.exp(-(values * np.log(values)).sum()))


def knn_accuracy(features: np.ndarray, labels: np.ndarray, songs: np.ndarray, k: int = 5) -> float:
    """Compute the share of clips whose k nearest in feature space, other songs only, vote for their class."""
    right = 0
    for i in range(len(labels)):
        others = songs != songs[i]
        voters = KNeighborsClassifier(min(k, others.sum())).fit(features[others], labels[others])
        right += voters.predict(features[i : i + 1])[0] == labels[i]
    return right / len(labels)


def summary(runs: list[dict]) -> dict:
    """Return the mean of each column over runs, the number of runs, and the standard deviation of each score."""
    row = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    return row | {"runs": len(runs), "spread": {key: float(np.std([run[key] for run in runs])) for key in SCORES}}


def write(name: str, rows: dict, **about: Any) -> None:
    """Write results/NAME.json: the command, what is known about the run, and the rows, rounded."""
    RESULTS.mkdir(exist_ok=True)
    command = " ".join([f"extras/benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    content = {"command": command, "cores": os.cpu_count(), **about, "rows": rounded(rows)}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def rounded(values: Any) -> Any:
    """Round the numbers in nested dicts to four decimals."""
    if isinstance(values, dict):
        return {key: rounded(value) for key, value in values.items()}
    return round(values, 4) if isinstance(values, float) else values


def table(rows: dict[str, dict]) -> str:
    """Format the rows as a Markdown table."""
    lines = [f"| | runs | {' | '.join(COLUMNS)} |", "|---|---|" + "---|" * len(COLUMNS)]
    for title, row in rows.items():
        lines.append(f"| {title} | {row['runs']} | {' | '.join(_cell(column, row) for column in COLUMNS)} |")
    return "\n".join(lines)


def _cell(column: str, row: dict) -> str:
    if column not in row:
        return "–"
    if column == "parameters":
        return f"{row[column]:,.0f}"
    if column in ("training ms", "inference ms", "rank"):
        return f"{row[column]:.1f}"
    spread = f" ± {row['spread'][column]:.3f}" if column in row["spread"] and row["runs"] > 1 else ""
    return f"{row[column]:.3f}{spread}"
