"""Train and measure several classifiers on the same clips: what the accuracy benchmarks share."""

import json
import os
import time
from pathlib import Path

import numpy as np
from scipy.fft import dct
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from music_featurization.network import training
from music_featurization.network.batches import load_clip
from music_featurization.network.keras_backend import load_keras
from music_featurization.network.prediction import predict

RESULTS = Path(__file__).resolve().parent / "results"
COLUMNS = ("accuracy", "balanced accuracy", "macro F", "parameters", "training ms", "inference ms", "rank", "kNN")
BASELINES = {"musictagger": "MusicTaggerCRNN", "vgg16": "Bahuleyan's VGG16, random weights"}


def add_baseline_options(parser):
    """Add the options that say which other networks to train."""
    parser.add_argument("--baselines", nargs="+", choices=BASELINES, default=list(BASELINES), help="other networks")
    parser.add_argument("--baseline-epochs", type=int, default=0, help="of these; 0 leaves them out")


def baselines(args):
    """Titles and names of the other networks to train."""
    names = args.baselines if args.baseline_epochs else ()
    return {f"{BASELINES[name]}, {args.baseline_epochs} epochs": name for name in names}


def mfcc_statistics(clip):
    """Mean, deviation and mean change of 20 MFCCs: (60,) from (mels, frames)."""
    mfcc = dct(clip, axis=0, norm="ortho")[:20]
    return np.concatenate([mfcc.mean(1), mfcc.std(1), np.abs(np.diff(mfcc)).mean(1)])


def scores(truth, probabilities):
    """Accuracy, balanced accuracy and macro F of probabilities (clips, classes)."""
    predicted = probabilities.argmax(1)
    return {
        "accuracy": accuracy_score(truth, predicted),
        "balanced accuracy": balanced_accuracy_score(truth, predicted),
        "macro F": f1_score(truth, predicted, average="macro"),
    }


def mfcc_classifiers():
    """The two baselines by name."""
    return {
        "MFCC + logistic regression": make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
        ),
        "MFCC + SVM": make_pipeline(StandardScaler(), SVC(C=10, class_weight="balanced")),
    }


def mfcc_probabilities(name, train, test, n_classes):
    """Decisions of a baseline on the test clips as rows of 0 and 1."""
    features = [np.stack([mfcc_statistics(load_clip(path)) for path in part[0]]) for part in (train, test)]
    predicted = mfcc_classifiers()[name].fit(features[0], train[1]).predict(features[1])
    return np.eye(n_classes)[predicted]


def train_network(
    name, train, classes, mels, frames_per_second, epochs, seed, recipe=None, start_from=None, settings=None
):
    """A network trained by the project's recipe; the last epoch's running average, nothing chosen on the test clips.

    Returns
    -------
    network : keras.Model
    milliseconds : float
        Training time per clip and epoch, the first epoch (which compiles) left out where there are more.
    """
    keras, recipe = load_keras(), recipe or training.recipe_for(name)
    training.use_precision(recipe["precision"])
    keras.utils.set_random_seed(seed)
    options = {"weights": "none"} if name == "vgg16" else {}
    options["frames_per_second"] = frames_per_second
    model = training.start(name, (mels, None), classes, settings, start_from, **options)
    training.compile_network(model, recipe, training.steps_per_epoch(recipe, len(train[0])) * epochs)
    training.standardise_on(model, train[0])
    times = []
    for epoch in range(1, epochs + 1):
        _, speed = training.train_epoch(model, train, len(classes), recipe, seed, epoch, frames_per_second)
        times.append(1000 / speed)
    return training.averaged(model), float(np.median(times[1:] or times))


def training_times(names, clips, n_classes, frames_per_second, batch_size=16, rounds=5):
    """Training milliseconds per clip of networks on the same whole clips, in turns, so that all see the same machine.

    Parameters
    ----------
    names : iterable of str
    clips : numpy.ndarray
        float32, shape (batch_size, mels, frames).
    """
    load_keras()
    from music_featurization.network.networks import build_network  # after load_keras, which keeps it quiet

    models, times = {}, {name: [] for name in names}
    targets = np.eye(n_classes, dtype=np.float32)[np.arange(batch_size) % n_classes]
    for name in names:
        options = {"weights": "none"} if name == "vgg16" else {}
        models[name] = build_network(
            name, (clips.shape[1], None), n_classes, frames_per_second=frames_per_second, **options
        )
        training.compile_network(models[name], training.RECIPE, 100)
        models[name].train_on_batch(clips, targets)
    for _ in range(rounds):
        for name, model in models.items():
            started = time.perf_counter()
            model.train_on_batch(clips, targets)
            times[name].append(1000 * (time.perf_counter() - started) / len(clips))
    return {name: float(np.median(values)) for name, values in times.items()}


def inspect(network, clips, labels, songs, batch_size=16):
    """Probabilities, and size, speed and features of a network on clips."""
    predict(network, clips[0:1], 1)  # compiles
    started = time.perf_counter()
    probabilities, features = predict(network, clips, batch_size)
    return probabilities, {
        "parameters": network.count_params(),
        "inference ms": 1000 * (time.perf_counter() - started) / len(clips),
        "rank": effective_rank(features),
        "kNN": knn_accuracy(features, np.asarray(labels), np.asarray(songs)),
    }


def effective_rank(features):
    """exp of the entropy of the normalised singular values of (clips, features), as they are."""
    values = np.linalg.svd(features, compute_uv=False)
    values = values[values > 0] / values.sum()
    return float(np.exp(-(values * np.log(values)).sum()))


def knn_accuracy(features, labels, songs, k=5):
    """Share of clips whose k nearest in feature space, other songs only, vote for their class."""
    right = 0
    for i in range(len(labels)):
        others = songs != songs[i]
        voters = KNeighborsClassifier(min(k, others.sum())).fit(features[others], labels[others])
        right += voters.predict(features[i : i + 1])[0] == labels[i]
    return right / len(labels)


def summary(runs, spread_of=None):
    """Mean over runs of each column; also how many they are and the standard deviation of a column, if one is named."""
    row = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    if spread_of:
        row |= {"spread": float(np.std([run[spread_of] for run in runs])), "spread of": spread_of, "runs": len(runs)}
    return row


def rounded(row):
    """For a line of progress."""
    return {key: round(float(value), 3) for key, value in row.items()}


def write(name, command, rows, **about):
    """Write results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    content = {"command": command, "cores": os.cpu_count(), **about, "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def table(rows):
    """The rows as a Markdown table."""
    lines = [f"| | runs | {' | '.join(COLUMNS)} |", "|---|---|" + "---|" * len(COLUMNS)]
    for name, row in rows.items():
        cells = [_cell(column, row) for column in COLUMNS]
        lines.append(f"| {name} | {row.get('runs', 1)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(column, row):
    if column not in row:
        return "–"
    if column == "parameters":
        return f"{row[column]:,.0f}"
    if column in ("training ms", "inference ms", "rank"):
        return f"{row[column]:.1f}"
    spread = f" ± {row['spread']:.3f}" if column == row.get("spread of") and row["runs"] > 1 else ""
    return f"{row[column]:.3f}{spread}"
