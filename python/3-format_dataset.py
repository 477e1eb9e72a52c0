"""Write the features of the test set in the format of the StyleSpace experiment.

    python3 3-format_dataset.py
    python3 3-format_dataset.py --split all     (all clips, after 2-testing.py --split all: the experiment needs 50)

Reads results/music_dataset_testing.csv, or with --split music_dataset_<split>.csv. Writes results/music_dataset.csv (no
header; the genre's code, `<clip_id>_<name>`, the features) and the same as music_dataset.npz.
"""

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import FORMAT, TESTING, Artifacts, fingerprint, require
from music_featurization.dataset.genres import style_space_codes
from music_featurization.evaluation import test_results
from music_featurization.feature_tables import feature_table


def main(argv=None):
    args = parse(argv)
    where = Artifacts(args.root)
    arrays = where.music_dataset_arrays
    table = test_results.files(where, args.split).features
    made_by = TESTING + ("" if args.split == "test" else f" --split {args.split}")

    require(table, made_by)
    source = fingerprint(table)
    if not args.overwrite and is_up_to_date(where.music_dataset, arrays, source):
        print(f"nothing to do: {where.music_dataset} was made from this {table.name}")
        return
    names, features = feature_table.read_csv(table, made_by)
    classes = test_results.classes_of(where)
    codes = style_space_codes(classes)
    genres, clips = zip(*(feature_table.split_row_name(name, classes) for name in names), strict=True)
    coded = [(codes[genre], clip) for genre, clip in zip(genres, clips, strict=True)]
    arrays.unlink(missing_ok=True)  # comes back last: it tells what both files were made from
    feature_table.write_csv(where.music_dataset, coded, features)
    model = test_results.record(where, args.split).get("model", "unknown")
    feature_table.write_npz(arrays, features, clips, genres, model=model, source=source, split=args.split)
    counts = ", ".join(f"{genre} ({codes[genre]}) {genres.count(genre)}" for genre in classes)
    print(f"{len(names)} clips of {args.split} with {features.shape[1]} features: {counts}: {where.music_dataset}")


def parse(argv):
    parser = command_line.parser(__doc__)
    parser.add_argument("--split", choices=test_results.PARTS, default="test", help="clips to write")
    parser.add_argument("--overwrite", action="store_true", help="do it again even if nothing has changed")
    return parser.parse_args(argv)


def is_up_to_date(table, arrays, source):
    """Tell whether both files exist and were made from the CSV with this fingerprint."""
    if not (table.exists() and arrays.exists()):
        return False
    return str(feature_table.read_npz(arrays, FORMAT).get("source")) == source


if __name__ == "__main__":
    command_line.run(main)
