"""Step 4: split the clips into train, validation and test (72 %, 8 %, 20 %).

    python3 4_save_train_and_test.py
    python3 4_save_train_and_test.py --group-by song        (all clips of a song in one part; or: artist)
    python3 4_save_train_and_test.py --split-by folder      (MagnaTagATune's standard split, for numbers to publish)
    python3 4_save_train_and_test.py --split-from DIR       (as published: {train,val,test}_{files,labels}.txt)

Reads datasets/six_genres.csv, writes datasets/train_test_val/{train,val,test}.csv.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts
from music_featurization.dataset import split


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    way = parser.add_mutually_exclusive_group()
    add = way.add_argument
    add(
        "--group-by", choices=("song", "artist"), help="keep all clips of a song or artist in one part (default: don't)"
    )
    add("--split-by", choices=("folder",), help="use MagnaTagATune's standard split (default: split at random)")
    add("--split-from", type=Path, metavar="DIR", help="use the published split in a folder (default: split at random)")
    parser.add_argument("--overwrite", action="store_true", help="split again, also in another way")
    options = vars(parser.parse_args(argv))
    split.save(Artifacts(options.pop("root")), **options)
    return 0


if __name__ == "__main__":
    command_line.run(main)
