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
    add = parser.add_argument_group("data").add_argument
    add("--jobs", type=positive, default=workers.cores(), metavar="N", help="processes that compute embeddings")
    add("--shard", type=command_line.shard, metavar="I/N", help="compute a part of all embeddings, then stop")
    add("--dask", metavar="ADDRESS", help="compute embeddings on a Dask cluster: its scheduler's address")
    add = parser.add_argument_group("network").add_argument
    add("--network", choices=networks.NETWORKS, default="crnn", help="which network to train")
    about = "start of its convolutions: pretrained, none (random) or, for vgg16, a file (default: pretrained)"
    add("--weights", metavar="WHICH", help=about)
    add("--fine-tune", action="store_true", help="train the pre-trained convolutions too")
    add("--start-from", type=Path, metavar="FILE", help="continue from this checkpoint, also with other genres")
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--epochs", type=positive, default=20, metavar="N", help="passes over the training clips")
    add("--early-stop", type=count, default=0, metavar="N", help="stop after N epochs without a lower validation loss")
    add("--seed", type=count, default=1, metavar="N", help="decides everything random")
    recipe.add_options(group)
    add = parser.add_argument_group("output").add_argument
    add("--keep", choices=("all", "best"), default="all", help="which checkpoints to keep")
    add("--tensorboard", type=Path, metavar="DIR", help="write logs for TensorBoard there")
    about = "remove the checkpoints of an earlier run, and embeddings made by another front end"
    add("--overwrite", action="store_true", help=about)
    train(**vars(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
