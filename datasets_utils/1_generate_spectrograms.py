"""Step 1: make a log-mel spectrogram (.npy) of every clip below datasets/mp3_files.

    python3 1_generate_spectrograms.py
    python3 1_generate_spectrograms.py --root ~/magnatagatune --jobs 8
    python3 1_generate_spectrograms.py --check
    python3 1_generate_spectrograms.py --shard 3/20        (one of 20 jobs of a cluster)
    python3 1_generate_spectrograms.py --dask tcp://host:8786

Makes the missing spectrograms only: run it again after an interruption. Clips that cannot be read are listed in
datasets/spectrograms/failures.csv with the reason.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.artifacts import TRAINING, Artifacts
from music_featurization.dataset import spectrogram_folder, table_check
from music_featurization.network import embeddings


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    add, positive = parser.add_argument, command_line.positive
    add("--jobs", type=positive, default=workers.cores(), metavar="N", help="number of worker processes")
    add("--overwrite", action="store_true", help="make all spectrograms again")
    add("--retry-failed", action="store_true", help="try the clips in failures.csv again")
    add("--check", action="store_true", help="make nothing, and list what is wrong with the files of steps 1 to 4")
    add("--shard", type=command_line.shard, metavar="I/N", help="make only the I-th of N parts (default: everything)")
    add("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster that does the work (default: this machine does)")
    add("--time-limit", type=positive, default=workers.TIME_LIMIT, metavar="S", help="seconds for one clip, an integer")
    options = vars(parser.parse_args(argv))
    artifacts = Artifacts(options.pop("root"))
    if options.pop("check"):
        return check(artifacts)
    counts = spectrogram_folder.generate_missing(artifacts, **options)
    return 1 if counts["failed"] and not counts["done"] else 0


def check(artifacts: Artifacts) -> int:
    """List every spectrogram, embedding and table that is wrong; the exit status is 1 if there is any."""
    spectrogram_folder.require_our_settings(artifacts.spectrograms)
    spectrograms = dict(spectrogram_folder.check(artifacts))
    orphans = {path for path, problem in spectrograms.items() if problem == spectrogram_folder.RECORDING_MISSING}
    for path in sorted(orphans):
        print(f"{path}: {spectrograms[path]}")
    if orphans:
        count = command_line.plural(len(orphans), "spectrogram")
        print(f"{count} without a recording: restore the recordings, or delete the spectrograms")
    others = {path: problem for path, problem in spectrograms.items() if path not in orphans}
    wrong = len(orphans) + list_wrong("spectrogram", others, ": delete them and run step 1 again")
    embedded = dict(embeddings.check(artifacts))
    if embedded:
        wrong += list_wrong("embedding", embedded, f": delete them and run {TRAINING} again")
    tables = dict(table_check.check(artifacts, spectrograms))
    if tables:
        wrong += list_wrong("table", tables)
    return 1 if wrong or not spectrograms else 0


def list_wrong(noun: str, problems: dict[str, str | None] | dict[Path, str | None], advice: str = "") -> int:
    """Print what is wrong with the files of a kind, and return how many are wrong."""
    wrong = {path: problem for path, problem in problems.items() if problem}
    for path, problem in wrong.items():
        print(f"{path}: {problem}")
    print(f"{command_line.plural(len(problems), noun)} checked, {len(wrong)} wrong{advice if wrong else ''}")
    return len(wrong)


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
