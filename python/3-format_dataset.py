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

from music_featurization.artifacts import TESTING, Artifacts, PipelineError, fingerprint, require
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
    classes = test_results.classes_of(where)
    content = feature_table.read(test_results.newest_table(where, args.split), classes)
    codes, genres = style_space_codes(classes), content.genres
    if unknown := sorted(set(genres) - set(codes)):
        raise PipelineError(
            f"{table} has the genre {', '.join(unknown)}, which is none of {', '.join(classes)}. "
            f"Run {made_by} --overwrite."
        )
    coded = [(codes[genre], clip) for genre, clip in zip(genres, content.names, strict=True)]
    arrays.unlink(missing_ok=True)  # comes back last: it tells what both files were made from
    feature_table.write_without_header(where.music_dataset, coded, content.features)
    model = content.model_fingerprint or test_results.record(where, args.split).get("model", "")
    rows = content.rows.assign(model=model, source=source, split=args.split)
    feature_table.write(arrays, content._replace(rows=rows))
    counts = ", ".join(f"{genre} ({codes[genre]}) {genres.count(genre)}" for genre in classes)
    size = f"{len(genres)} clips of {args.split} with {content.features.shape[1]} features"
    print(f"{size}: {counts}: {where.music_dataset}")


def parse(argv):
    parser = command_line.parser(__doc__)
    parser.add_argument("--split", choices=test_results.PARTS, default="test", help="clips to write")
    parser.add_argument("--overwrite", action="store_true", help="do it again even if nothing has changed")
    return parser.parse_args(argv)


def is_up_to_date(table, arrays, source):
    """Tell whether both files exist and were made from the CSV with this fingerprint."""
    if not (table.exists() and arrays.exists()):
        return False
    rows = feature_table.read(arrays).rows
    return "source" in rows and rows["source"].iloc[0] == source


if __name__ == "__main__":
    command_line.run(main)
