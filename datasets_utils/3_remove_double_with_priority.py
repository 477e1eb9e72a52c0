"""Step 3: one genre per clip, the first in order of priority.

    python3 3_remove_double_with_priority.py
    python3 3_remove_double_with_priority.py --genres techno,indian,ambient
    python3 3_remove_double_with_priority.py --genres genres.txt      (one genre a line: names with commas)

Reads datasets/tagged_spectrograms.csv, writes datasets/six_genres.csv (of six genres or however many --genres names).
"""

import argparse
import os
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import (
    STEP_2,
    Artifacts,
    PipelineError,
    fingerprint,
    is_up_to_date,
    read_table,
    record_provenance,
    require,
    write_table,
)
from music_featurization.dataset import genres, tags


def main(argv=None):
    args = parse(argv)
    paths = Artifacts(args.root)
    require(paths.tagged, STEP_2)
    settings, inputs = (
        {"genres": list(genres.label_order(args.genres)), "priority": args.genres},
        fingerprint(paths.tagged),
    )
    settings_file = paths.genres_settings
    if is_up_to_date([paths.genres], settings_file, settings, inputs, args.overwrite):
        print(f"{paths.genres} is up to date, nothing to do")
        return
    tagged = read_table(paths.tagged, tags.TAGGED_COLUMNS, STEP_2)
    table = tags.one_genre_per_clip(tagged, args.genres)
    if not len(table):
        there = sorted(set(tagged["tag"][tagged["kind"] == "genre"]))
        raise PipelineError(
            f"No clip has one of {', '.join(args.genres)}. Genres there are: {', '.join(there) or 'none'}."
        )
    settings_file.unlink(missing_ok=True)  # a table that is new does not pass for one of the old settings
    write_table(paths.genres, table)
    record_provenance(settings_file, settings, inputs)
    print_counts(table, settings["genres"], paths.genres)


def parse(argv):
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--genres", type=genre_list, default=",".join(genres.PRIORITY), metavar="A,B,C",
        help="the genres that count, the one that wins first; or a text file with one genre a line",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="make the table again, also with other genres")
    return parser.parse_args(argv)


def genre_list(text):
    names = [genres.tag_name(name) for name in genre_lines(text) if name.strip()]
    if len(names) < 2 or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text}: two or more different genres are needed, or a file that lists them")
    return names


def genre_lines(text):
    """Names as written, from a file of that name if there is one."""
    if not os.path.isfile(text):  # unlike Path.is_file, also right for a list longer than a file name can be
        return text.split(",")
    try:
        return Path(text).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{text} is not a readable text file ({error})") from error


def print_counts(table, classes, path):
    counts = table["genre"].value_counts().reindex(classes, fill_value=0)
    print("genre        label   clips")
    for label, (genre, count) in enumerate(counts.items()):
        print(f"{genre:<12} {label:>5} {count:>7}")
    print(f"{'all':<18} {len(table):>7}\n{path}")
    if (counts == 0).any():
        print(f"no clip at all: {', '.join(counts.index[counts == 0])}")


if __name__ == "__main__":
    command_line.run(main)
