#!/usr/bin/env python3
"""Compose, play and encode a small data set in the shape of MagnaTagATune.

    python3 0_make_demo_dataset.py --root ../demo
    python3 0_make_demo_dataset.py --root ../more --pieces 600 --seed 7 --soundfont FluidR3_GM.sf2 other.sf2

Original little pieces in six genres (and some in none of them), two clips of 29.1 s from each, as mp3 files of 16 kHz
mono, 32 kbit/s, with tags in annotations_final.csv. The same seed gives the same files, and piece k is the same
whatever --pieces. Run again, it makes only what is missing. It never touches a data set that it did not make.
"""

import argparse
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts, fingerprint
from music_featurization.demo import demo_dataset

PIECES = 120
SEED = 10


def make(root, pieces=PIECES, seed=SEED, soundfont=(), overwrite=False):
    """Make the demo data set, or what is missing of it.

    Parameters
    ----------
    root : Path
    pieces : int
        Each piece gives two clips.
    seed : int
    soundfont : sequence of Path
        Sound fonts (.sf2) among which the pieces are shared out; none: the one that comes with pretty_midi.
    overwrite : bool
        Make everything again.
    """
    from music_featurization.demo import synthesis

    files = Artifacts(root)
    fonts = [synthesis.check_soundfont(font) for font in soundfont] or [synthesis.default_soundfont()]
    settings = {
        "pieces": pieces,
        "seed": seed,
        "soundfonts": [f"{font.name} {fingerprint(font)}" for font in fonts],
        "composer": demo_dataset.COMPOSER,
    }
    planned = demo_dataset.plan(pieces, seed)
    demo_dataset.claim(files, settings, planned, overwrite)
    wanted = {path for piece in planned for _, path in piece.clips()}
    missing = {path for path in wanted if not (files.mp3_files / path).exists()}
    print(f"demo data set: {len(wanted) - len(missing)} clips done, {len(missing)} to do")
    render(
        [piece for piece in planned if missing & {path for _, path in piece.clips()}], files.mp3_files, fonts, missing
    )
    if missing or not files.annotations.exists():
        demo_dataset.write_annotations(files.annotations, planned)
    print(f"{len(wanted)} clips are in {files.mp3_files}, their tags in {files.annotations}")


def render(pieces, folder, fonts, missing):
    """Make the missing clips of some pieces on all cores."""
    if not pieces:
        return
    from joblib import Parallel, delayed
    from tqdm import tqdm

    jobs = (delayed(demo_dataset.make_clips)(piece, folder, fonts, missing) for piece in pieces)
    # More workers than pieces would only cost their start.
    finished = Parallel(n_jobs=-1 if len(pieces) > 3 else 1, return_as="generator_unordered")(jobs)
    for _ in tqdm(finished, total=len(pieces), unit="piece", desc="composing", disable=None):
        pass


def positive(text):
    """A number of pieces from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of pieces, 1 or more")
    return int(text)


def main(argv=None):
    """Command line."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--pieces", type=positive, default=PIECES, metavar="N", help="number of pieces, two clips each")
    parser.add_argument("--seed", type=int, default=SEED, metavar="S", help="seed of everything random")
    parser.add_argument(
        "--soundfont", type=Path, nargs="+", default=[], metavar="FILE",
        help="General MIDI sound fonts (.sf2) to choose among; none: the one that comes with pretty_midi",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="make everything again")
    make(**vars(parser.parse_args(argv)))


if __name__ == "__main__":
    command_line.run(main)
