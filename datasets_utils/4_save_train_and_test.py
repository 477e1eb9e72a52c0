"""Step 4: the clips split into train, validation and test (72 %, 8 %, 20 %).

    python3 4_save_train_and_test.py
    python3 4_save_train_and_test.py --group-by song        (all clips of a song in one part; or: artist)
    python3 4_save_train_and_test.py --split-by folder      (MagnaTagATune's standard split, for numbers to publish)
    python3 4_save_train_and_test.py --split-from DIR       (as published: {train,val,test}_{files,labels}.txt)

Reads datasets/six_genres.csv, writes datasets/train_test_val/{train,val,test}.csv.
"""

from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import (
    STEP_3,
    Artifacts,
    PipelineError,
    fingerprint,
    is_up_to_date,
    read_genres,
    read_table,
    record_provenance,
    require,
    write_table,
)
from music_featurization.dataset import magnatagatune, split
from music_featurization.dataset.tags import GENRE_COLUMNS

FEWEST_CLIPS = 10


def main(argv=None):
    args = parse(argv)
    paths = Artifacts(args.root)
    require(paths.genres, STEP_3)
    classes = read_genres(paths.genres_settings, STEP_3)
    settings = {
        "genres": classes,
        "group_by": args.group_by,
        "split_by": args.split_by,
        "split_from": str(args.split_from) if args.split_from else None,
    }
    inputs, settings_file = fingerprint(paths.genres), paths.split_settings
    if is_up_to_date([paths.split(part) for part in split.PARTS], settings_file, settings, inputs, args.overwrite):
        print(f"{paths.split_folder} is up to date, nothing to do")
        return
    table = read_table(paths.genres, GENRE_COLUMNS, STEP_3)
    split.refuse_wrong_labels(table, classes, paths.genres, STEP_3)
    parts = make_split(table, args)
    settings_file.unlink(missing_ok=True)  # it vouches for the three files together
    for part in split.PARTS:
        write_table(paths.split(part), parts[part])
    record_provenance(settings_file, settings, inputs)
    print(split.counts_table(parts, classes))
    print(*split.missing_genres(parts, classes, args.group_by), paths.split_folder, sep="\n")


def parse(argv):
    parser = command_line.parser(__doc__)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--group-by", choices=("song", "artist"), help="keep all clips of a song or artist in one part")
    way.add_argument(
        "--split-by", choices=("folder",), help="MagnaTagATune's standard split: folders 0-b train, c val, d-f test"
    )
    way.add_argument("--split-from", type=Path, metavar="DIR", help="folder of a published split's six files")
    parser.add_argument("--overwrite", action="store_true", help="split again, also in another way")
    return parser.parse_args(argv)


def make_split(table, args):
    if args.split_from:
        parts, remarks = split.published_split(table, args.split_from)
        print(*remarks, sep="\n", end="\n" if remarks else "")
        return parts
    if len(table) < FEWEST_CLIPS:
        raise PipelineError(f"{len(table)} clips are too few to split: at least {FEWEST_CLIPS} are needed.")
    if args.split_by:
        parts, others = split.by_folder(table), (~table["spectrogram"].map(magnatagatune.is_clip)).sum()
        if others:
            print(f"note: {others} of {len(table)} clips are of no MagnaTagATune album: not its standard split")
        return parts
    if args.group_by is None:
        return split.random_split(table)
    parts = split.grouped_split(table, args.group_by)
    print(f"split by {args.group_by}; {split.deviation(parts)}")
    return parts


if __name__ == "__main__":
    command_line.run(main)
