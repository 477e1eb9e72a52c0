"""Step 4: the clips split into train, validation and test (72 %, 8 %, 20 %).

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
    way.add_argument("--group-by", choices=("song", "artist"), help="keep all clips of a song or artist in one part")
    way.add_argument(
        "--split-by", choices=("folder",), help="MagnaTagATune's standard split: folders 0-b train, c val, d-f test"
    )
    way.add_argument("--split-from", type=Path, metavar="DIR", help="folder of a published split's six files")
    parser.add_argument("--overwrite", action="store_true", help="split again, also in another way")
    options = vars(parser.parse_args(argv))
    split.save(Artifacts(options.pop("root")), **options)
    return 0


if __name__ == "__main__":
    command_line.run(main)
