"""Measure 1: real music, ten genres, the fault-filtered split of GTZAN as mel spectrograms.

    python3 extras/benchmarks/gtzan.py --data ../shared/gtzan_mel/train_valid.npz
    python3 extras/benchmarks/gtzan.py --train A.npz --test B.npz --seeds 3
    python3 extras/benchmarks/gtzan.py --data FILE.npz --ablation

A file holds mel (uint8, clips x 128 x 387), name, genre and split; --data trains on its `train` and tests on its
`valid`, or on its `test` where it has no `valid`; --train and --test take all clips of each file, but those marked as
test in the first.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import comparison
import numpy as np

from music_featurization import command_line
from music_featurization.artifacts import PipelineError
from music_featurization.network.training import RECIPE

FRAMES_PER_SECOND = 387 / 30
ABLATIONS = {
    "as is": {},
    "Adam's usual epsilon": {"epsilon": 1e-7},
    "no weight decay": {"weight_decay": 0.0},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "no class weights": {"class_weights": False},
    "no averaging of weights": {"average": 0.0},
    "no short crops": {"crops": 0},
    "crops of 10 s": {"crop_seconds": 10.0},
    "mixup 0.3": {"mixup": 0.3},
    "stretch 0.2 octaves": {"stretch": 0.2},
    "shift 2 bands": {"shift": 2.0},
    "gain 6 dB": {"gain": 6.0},
    "tilt 3 dB": {"tilt": 3.0},
    "2 masks": {"masks": 2},
    "float32": {"precision": "float32"},  # as is: see `training.use_precision`
}


def read(file, *choices):
    """Arrays mel and genre of the clips of a file whose split is in the first of the choices that has any."""
    with np.load(file) as data:
        for parts in choices:
            chosen = np.isin(data["split"], parts)
            if chosen.any():
                return data["mel"][chosen], data["genre"][chosen]
    wanted = ", ".join(part for parts in choices for part in parts)
    raise PipelineError(f"{file} has no clip whose split is one of {wanted}.")


def unpack(mel, folder):
    """Write each clip as the pipeline's .npy files hold it; their paths."""
    folder.mkdir(parents=True)
    for i, clip in enumerate(mel):
        np.save(folder / f"{i}.npy", (clip / 255 * 80 - 80).astype(np.float16))
    return [folder / f"{i}.npy" for i in range(len(mel))]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="train and valid clips in one file")
    parser.add_argument("--train", type=Path, help="training clips")
    parser.add_argument("--test", type=Path, help="test clips")
    about = "runs of this project's network; 0 leaves it out"
    parser.add_argument("--seeds", type=command_line.count, default=3, help=about)
    parser.add_argument("--epochs", type=int, default=30)
    comparison.add_baseline_options(parser)
    parser.add_argument("--name", default="gtzan", help="of the results file")
    parser.add_argument("--ablation", action="store_true", help="switch each part of the recipe instead")
    args = parser.parse_args(argv)
    if bool(args.data) == bool(args.train and args.test):
        parser.error("give --data, or --train and --test")
    if args.ablation and args.seeds < 1:
        parser.error("--ablation needs a run: --seeds 1 or more")
    if args.data:
        trained, tested = read(args.data, ["train"]), read(args.data, ["valid"], ["test"])
    else:
        trained, tested = read(args.train, ["train", "valid"]), read(args.test, ["train", "valid", "test"])
    classes = sorted(set(trained[1]))
    with tempfile.TemporaryDirectory() as scratch:
        paths = [unpack(part[0], Path(scratch) / name) for part, name in ((trained, "train"), (tested, "test"))]
        labels = [[classes.index(genre) for genre in part[1]] for part in (trained, tested)]
        train, test = zip(paths, labels, strict=True)
        name = f"{args.name}_ablation" if args.ablation else args.name
        for rows in (ablation if args.ablation else compare)(train, test, classes, args):
            comparison.write(name, " ".join(sys.argv), rows, epochs=args.epochs, train=len(train[0]), test=len(test[0]))
    print(comparison.table(rows))


def run(name, train, test, classes, epochs, seed, recipe=None):
    """Row of one network after training."""
    network, milliseconds = comparison.train_network(name, train, classes, 128, FRAMES_PER_SECOND, epochs, seed, recipe)
    probabilities, properties = comparison.inspect(network, test[0], test[1], range(len(test[1])))
    row = comparison.scores(test[1], probabilities) | properties | {"training ms": milliseconds}
    print(name, seed, comparison.rounded(row), flush=True)
    return row


def compare(train, test, classes, args):
    """Yield a row for each classifier."""
    rows = {
        name: comparison.scores(test[1], comparison.mfcc_probabilities(name, train, test, len(classes)))
        for name in comparison.mfcc_classifiers()
    }
    networks = comparison.baselines(args)
    for title, name in networks.items():
        rows[title] = run(name, train, test, classes, args.baseline_epochs, 0)
    runs = [run("crnn", train, test, classes, args.epochs, seed) for seed in range(args.seeds)]
    if runs:
        networks["this project's CRNN"] = "crnn"
        rows["this project's CRNN"] = comparison.summary(runs, "accuracy")
    clips = np.stack([comparison.load_clip(path) for path in train[0][:16]])
    times = comparison.training_times(
        {"crnn", "musictagger", *networks.values()}, clips, len(classes), FRAMES_PER_SECOND
    )
    for title, name in networks.items():
        rows[title]["training ms"] = times[name]
    rows["(training time of MusicTaggerCRNN, same clips)"] = {"training ms": times["musictagger"]}
    yield rows


def ablation(train, test, classes, args):
    """Yield a row for each change of the recipe after each run, all changes with one seed before the next."""
    runs = {name: [] for name in ABLATIONS}
    for seed in range(args.seeds):
        for name, change in ABLATIONS.items():
            print(name, end=": ")
            runs[name].append(run("crnn", train, test, classes, args.epochs, seed, RECIPE | change))
            yield {name: comparison.summary(found, "accuracy") for name, found in runs.items() if found}


if __name__ == "__main__":
    command_line.run(main)
