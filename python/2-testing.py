"""Classify the test set and write predictions and features.

    python3 2-testing.py
    python3 2-testing.py --model ../models/epoch_07_0.8125.h5
    python3 2-testing.py --split all

Without --model it uses the epoch of lowest validation loss in models/, or the provided best_model.h5 if there is none.
Writes results/prediction.npy, prediction_probabilities.npy, music_dataset_testing.csv (name and features of each
clip), the same table as music_dataset_testing.npz, and testing.json: what they were made from, and the accuracy. With
--split train or all the .npz marks the clips that were in training, and the accuracy of the others is given separately.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.evaluation import results
from music_featurization.evaluation.classification import classify_split


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE", help="the network, a Keras .h5 file (default: see above)")
    parser.add_argument(
        "--split",
        choices=results.PARTS,
        default="test",
        help="clips to classify; train, val and all get files of their own",
    )
    parser.add_argument("--batch-size", type=command_line.positive, default=32, metavar="N", help="clips per step")
    parser.add_argument("--overwrite", action="store_true", help="classify again even if nothing has changed")
    classify_split(**vars(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
