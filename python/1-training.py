"""Train the network and write one checkpoint per epoch.

    python3 1-training.py
    python3 1-training.py --epochs 40 --early-stop 10 --keep best
    python3 1-training.py --fine-tune                                   (train the pre-trained convolutions too)
    python3 1-training.py --start-from ../models/best_model.h5          (continue, also with other genres)
    python3 1-training.py --network vgg16 --weights none --overwrite
    python3 1-training.py --shard 3/20                                  (only the embeddings of one of 20 parts)

The output of the frozen front end is computed once per clip and stored in datasets/embeddings. Run the same command
again after an interruption: it continues after the last finished epoch.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.network import networks, recipe
from music_featurization.network.training_run import train


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    count, positive = command_line.count, command_line.positive
    add = parser.add_argument_group("embeddings").add_argument
    add("--jobs", type=positive, default=workers.cores(), metavar="N", help="worker processes that compute embeddings")
    text = "compute the embeddings of the I-th of N parts of the clips, and do not train"
    add("--shard", type=command_line.shard, metavar="I/N", help=text)
    add("--dask", metavar="ADDRESS", help="compute embeddings on the Dask cluster whose scheduler has this address")
    add = parser.add_argument_group("network").add_argument
    add("--network", choices=networks.NETWORKS, default="crnn", help="the network to train")
    text = "weights of the convolutions at the start: pretrained, none (random) or, for vgg16, a file"
    add("--weights", metavar="WHICH", help=f"{text} (default: pretrained)")
    add("--fine-tune", action="store_true", help="train the pre-trained convolutions too")
    add("--start-from", type=Path, metavar="FILE", help="start from this checkpoint, which may have other genres")
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--epochs", type=positive, default=20, metavar="N", help="passes over the training clips")
    add(
        "--early-stop",
        type=count,
        default=0,
        metavar="N",
        help="stop after N epochs without a lower validation loss (default: never)",
    )
    add("--seed", type=count, default=1, metavar="N", help="seed of everything random")
    recipe.add_options(group)
    add = parser.add_argument_group("output").add_argument
    add("--keep", choices=("all", "best"), default="all", help="checkpoints to keep: of all epochs, or of the best")
    add("--tensorboard", type=Path, metavar="DIR", help="folder for logs of TensorBoard (default: none are written)")
    text = "remove the checkpoints of an earlier run, and embeddings made by another front end"
    add("--overwrite", action="store_true", help=text)
    train(**vars(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
