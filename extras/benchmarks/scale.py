"""What does not show on a few clips: memory, start-up, steps 2 to 4 on 25,863 rows, and how fast training is fed.

    .venv/bin/python extras/benchmarks/scale.py

Makes its own clips and annotations. Prints, and writes results/scale.json beside itself.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_clips
import numpy as np

from music_featurization.dataset import genres, spectrogram_folder
from music_featurization.network import batches

REPOSITORY = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).parent / "results" / "scale.json"
MAGNATAGATUNE, TAGS = 25863, 188
FEW, MANY = 300, 3000  # clips of 29 s
STEPS = {
    "1": "1_generate_spectrograms.py",
    "2": "2_assign_genre.py",
    "3": "3_remove_double_with_priority.py",
    "4": "4_save_train_and_test.py",
}


def main():
    with tempfile.TemporaryDirectory() as scratch:
        result = {
            "memory in MB": {count: memory(Path(scratch) / str(count), count) for count in (FEW, MANY)},
            "seconds": seconds(Path(scratch) / "whole"),
            "training's input": training_input(Path(scratch) / str(MANY)),
        }
    print(json.dumps(result, indent=2))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def command(step, *args):
    return [sys.executable, str(REPOSITORY / "datasets_utils" / STEPS[step]), *map(str, args)]


def memory(root, count):
    """Highest resident memory of step 1's parent and of its largest worker, while it makes `count` spectrograms."""
    bench_clips.make(root / "datasets" / "mp3_files", count)
    process = subprocess.Popen(command("1", "--root", root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = {"parent": 0, "worker": 0}
    while process.poll() is None:
        for number in (process.pid, *children(process.pid)):
            who = "parent" if number == process.pid else "worker"
            most[who] = max(most[who], peak(number))
        time.sleep(0.1)
    assert process.returncode == 0
    return most


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def peak(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def seconds(root):
    """Of `--help`, of a run with nothing to do and of a first run, on MagnaTagATune's number of clips."""
    whole_collection(root)
    first = {step: timed(command(step, "--root", root), 1) for step in STEPS}  # of step 1 nothing is left to do
    return {
        "rows": MAGNATAGATUNE,
        "tags": TAGS,
        "--help": {step: timed(command(step, "--help")) for step in STEPS},
        "nothing to do": {step: timed(command(step, "--root", root)) for step in STEPS},
        "first run": {step: first[step] for step in "234"},
    }


def whole_collection(root):
    """As many clips, spectrograms and annotations as MagnaTagATune has; behind the names are few different files."""
    clips = bench_clips.make(root / "datasets" / "mp3_files", MAGNATAGATUNE)
    spectrograms = root / "datasets" / "spectrograms"
    spectrogram_folder.prepare(spectrograms)
    spectrogram_folder.save(root / "one.npy", np.zeros((96, 1255)))
    for clip in clips:
        path = spectrograms / spectrogram_folder.spectrogram_name(clip)
        path.parent.mkdir(exist_ok=True)
        os.link(root / "one.npy", path)
    tags = [*genres.GENRE_TAGS, *genres.INSTRUMENT_TAGS, *(f"tag {number}" for number in range(TAGS))][:TAGS]
    is_set = np.random.default_rng(0).random((MAGNATAGATUNE, TAGS)) < 0.02
    with open(root / "datasets" / "annotations_final.csv", "w") as file:
        file.write("\t".join(f'"{name}"' for name in ["clip_id", *tags, "mp3_path"]) + "\n")
        for number, (row, clip) in enumerate(zip(is_set, clips, strict=True)):
            file.write("\t".join([f'"{number}"', *('"1"' if value else '"0"' for value in row), f'"{clip}"']) + "\n")


def timed(arguments, rounds=5):
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken), 2)


def training_input(root):
    """Clips per second from .npy in the page cache to augmented batches, and to whole clips as in testing."""
    folder = root / "datasets" / "spectrograms"
    paths = [folder / path for path in spectrogram_folder.list_spectrograms(folder)]
    options = {"batch_size": 32, "lengths": [512], "augment": {}, "seed": 0, "epoch": 0}
    found = {}
    for name in ("training", "testing"):
        speeds = []
        for _ in range(4):
            began = time.perf_counter()
            if name == "training":
                for _ in batches.training_batches(paths, [0] * len(paths), 6, **options):
                    pass
            else:
                for path in paths:
                    batches.load_clip(path)
            speeds.append(len(paths) / (time.perf_counter() - began))
        found[f"{name}, clips/s"] = round(statistics.median(speeds[1:]))  # the first fills the page cache
    return found


if __name__ == "__main__":
    main()
