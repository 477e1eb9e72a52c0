"""How fast step 1 is: beside the original's way, plain librosa and decoding alone; with 1, 2, ... processes.

    .venv/bin/python extras/benchmarks/step1_speed.py

Makes its own clips. All ways take turns, so that a busy machine slows all of them; read the ratios. Prints
a table, writes results/step1_speed.json beside itself.
"""

import os

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[threads] = "1"  # one process is to mean one core, for each way

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
CLIPS = 8  # in the comparison of ways
CLIPS_PER_PROCESS = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    rounds = parser.parse_args().rounds
    cores = workers.cores()
    with tempfile.TemporaryDirectory() as scratch:
        folder, made = Path(scratch) / "mp3_files", Path(scratch) / "made"
        clips = bench_clips.make(folder, CLIPS_PER_PROCESS * cores)
        result = {"cores": cores, "rounds": rounds, "ways": compare_ways(clips[:CLIPS], folder, made, rounds)}
        result["processes"] = compare_processes(clips, folder, made, max(3, rounds // 3), cores)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def librosa_spectrogram(path):
    samples, rate = librosa.load(path, sr=22050)
    samples = librosa.effects.preemphasis(samples, coef=0.97, zi=[0])
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=2048, hop_length=512, n_mels=96, fmax=11025)
    return librosa.power_to_db(power, ref=np.max, top_db=80)


def original(clip, folder, made):
    """As the published original drew it (Bahuleyan's code): axes over the whole figure, colours of `jet`."""
    log_mel = librosa_spectrogram(folder / clip)
    plt.figure(figsize=(3, 3))
    plt.axis("off")
    plt.axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    librosa.display.specshow(log_mel, cmap="jet")
    plt.savefig(made / "picture.jpg", bbox_inches=None, pad_inches=0)
    plt.close()


def plain_librosa(clip, folder, made):
    np.save(made / "librosa.npy", librosa_spectrogram(folder / clip).astype(np.float16))


def ours(clip, folder, made):
    assert spectrogram_folder.generate(clip, clips_folder=folder, folder=made) is None


def decoding(clip, folder, made):
    soundfile.read(folder / clip, dtype="float32")


def compare_ways(clips, folder, made, rounds):
    """Milliseconds per clip of each way, one process: median over rounds and range; ratios of the medians."""
    ways = {"original": original, "librosa": plain_librosa, "step 1": ours, "decoding": decoding}
    times = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            shutil.rmtree(made, ignore_errors=True)  # replacing a file costs more than making one
            made.mkdir()
            began = time.perf_counter()
            for clip in clips:
                way(clip, folder, made)
            if number:  # the first round warms up
                times[name].append(1000 * (time.perf_counter() - began) / len(clips))
    found = {name: summary(values) for name, values in times.items()}
    for name, of in found.items():
        of["ratio to step 1"] = round(statistics.median(map(lambda a, b: a / b, times[name], times["step 1"])), 2)
        print(f"{name:9} {of['median']:7.1f} ms per clip ({of['least']:.1f} to {of['most']:.1f}), "
              f"{of['ratio to step 1']:.2f} x step 1")  # fmt: skip
    return found


def compare_processes(clips, folder, made, rounds, cores):
    """Clips per second with 1, 2, 4, ... processes, each beside one process in the same round."""
    counts = [1, *(number for number in (2, 4, 8, 16, 32, 64) if number <= cores)]
    speeds = {jobs: [] for jobs in counts}
    make = functools.partial(spectrogram_folder.generate, clips_folder=folder, folder=made)
    for _ in range(rounds):
        for jobs in counts:
            list(workers.run(make, clips[: 16 * jobs], jobs=jobs))  # starts the workers
            shutil.rmtree(made)
            began, some = time.perf_counter(), clips[: CLIPS_PER_PROCESS * jobs]
            assert not any(failure for _, failure in workers.run(make, some, jobs=jobs))
            speeds[jobs].append(len(some) / (time.perf_counter() - began))
    found = {str(jobs): summary(values) for jobs, values in speeds.items()}
    for jobs, of in found.items():
        of["times one process"] = round(statistics.median(map(lambda a, b: a / b, speeds[int(jobs)], speeds[1])), 2)
        print(f"{jobs:>2} processes {of['median']:6.1f} clips/s ({of['least']:.1f} to {of['most']:.1f}), "
              f"{of['times one process']:.2f} x one")  # fmt: skip
    return found


def summary(values):
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


if __name__ == "__main__":
    main()
