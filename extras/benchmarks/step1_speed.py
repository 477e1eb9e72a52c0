"""How fast step 1 is: beside decoding alone, plain librosa and the original's way; with 1, 2, ... processes.

    python3 extras/benchmarks/step1_speed.py

Makes its own clips. All ways take turns in each round, so that a busy machine slows all of them; read the ratios. One
process is measured in processor time, which does not count waiting for the processor while others use it. Prints a
table, writes results/step1_speed.json beside itself.
"""

import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[threads] = "1"  # so that one process uses one core, in each way

import argparse
import functools
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import bench_clips
import librosa
import librosa.display
import matplotlib
import numpy as np
import soundfile

from music_featurization import workers
from music_featurization.dataset import spectrogram_folder

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULT = Path(__file__).parent / "results" / "step1_speed.json"
CLIPS = 24  # of each way in turn: enough that its code and tables are in the cache, as in a run
CLIPS_PER_PROCESS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each way (default: 9)")
    rounds = parser.parse_args().rounds
    cores = workers.cores()
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "mp3_files", Path(scratch) / "out"
        clips = bench_clips.make(folder, CLIPS_PER_PROCESS * cores)
        result = {"cores": cores, "rounds": rounds, "load": round(os.getloadavg()[0], 1)}
        result["ways"] = compare_ways(clips[:CLIPS], folder, out, rounds)
        result["ratios"] = print_ratios(result["ways"])
        result["processes"] = compare_processes(clips, folder, out, max(3, rounds // 3), cores)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def decoding(clip: str, folder: Path, out: Path) -> None:
    soundfile.read(folder / clip, dtype="float32")


def ours(clip: str, folder: Path, out: Path) -> None:
    assert spectrogram_folder.generate(clip, clips_folder=folder, folder=out) is None


def plain_librosa(clip: str, folder: Path, out: Path) -> None:
    """Make the same spectrogram in the usual way."""
    samples, rate = librosa.load(folder / clip, sr=16000)
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=512, hop_length=256, n_mels=96)
    np.save(out / "librosa.npy", np.log10(1 + 10000 * power * (0.3 / power.mean())).astype(np.float16))


def original(clip: str, folder: Path, out: Path) -> None:
    """Draw it as the published original did (Bahuleyan's code): axes over the whole figure, colours of `jet`."""
    samples, rate = librosa.load(folder / clip, sr=22050)
    samples = librosa.effects.preemphasis(samples, coef=0.97, zi=[0])
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=2048, hop_length=512, n_mels=96, fmax=11025)
    plt.figure(figsize=(3, 3))
    plt.axis("off")
    plt.axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    librosa.display.specshow(librosa.power_to_db(power, ref=np.max, top_db=80), cmap="jet")
    plt.savefig(out / "picture.jpg", bbox_inches=None, pad_inches=0)
    plt.close()


WAYS = {"decoding": decoding, "step 1": ours, "librosa": plain_librosa, "original": original}


def compare_ways(clips: list[str], folder: Path, out: Path, rounds: int) -> dict[str, dict]:
    """Measure processor milliseconds per clip of each way: median over rounds, range, median ratio to step 1."""
    times = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        taken = {}
        shutil.rmtree(out, ignore_errors=True)  # replacing a file costs more than making one
        out.mkdir()
        for name, way in WAYS.items():
            began = time.process_time()
            for clip in clips:
                way(clip, folder, out)
            taken[name] = 1000 * (time.process_time() - began) / len(clips)
        for name, value in taken.items() if number else ():  # the first round warms up
            times[name].append(value)
    table = {name: summary(values) for name, values in times.items()}
    for name, row in table.items():
        row["times step 1"] = round(statistics.median(map(lambda a, b: a / b, times[name], times["step 1"])), 2)
        print(f"{name:9} {row['median']:7.1f} ms per clip ({row['least']:.1f} to {row['most']:.1f}), "
              f"{row['times step 1']:.2f} times step 1")  # fmt: skip
    return table


def print_ratios(ways: dict[str, dict]) -> dict[str, float]:
    """Print the ratios of the medians with what is required of them."""
    step = ways["step 1"]["median"]
    ratios = {
        "step 1 / decoding": (step / ways["decoding"]["median"], "at most 2.3, goal 1.8"),
        "librosa / step 1": (ways["librosa"]["median"] / step, "at least 1.15"),
        "original / step 1": (ways["original"]["median"] / step, "at least 9"),
    }
    for name, (ratio, required) in ratios.items():
        print(f"{name:18} {ratio:.2f} ({required})")
    return {name: round(ratio, 2) for name, (ratio, _) in ratios.items()}


def compare_processes(clips: list[str], folder: Path, out: Path, rounds: int, cores: int) -> dict[str, dict]:
    """Measure clips per second by the clock with 1, 2, 4, ... processes, all in each round."""
    counts = [1, *(number for number in (2, 4, 8, 16, 32, 64) if number <= cores)]
    speeds = {jobs: [] for jobs in counts}
    make = functools.partial(spectrogram_folder.generate, clips_folder=folder, folder=out)
    for _ in range(rounds):
        for jobs in counts:
            list(workers.run(make, clips[: 16 * jobs], jobs=jobs))  # starts the workers
            shutil.rmtree(out)
            began, some = time.perf_counter(), clips[: CLIPS_PER_PROCESS * jobs]
            assert not any(failure for _, failure in workers.run(make, some, jobs=jobs))
            speeds[jobs].append(len(some) / (time.perf_counter() - began))
    table = {str(jobs): summary(values) for jobs, values in speeds.items()}
    for jobs, row in table.items():
        row["times one process"] = round(statistics.median(map(lambda a, b: a / b, speeds[int(jobs)], speeds[1])), 2)
        print(f"{jobs:>2} processes {row['median']:6.1f} clips/s ({row['least']:.1f} to {row['most']:.1f}), "
              f"{row['times one process']:.2f} x one")  # fmt: skip
    return table


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


if __name__ == "__main__":
    main()
