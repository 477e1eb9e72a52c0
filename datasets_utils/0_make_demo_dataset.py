"""Compose, play and encode a small data set in the shape of MagnaTagATune.

    python3 0_make_demo_dataset.py --root ../demo
    python3 0_make_demo_dataset.py --root ../more --pieces 600 --seed 7 --soundfont FluidR3_GM.sf2 other.sf2

Writes original pieces in six genres (and some in none of them), two clips of 29.1 s from each, as mp3 files of 16 kHz
mono, 32 kbit/s, with tags in annotations_final.csv. The same seed gives the same files, and piece k is the same for any
--pieces. A second run makes only the clips that are missing. A data set that the script did not make is never changed.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.demo import demo_dataset


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--pieces", type=command_line.positive, default=120, metavar="N", help="number of pieces, two clips each"
    )
    parser.add_argument("--seed", type=int, default=10, metavar="S", help="random seed, an integer")
    parser.add_argument(
        "--soundfont", type=Path, nargs="+", default=[], metavar="FILE",
        help="General MIDI sound fonts (.sf2) to choose among (default: the one that comes with pretty_midi)",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="make all clips again")
    demo_dataset.make(**vars(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    command_line.run(main)
