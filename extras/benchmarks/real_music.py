"""Measures 2 and 3: clips in MagnaTagATune's shape, cross-validated with all clips of a song together.

    cp -r ../shared/real_music realmusic && make pipeline ROOT=realmusic
    python3 extras/benchmarks/real_music.py --root realmusic
    python3 extras/benchmarks/real_music.py --train-root realmusic --test-root sealedmusic
    python3 extras/benchmarks/real_music.py --root demo --name demo

Each root needs steps 1 to 3 of the pipeline (spectrograms and six_genres.csv). Songs are told apart by clip name.
"""

import argparse
import sys
from pathlib import Path

import comparison
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from music_featurization import command_line
from music_featurization.artifacts import PROVIDED_MODEL, Artifacts, read_json, read_table
from music_featurization.dataset import clip_names
from music_featurization.dataset.genres import GENRES


def read(root):
    """Spectrogram files, labels and songs of all clips under a root, and the spectrograms' settings."""
    artifacts = Artifacts(root)
    table = read_table(artifacts.genres, ("spectrogram", "label"), "datasets_utils/3_remove_double_with_priority.py")
    paths = np.array([artifacts.spectrograms / name for name in table["spectrogram"]], dtype=object)
    songs = np.array([clip_names.parse(name).song for name in table["spectrogram"]])
    settings = read_json(artifacts.spectrogram_settings, "datasets_utils/1_generate_spectrograms.py")
    return paths, np.array(table["label"]), songs, settings


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="cross-validate on these clips")
    parser.add_argument("--train-root", type=Path, help="train on these")
    parser.add_argument("--test-root", type=Path, help="and test on these")
    parser.add_argument("--name", default="real_music", help="of the results file")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60, help="of this project's network; 0 leaves it out")
    comparison.add_baseline_options(parser)
    about = "runs, each with other folds and another start"
    parser.add_argument("--seeds", type=command_line.positive, default=3, help=about)
    parser.add_argument("--no-fine-tune", action="store_true", help="leave out fine-tuning from the provided network")
    args = parser.parse_args(argv)
    if bool(args.root) == bool(args.train_root and args.test_root):
        parser.error("give --root, or --train-root and --test-root")
    paths, labels, songs, settings = read(args.root or args.train_root)
    first = len(paths)
    if not args.root:
        others = read(args.test_root)
        paths, labels, songs = (np.concatenate(pair) for pair in zip((paths, labels, songs), others[:3], strict=True))
    runs = []
    for seed in range(args.seeds):
        folds = [(np.arange(first), np.arange(first, len(paths)))]
        if args.root:
            splitter = StratifiedGroupKFold(args.folds, shuffle=True, random_state=seed)
            folds = list(splitter.split(paths, labels, songs))
        runs.append(compare(paths, labels, songs, settings, folds, args, seed))
    rows = {name: comparison.summary([run[name] for run in runs], "balanced accuracy") for name in runs[0]}
    comparison.write(args.name, " ".join(sys.argv), rows, epochs=args.epochs, clips=len(paths), folds=len(folds))
    print(comparison.table(rows))


def compare(paths, labels, songs, settings, folds, args, seed):
    """A row for each classifier, its decisions on all folds taken together."""
    networks = [("this project's CRNN, from scratch", "crnn", args.epochs, None)] if args.epochs else []
    if args.epochs and not args.no_fine_tune:
        networks.append(("this project's CRNN, fine-tuned", "crnn", args.epochs, PROVIDED_MODEL))
    networks += [(title, name, args.baseline_epochs, None) for title, name in comparison.baselines(args).items()]
    rows, tested = {}, np.concatenate([test for _, test in folds])
    for name in comparison.mfcc_classifiers():
        probabilities = [
            comparison.mfcc_probabilities(name, (paths[a], labels[a]), (paths[b], labels[b]), len(GENRES))
            for a, b in folds
        ]
        rows[name] = comparison.scores(labels[tested], np.concatenate(probabilities))
    for title, name, epochs, start_from in networks:
        runs = [fold(paths, labels, songs, settings, a, b, name, epochs, start_from, seed) for a, b in folds]
        rows[title] = comparison.summary([properties for _, properties in runs])
        rows[title] |= comparison.scores(labels[tested], np.concatenate([p for p, _ in runs]))
        print(title, seed, comparison.rounded(rows[title]), flush=True)
    return rows


def fold(paths, labels, songs, settings, train, test, name, epochs, start_from, seed):
    """Probabilities of the test clips of one fold, and the network's properties."""
    frames_per_second = settings["sample_rate"] / settings["hop_length"]
    network, milliseconds = comparison.train_network(
        name, (paths[train], labels[train]), list(GENRES), settings["n_mels"], frames_per_second, epochs, seed,
        start_from=start_from, settings=settings,
    )  # fmt: skip
    probabilities, properties = comparison.inspect(network, paths[test], labels[test], songs[test])
    return probabilities, properties | {"training ms": milliseconds}


if __name__ == "__main__":
    command_line.run(main)
