"""Evaluate the tags of the front end on MagnaTagATune's standard split.

    python3 evaluate_tags.py
    python3 evaluate_tags.py --train

Needs datasets/annotations_final.csv and the spectrograms of step 1; the numbers are for the clips of folders d, e and f
that have one of the 50 tags. Writes results/tags.txt and results/tags.json: the areas under the ROC curve and under the
precision-recall curve of each tag, their means, and the published means of musicnn.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.artifacts import PROVIDED_MODEL
from music_featurization.evaluation import tag_evaluation


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--train",
        action="store_true",
        help="also fit a logistic regression per tag on the 512 features of folders 0-b, and evaluate it",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=PROVIDED_MODEL,
        metavar="FILE",
        help="with --train, the network that computes the features",
    )
    parser.add_argument(
        "--jobs",
        type=command_line.positive,
        default=workers.cores(),
        metavar="N",
        help="processes that compute embeddings",
    )
    tag_evaluation.evaluate(**vars(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
