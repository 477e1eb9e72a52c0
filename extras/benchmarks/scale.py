"""What does not show on a few clips: memory and start-up of step 1, and steps 2 to 4 on 25,863 rows.

    python3 extras/benchmarks/scale.py

Makes its own clips and annotations. Prints the results and writes them to results/scale.json beside itself. Needs
Linux.
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

from music_featurization.artifacts import REPOSITORY, STEP_1, STEP_2, STEP_3, STEP_4, Artifacts
from music_featurization.dataset import genres, spectrogram_folder

RESULT = Path(__file__).parent / "results" / "scale.json"
MAGNATAGATUNE, TAGS = 25863, 188
FEW, MANY = 300, 3000  # clips of 29 s
STEPS = {"1": STEP_1, "2": STEP_2, "3": STEP_3, "4": STEP_4}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        result = {
            "memory in MB": {count: memory(Path(scratch) / str(count), count) for count in (FEW, MANY)},
            "seconds": seconds(Path(scratch) / "whole"),
        }
    print(json.dumps(result, indent=2))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def command(step: str, *args: object) -> list[str]:
    return [sys.executable, str(REPOSITORY / STEPS[step]), *map(str, args)]


def memory(root: Path, count: int) -> dict[str, int]:
    """Measure the highest resident memory of step 1's parent and of its largest worker for `count` spectrograms."""
    bench_clips.make(Artifacts(root).mp3_files, count)
    process = subprocess.Popen(command("1", "--root", root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = {"parent": 0, "worker": 0}
    while process.poll() is None:
        for number in (process.pid, *children(process.pid)):
            who = "parent" if number == process.pid else "worker"
            most[who] = max(most[who], peak(number))
        time.sleep(0.1)
    assert process.returncode == 0
    return most


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        kilobytes = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
        return round(kilobytes * 1024 / 1e6)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def seconds(root: Path) -> dict:
    """Measure `--help`, a run with nothing to do and a first run, on MagnaTagATune's number of clips."""
    whole_collection(root)
    first = {step: timed(command(step, "--root", root), 1) for step in STEPS}  # step 1 has nothing left to do
    return {
        "rows": MAGNATAGATUNE,
        "tags": TAGS,
        "--help": {step: timed(command(step, "--help")) for step in STEPS},
        "nothing to do": {step: timed(command(step, "--root", root)) for step in STEPS},
        "first run": {step: first[step] for step in "234"},
    }


def whole_collection(root: Path) -> None:
    """Make as many clips, spectrograms and annotations as MagnaTagATune has; most names are links to a few files."""
    artifacts = Artifacts(root)
    clips = bench_clips.make(artifacts.mp3_files, MAGNATAGATUNE)
    spectrograms = artifacts.spectrograms
    spectrogram_folder.prepare(spectrograms)
    spectrogram_folder.save(root / "one.npy", np.zeros((96, 1815)))
    for clip in clips:
        path = spectrograms / spectrogram_folder.spectrogram_name(clip)
        path.parent.mkdir(exist_ok=True)
        os.link(root / "one.npy", path)
    tags = [*genres.GENRE_TAGS, *genres.INSTRUMENT_TAGS, *(f"tag {number}" for number in range(TAGS))][:TAGS]
    is_set = np.random.default_rng(0).random((MAGNATAGATUNE, TAGS)) < 0.02
    with open(artifacts.annotations, "w") as file:
        file.write("\t".join(f'"{name}"' for name in ["clip_id", *tags, "mp3_path"]) + "\n")
        for number, (row, clip) in enumerate(zip(is_set, clips, strict=True)):
            file.write("\t".join([f'"{number}"', *('"1"' if value else '"0"' for value in row), f'"{clip}"']) + "\n")


def timed(arguments: list[str], rounds: int = 5) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken), 2)


if __name__ == "__main__":
    main()
