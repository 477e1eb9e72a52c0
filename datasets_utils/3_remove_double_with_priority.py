"""Step 3: choose one genre per clip, the first in order of priority.

    python3 3_remove_double_with_priority.py
    python3 3_remove_double_with_priority.py --genres techno,indian,ambient
    python3 3_remove_double_with_priority.py --genres genres.txt      (one genre a line: names with commas)

Reads datasets/tagged_spectrograms.csv, writes datasets/six_genres.csv, for any number of genres.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts
from music_featurization.dataset import genres, tags


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--genres", type=genre_list, default=",".join(genres.PRIORITY), metavar="A,B,C",
        help="genres in order of priority, two or more; or a text file with one genre a line",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="make the table again, also with other genres")
    args = parser.parse_args(argv)
    tags.choose_genres(Artifacts(args.root), priority=args.genres, overwrite=args.overwrite)
    return 0


def genre_list(text: str) -> list[str]:
    """Convert an argument that is a list of genres, or a text file that contains one."""
    names = text.split(",")
    if os.path.isfile(text):  # unlike Path.is_file, also right for a list longer than a file name can be
        try:
            names = Path(text).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise argparse.ArgumentTypeError(f"{text} is not a readable text file ({error})") from error
    elif len(names) == 1:
        raise argparse.ArgumentTypeError(
            f"there is no file {text}, and one genre is too few: give two or more, separated by commas, or a text file"
        )
    chosen = [genres.tag_name(name) for name in names if name.strip()]
    if len(chosen) < 2 or len(set(chosen)) < len(chosen):
        raise argparse.ArgumentTypeError(f"{text}: two or more different genres are needed, or a file that lists them")
    return chosen


if __name__ == "__main__":
    command_line.run(main)
