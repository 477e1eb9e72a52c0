"""How fast featurize.py is: tracks per second from mp3 to table, and what the time goes into.

    .venv/bin/python extras/benchmarks/featurize_speed.py --tracks 200

Makes its own clips of 29.1 s, runs python/featurize.py on them with the provided network, keeps the line on speed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import bench_clips

REPOSITORY = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).parent / "results" / "featurize_speed.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=200, help="default: 200")
    tracks = parser.parse_args().tracks
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "music"
        bench_clips.make(folder, tracks, linked=False)  # a file of many names is one track
        command = [sys.executable, REPOSITORY / "python" / "featurize.py", folder, "--out", Path(scratch) / "out.npz"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    line = next(line for line in output.splitlines() if "tracks/s" in line)
    print(line)
    RESULT.write_text(json.dumps({"tracks": tracks, "says": line}, indent=2) + "\n")


if __name__ == "__main__":
    main()
