"""Clips in MagnaTagATune's shape: cross-validated with all clips of a song together, or trained and tested apart.

    python3 extras/benchmarks/real_music.py --root realmusic
    python3 extras/benchmarks/real_music.py --train-root realmusic --test-root sealedmusic --name sealed
    python3 extras/benchmarks/real_music.py --root demo --name demo
    python3 extras/benchmarks/real_music.py --root realmusic --provided

A root needs the results of steps 1 to 3: spectrograms and six_genres.csv. Embeddings are made there, as in training.
The clips' names say which clips are of one song.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import comparison
from sklearn.metrics import recall_score
from sklearn.model_selection import StratifiedGroupKFold

from music_featurization import command_line
from music_featurization.artifacts import PROVIDED_MODEL, STEP_3, Artifacts, read_table
from music_featurization.dataset import clip_names, spectrogram_folder
from music_featurization.dataset.genres import GENRES
from music_featurization.network import checkpoints, networks
from music_featurization.network.prediction import predict


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    if args.provided:
        rows = provided(args.root or args.test_root)
        comparison.write(f"{args.name}_provided", rows)
        print("\n".join(f"{key}: {value:.3f}" for key, value in rows.items()))
        return
    if args.root:
        clips = read(args.root)

        def folds_of(seed: int) -> comparison.Folds:
            splitter = StratifiedGroupKFold(args.folds, shuffle=True, random_state=seed)
            return list(splitter.split(clips.labels, clips.labels, clips.songs))
    else:
        clips, folds = comparison.joined(read(args.train_root), read(args.test_root))

        def folds_of(seed: int) -> comparison.Folds:
            return folds

    rows = comparison.compare(clips, folds_of, len(GENRES), **comparison.options(args))
    about = {"epochs": args.epochs, "clips": len(clips.labels), "folds": args.folds if args.root else 1}
    comparison.write(args.name, rows, **about)
    print(comparison.table(rows))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="cross-validate on these clips")
    parser.add_argument("--train-root", type=Path, help="train on these")
    parser.add_argument("--test-root", type=Path, help="and test on these")
    text = "only measure models/best_model.h5 as it is, on --root or --test-root"
    parser.add_argument("--provided", action="store_true", help=text)
    parser.add_argument("--name", default="real_music", help="name of the results file (default: real_music)")
    text = "folds of the cross-validation, other ones for each seed (default: 3)"
    parser.add_argument("--folds", type=int, default=3, help=text)
    comparison.add_options(parser)
    args = parser.parse_args(argv)
    apart = args.test_root and (args.train_root or args.provided)
    if bool(args.root) == bool(apart):
        parser.error("give --root, or --train-root and --test-root")
    return args


def read(root: Path) -> comparison.Clips:
    """Return the clips of a root."""
    artifacts = Artifacts(root)
    table = read_table(artifacts.genres, ("spectrogram", "label"), STEP_3)
    spectrogram_folder.require_our_settings(artifacts.spectrograms)
    songs = [clip_names.parse(name).song for name in table["spectrogram"]]
    return comparison.collect(root, table["spectrogram"], table["label"], songs)


def provided(root: Path) -> dict[str, float]:
    """Measure the provided network on the clips of a root: scores, recall of each class, rank and kNN of features."""
    clips, network = read(root), checkpoints.load(PROVIDED_MODEL, GENRES)
    embedded = networks.has_provided_front_end(checkpoints.read_about(PROVIDED_MODEL))
    probabilities, features = predict(network, clips.for_training(embedded).paths, embedded=embedded)
    labels = list(range(len(GENRES)))
    recalls = recall_score(clips.labels, probabilities.argmax(1), labels=labels, average=None, zero_division=0)
    return {
        **comparison.scores(clips.labels, probabilities),
        **{f"recall of {genre}": float(recall) for genre, recall in zip(GENRES, recalls, strict=True)},
        "rank": comparison.effective_rank(features),
        "kNN": comparison.knn_accuracy(features, clips.labels, clips.songs),
    }


if __name__ == "__main__":
    command_line.run(main)
