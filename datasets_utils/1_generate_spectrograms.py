"""Step 1: a log-mel spectrogram (.npy) of every clip below datasets/mp3_files.

    python3 1_generate_spectrograms.py
    python3 1_generate_spectrograms.py --root ~/magnatagatune --jobs 8
    python3 1_generate_spectrograms.py --check
    python3 1_generate_spectrograms.py --shard 3/20        (one of 20 jobs of a cluster)
    python3 1_generate_spectrograms.py --dask tcp://host:8786

Makes what is missing and says so; run it again after an interruption. Clips that cannot be read are listed in
datasets/spectrograms/failures.csv with the reason.
"""

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.artifacts import TRAINING, Artifacts, PipelineError
from music_featurization.dataset import spectrogram_folder, table_check
from music_featurization.network import embeddings


def main(argv=None):
    args = parse(argv)
    paths = Artifacts(args.root)
    if args.check:
        return check(paths)
    if not paths.mp3_files.is_dir():
        raise PipelineError(
            f"{paths.mp3_files} does not exist. Put MagnaTagATune's folders 0-9 and a-f there (README, 'The data set'),"
            " or run `make demo` to try everything on music that the project composes itself."
        )
    if args.overwrite:
        spectrogram_folder.remove(paths.spectrograms, args.shard)
        embeddings.remove(paths.embeddings, args.shard)  # they are made from the spectrograms
    spectrogram_folder.prepare(paths.spectrograms)
    counts = spectrogram_folder.generate_missing(
        paths.spectrograms,
        paths.mp3_files,
        jobs=args.jobs,
        time_limit=args.time_limit,
        dask=args.dask,
        shard=args.shard,
        retry_failed=args.retry_failed,
    )
    return 1 if counts["failed"] and not counts["done"] else 0


def parse(argv):
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--jobs", type=command_line.positive, default=workers.cores(), metavar="N", help="worker processes"
    )
    parser.add_argument("--overwrite", action="store_true", help="make all spectrograms again")
    parser.add_argument("--retry-failed", action="store_true", help="try the clips in failures.csv again")
    parser.add_argument(
        "--check", action="store_true", help="make nothing; list what is wrong with steps 1 to 4's files"
    )
    parser.add_argument("--shard", type=command_line.shard, metavar="I/N", help="do only the I-th of N parts")
    parser.add_argument("--dask", metavar="ADDRESS", help="let a Dask cluster do the work: its scheduler's address")
    parser.add_argument(
        "--time-limit",
        type=command_line.positive,
        default=workers.TIME_LIMIT,
        metavar="S",
        help="seconds for one clip",
    )
    return parser.parse_args(argv)


def check(paths):
    """List every spectrogram and table that is wrong; exit status 1 if there is any."""
    spectrogram_folder.require_our_settings(paths.spectrograms)
    spectrograms = dict(spectrogram_folder.check(paths.spectrograms))
    wrong = _list_wrong("spectrograms", spectrograms, ": delete them and run step 1 again")
    tables = {path.relative_to(paths.root): problem for path, problem in table_check.check(paths, spectrograms)}
    embedded = dict(embeddings.check(paths))
    if embedded:
        wrong += _list_wrong("files of embeddings", embedded, f": delete them and run {TRAINING} again")
    if tables:
        wrong += _list_wrong("tables", tables)
    return 1 if wrong or not spectrograms else 0


def _list_wrong(what, problems, advice=""):
    found = {path: problem for path, problem in problems.items() if problem}
    for path, problem in found.items():
        print(f"{path}: {problem}")
    print(f"{len(problems)} {what} checked, {len(found)} wrong{advice if found else ''}")
    return len(found)


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
