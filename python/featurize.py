"""Write genre and 512 features of any music: files or folders, any length.

    python3 featurize.py ~/Music
    python3 featurize.py song.flac live.ogg --tags --out ~/features.npz
    python3 featurize.py ~/Music --every 3 --out steps.parquet
    python3 featurize.py ~/Music --shard 3/20              (one of 20 jobs of a cluster; without --shard it joins them)
    python3 featurize.py ~/Music --dask tcp://host:8786

One row per track, or with --every per time step of so many seconds (a remainder shorter than half a step is left out).
The columns:

    path                  relative to the table's folder if the track is below it, absolute otherwise
    start, end            seconds, only with --every
    seconds               how much of the track or step was analysed: without silence
    genre                 the most probable class
    model                 fingerprint of the network
    note                  what is wrong with a recording that is damaged, else empty
    bytes, modified       size and time of the file, by which a changed file is noticed
    probability_<class>   of each class of the network; they add to 1
    mtt_<tag>, msd_<tag>  only with --tags: probability of 50 tags by each of the two musicnn networks
    feature_000, ...      512 features

A track is analysed in windows of 29.1 s, whose results are averaged. The ending of --out chooses .csv, .parquet or
.npz; in the latter `path` is called `recording`, and the features are one array `features`. Run again, the command adds
the tracks that are missing or have changed. What cannot be used is listed in <out>.failures.csv with the reason.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.artifacts import PROVIDED_MODEL, Artifacts


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="recordings, or folders that contain some")
    add("--model", type=Path, default=PROVIDED_MODEL, metavar="FILE", help="the network (default: the provided one)")
    add = parser.add_argument_group("table").add_argument
    add("--out", type=Path, metavar="FILE", help="the table (default: results/features.csv under --root)")
    add("--every", type=float, metavar="SECONDS", help="one row per time step of this length instead of per track")
    add("--tags", action="store_true", help="add the probabilities of 100 tags")
    add("--overwrite", action="store_true", help="make the table again, without its present rows")
    add = parser.add_argument_group("processes").add_argument
    add("--jobs", type=command_line.positive, default=workers.cores(), metavar="N", help="worker processes")
    add("--dask", metavar="ADDRESS", help="work on the Dask cluster whose scheduler has this address")
    add("--shard", type=command_line.shard, metavar="I/N", help="analyse only the I-th of N parts of the recordings")
    options = vars(parser.parse_args(argv))
    # Imported after the arguments are checked, because it takes a second.
    from music_featurization.feature_tables.featurize import featurize

    artifacts = Artifacts(options.pop("root"))
    out = options.pop("out") or artifacts.features
    table = featurize(options.pop("paths"), out, **options)
    return 1 if table is None and not options["shard"] else 0


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
