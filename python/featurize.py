"""Genre and 512 features of any music: files or folders, any length.

    python3 featurize.py ~/Music
    python3 featurize.py song.flac live.ogg --out ~/features.npz
    python3 featurize.py ~/Music --windows --out windows.parquet

Writes one row per track: path, seconds, top genre, the network's fingerprint, the probability of each class, the
features; means over windows of 29.1 s (--windows: one row per window). The name's ending chooses CSV, .npz or .parquet.
Run again, it adds the tracks that are missing. What cannot be used stands in <out>.failures.csv with the reason.
"""

import sys
import time
from collections import Counter
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.artifacts import PROVIDED_MODEL, Artifacts, fingerprint
from music_featurization.features import track_table


def main(argv=None):
    args = parse(argv)
    from music_featurization.features import track_features

    out = args.out or Artifacts(args.root).results / "features.csv"
    track_table.require_writable(out)
    tracks = track_features.list_tracks(args.paths)
    classes, model = track_features.read_classes(args.model), fingerprint(args.model)
    if args.overwrite:
        track_table.remove(out)
    tables = track_table.read_done(out, model, args.windows)
    done = {path for table in tables for path in table["path"]}
    to_do = [track for track in tracks if track not in done]
    print(f"{len(tracks)} tracks: {len(tracks) - len(to_do)} done, {len(to_do)} to do", flush=True)
    failures = work(args, out, to_do, classes, model, tables) if to_do else {}
    track_table.write_failures(out, failures)
    if failures:
        print(f"{len(failures)} failed; why: {track_table.failures_file(out)}")
    if not tables:
        return 1
    table = track_table.finish(out, tables)
    genres = ", ".join(f"{genre} {count}" for genre, count in Counter(table["genre"]).most_common())
    print(f"{len(table)} {'windows' if args.windows else 'tracks'} ({genres}): {out}")


def parse(argv):
    parser = command_line.parser(__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="recordings, or folders that hold some")
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
    parser.add_argument("--overwrite", action="store_true", help="make the table anew, without what is in it")
    return parser.parse_args(argv)


def work(args, out, to_do, classes, model, tables):
    """Featurize the tracks to do: adds finished rows to `tables`, gives the failures."""
    from tqdm import tqdm

    from music_featurization.features import track_features
    from music_featurization.network import model_choice

    network = model_choice.load(args.model, classes)
    failures, spent, began = {}, Counter(), time.perf_counter()
    folder = track_table.partial_folder(out) / "spectrograms"
    every = 0.2 if sys.stderr.isatty() else 30  # seconds; a log file wants few lines
    with tqdm(total=len(to_do), unit="track", mininterval=every, miniters=0) as bar:

        def tell(text):
            bar.set_postfix_str(text, refresh=False)
            bar.update(0)

        batches = track_features.in_batches(
            network, to_do, folder, classes, model, by_window=args.windows, jobs=args.jobs, progress=tell
        )
        for table, failed, seconds in batches:
            done = 0 if table is None else table["path"].nunique()
            if done:
                track_table.keep_part(out, table)
                tables.append(table)
            failures.update(failed)
            spent.update(seconds)
            bar.update(done + len(failed))
    if len(failures) < len(to_do):
        print(track_features.speed(len(to_do) - len(failures), time.perf_counter() - began, spent))
    return failures


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
