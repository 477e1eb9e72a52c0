"""Genre and 512 features of any music: files or folders, any length.

    python3 featurize.py ~/Music
    python3 featurize.py song.flac live.ogg --out ~/features.npz
    python3 featurize.py ~/Music --windows --out windows.parquet

Writes one row per track: path, seconds, top genre, the network's fingerprint, a note on a recording that is damaged,
size and time of the file, the probability of each class, the features; means over windows of 29.1 s (--windows: one row
per window). The name's ending chooses CSV, .npz or .parquet. A path is relative to the table's folder if the track is
below it, and absolute otherwise. Run again, it adds the tracks that are missing or have changed. What cannot be used is
listed in <out>.failures.csv with the reason.
"""

from collections import Counter
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.artifacts import PROVIDED_MODEL, Artifacts, fingerprint


def main(argv=None):
    args = parse(argv)
    from music_featurization.feature_tables import feature_table, table_run, tracks
    from music_featurization.network import checkpoints

    out = args.out or Artifacts(args.root).features
    feature_table.require_format(out)
    classes, model = checkpoints.require_compatible(args.model), fingerprint(args.model)
    found, left_out = tracks.find(args.paths, out)
    for line in left_out.lines():
        print(line)
    with table_run.owned(out):
        return featurize(args, out, found, classes, model)


def parse(argv):
    parser = command_line.parser(__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="recordings, or folders that contain some")
    parser.add_argument(
        "--model", type=Path, default=PROVIDED_MODEL, metavar="FILE", help="the network (default: the provided one)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the table (default: results/features.csv under --root)"
    )
    parser.add_argument("--windows", action="store_true", help="one row per window instead of the mean over a track")
    parser.add_argument(
        "--jobs", type=command_line.positive, default=workers.cores(), metavar="N", help="worker processes"
    )
    parser.add_argument("--overwrite", action="store_true", help="make the table again, without what is in it")
    return parser.parse_args(argv)


def featurize(args, out, found, classes, model):
    """Make or complete the table; returns the exit status."""
    from music_featurization.feature_tables import table_run, track_features
    from music_featurization.network import checkpoints

    tables = [] if args.overwrite else table_run.read_done(out, model, args.windows)
    tables, to_do = table_run.compare(tables, found, out)
    print(f"{len(found)} tracks: {len(found) - len(to_do)} done, {len(to_do)} to do", flush=True)
    network = checkpoints.load(args.model, classes) if to_do else None
    if args.overwrite:
        table_run.remove(out)  # not before everything that can be checked has been checked
    options = {"by_window": args.windows, "jobs": args.jobs}
    failures = track_features.complete(out, tables, network, to_do, classes, model, **options) if to_do else {}
    table_run.write_failures(out, failures)
    if failures:
        print(f"{len(failures)} failed; why: {table_run.failures_file(out)}")
    table = table_run.finish(out, tables)
    if table is None:
        return 1
    if noted := table.rows.loc[table.rows["note"] != "", "recording"].nunique():
        print(f"{noted} used in part; why: the column note")
    genres = ", ".join(f"{genre} {count}" for genre, count in Counter(table.genres).most_common())
    print(f"{len(table.rows)} {'windows' if args.windows else 'tracks'} ({genres}): {out}")
    return 0


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
