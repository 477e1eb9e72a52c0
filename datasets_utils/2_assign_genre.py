"""Step 2: list the genre and instrument tags of every clip that has a spectrogram.

    python3 2_assign_genre.py
    python3 2_assign_genre.py --merge-synonyms          (opera + operatic, jazz + jazzy, rock + hard rock, ...)
    python3 2_assign_genre.py --genres-from-folders     (no annotations: mp3_files/<genre>/*.mp3)

Reads datasets/annotations_final.csv once, writes datasets/tagged_spectrograms.csv: one row per clip and tag.
"""

from collections.abc import Sequence

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts
from music_featurization.dataset import tags


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--merge-synonyms", action="store_true", help="count synonyms such as opera and operatic as one genre")
    add("--genres-from-folders", action="store_true", help="use the first folder's name as the genre")
    add("--overwrite", action="store_true", help="make the table again, also with other settings")
    options = vars(parser.parse_args(argv))
    tags.assign_tags(Artifacts(options.pop("root")), **options)
    return 0


if __name__ == "__main__":
    command_line.run(main)
