"""Clips per second of the input pipeline alone: read, cropped, augmented, batched, from the page cache.

python3 extras/benchmarks/input_speed.py --clips 2000 --threads 2
"""

import argparse
import tempfile
import time
from pathlib import Path

import comparison
import numpy as np

from music_featurization.network import training
from music_featurization.network.batches import training_batches

PLAIN = {"stretch": 0.0, "shift": 0.0}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    augment = {key: training.RECIPE[key] for key in training.AUGMENTATIONS}
    with tempfile.TemporaryDirectory() as scratch:
        clip = np.random.default_rng(0).uniform(-80, 0, (96, 1254)).astype(np.float16)
        paths = [Path(scratch) / f"{i}.npy" for i in range(args.clips)]
        for path in paths:
            np.save(path, clip)
        rows = {
            "plain": {"clips per second": speed(paths, augment | PLAIN, args.threads)},
            "with the default augmentation": {"clips per second": speed(paths, augment, args.threads)},
        }
    comparison.write("input_speed", f"input_speed.py --clips {args.clips} --threads {args.threads}", rows)
    print({name: round(row["clips per second"]) for name, row in rows.items()})


def speed(paths, augment, threads):
    """Crops of 20 s per second, without a network."""
    started = time.perf_counter()
    options = {"batch_size": 32, "lengths": [861], "augment": augment, "seed": 0, "epoch": 1, "threads": threads}
    for _ in training_batches(paths, [0] * len(paths), 6, **options):
        pass
    return len(paths) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
