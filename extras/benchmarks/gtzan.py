"""Real music of ten genres: slices of GTZAN clips of 2 to 3 s, artists kept apart.

    python3 extras/benchmarks/gtzan.py --data gtzan_slices
    python3 extras/benchmarks/gtzan.py --data gtzan_slices --test sealed_slices --name gtzan_sealed

A folder contains audio/<genre>/*.flac and split.csv (path,genre,split). --data alone trains on `train` and tests on
`valid`; with --test, both parts together are the training set, and all clips of the other folder are tested.
Spectrograms and embeddings are made in a temporary folder.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import comparison

from music_featurization import command_line
from music_featurization.artifacts import Artifacts, PipelineError, read_table
from music_featurization.dataset import spectrogram_folder

if TYPE_CHECKING:
    import pandas


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of train and valid clips")
    parser.add_argument("--test", type=Path, help="folder of test clips; without it, valid is tested")
    parser.add_argument("--name", default="gtzan", help="name of the results file (default: gtzan)")
    comparison.add_options(parser)
    args = parser.parse_args(argv)
    trained = read(args.data, ("train", "valid") if args.test else ("train",))
    tested = read(args.test) if args.test else read(args.data, ("valid",))
    classes = sorted(set(trained["genre"]))
    if unknown := sorted(set(tested["genre"]) - set(classes)):
        raise PipelineError(f"No training clip is {' or '.join(unknown)}. Give other folders.")
    with tempfile.TemporaryDirectory() as scratch:
        train = prepare(args.data, trained, classes, Path(scratch) / "train")
        test = prepare(args.test or args.data, tested, classes, Path(scratch) / "test")
        clips, folds = comparison.joined(train, test)
        rows = comparison.compare(clips, lambda seed: folds, len(classes), **comparison.options(args))
    comparison.write(args.name, rows, epochs=args.epochs, train=len(trained), test=len(tested))
    print(comparison.table(rows))


def read(folder: Path, parts: Sequence[str] | None = None) -> "pandas.DataFrame":
    """Read the rows of a folder's split.csv, of some parts or all."""
    file = folder / "split.csv"
    if not file.exists():
        raise PipelineError(f"{file} does not exist. Give a folder that contains audio/ and split.csv.")
    table = read_table(file, ("path", "genre", "split"), "the command that made it")
    chosen = table if parts is None else table[table["split"].isin(parts)]
    if chosen.empty:
        raise PipelineError(f"{file} has no clip{'' if parts is None else ' of ' + ' or '.join(parts)}.")
    return chosen


def prepare(folder: Path, table: "pandas.DataFrame", classes: list[str], root: Path) -> comparison.Clips:
    """Make spectrograms and embeddings below `root`; return the clips, each as a song of its own."""
    spectrograms = Artifacts(root).spectrograms
    spectrogram_folder.prepare(spectrograms)
    for path in table["path"]:
        if failure := spectrogram_folder.generate(path, clips_folder=folder / "audio", folder=spectrograms):
            raise PipelineError(f"{folder / 'audio' / path}: {failure}.")
    names = [spectrogram_folder.spectrogram_name(path) for path in table["path"]]
    return comparison.collect(root, names, [classes.index(genre) for genre in table["genre"]], table["path"])


if __name__ == "__main__":
    command_line.run(main)
