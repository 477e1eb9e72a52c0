"""How fast featurize.py is, beside the original musicnn fed by librosa, on the same tracks, in one run.

    python3 extras/benchmarks/featurize_speed.py music --wheel musicnn-0.1.0-py3-none-any.whl
    python3 extras/benchmarks/featurize_speed.py --make 100 --wheel musicnn-0.1.0-py3-none-any.whl

The original decodes with librosa and runs one network, MTT_musicnn: 50 tags. This project runs both musicnn networks
and its own: 100 tags, the genre and 512 features. Each contender is measured in processes of one thread each, which
are started and warmed up before the clock runs; contenders alternate, track for track, round for round. The wheel is
that of `pip download --no-deps musicnn==0.1.0`. Writes results/featurize_speed.json.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import bench_clips

from music_featurization import workers

FOLDER = Path(__file__).resolve().parent
RESULT = FOLDER / "results" / "featurize_speed.json"
_analyse: Callable[[str], object]  # in a worker: what its contender does with a track


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="recordings; all below it are used")
    parser.add_argument("--make", type=int, metavar="N", help="make N clips of 29.1 s instead")
    parser.add_argument("--wheel", type=Path, required=True, help="musicnn 0.1.0")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender (default: 3)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch) / "music"
        if args.make:
            bench_clips.make(folder, args.make, linked=False)
        rows = compare(folder, args.wheel, Path(scratch), args.rounds)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")
    print(json.dumps(rows, indent=2))
    return 0


def compare(folder: Path, wheel: Path, scratch: Path, rounds: int) -> dict:
    """Measure both contenders with 1 and 2 processes; return tracks per second and the ratio."""
    from music_featurization import file_tree
    from music_featurization.audio import decoding

    tracks = [str(folder / name) for name in file_tree.files(folder, decoding.FILE_ENDINGS)]
    starts = {"ours": (_start_ours,), "original": (_start_original, wheel, scratch)}
    rows: dict = {"tracks": len(tracks)}
    for processes in (1, 2):
        seconds: dict[str, list[float]] = {name: [] for name in starts}
        pools = {name: _pool(processes, *start) for name, start in starts.items()}
        for name in starts:
            list(pools[name].map(_do, tracks[: 4 * processes], chunksize=2))
        for _ in range(rounds):
            for name in starts:
                began = time.perf_counter()
                list(pools[name].map(_do, tracks, chunksize=4))
                seconds[name].append(time.perf_counter() - began)
        speeds = {name: len(tracks) / statistics.median(values) for name, values in seconds.items()}
        rows[f"{processes} processes"] = {
            **{f"{name}, tracks/s": round(speed, 2) for name, speed in speeds.items()},
            "ratio": round(speeds["ours"] / speeds["original"], 2),
            "peak memory of a process of ours, MB": max(pools["ours"].map(_peak_memory, range(8 * processes))),
        }
        for pool in pools.values():
            pool.shutdown()
    return rows


def _pool(processes: int, *start) -> ProcessPoolExecutor:
    os.environ |= workers.ENVIRONMENT  # inherited
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, spawn, initializer=_start, initargs=start)


def _start(start: Callable, *args) -> None:
    global _analyse
    _analyse = start(*args)


def _start_ours() -> Callable[[str], object]:
    from music_featurization.feature_tables import track_features

    networks = track_features.load_networks()
    return lambda path: track_features.analyse(path, networks)


def _start_original(wheel: Path, scratch: Path) -> Callable[[str], object]:
    import librosa
    import numpy as np

    spec = importlib.util.spec_from_file_location("original", FOLDER.parent / "front_end" / "original.py")
    original = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(original)

    folder = scratch / str(os.getpid())
    folder.mkdir()
    original.unpack(wheel, folder)
    run = original.load_original(folder / "mtt")

    def tag(path: str) -> np.ndarray:
        """Compute the tags as musicnn.extractor does, except that its float16 overflows at loud levels."""
        samples, _ = librosa.load(path, sr=16000)
        power = librosa.feature.melspectrogram(y=samples, sr=16000, n_fft=512, hop_length=256, n_mels=96).T
        log_mel = np.log10(10000 * power + 1).astype(np.float32)
        windows = [log_mel[start : start + 187] for start in range(0, len(log_mel) - 186, 187)]
        return run(np.stack(windows))["tags"].mean(axis=0)

    return tag


def _do(path: str) -> None:
    _analyse(path)


def _peak_memory(_: int) -> int:
    """Return the highest resident memory of this process in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 // 1_000_000 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main())
