"""How fast training on embeddings is: made-up clips of the right shape, the default network and recipe.

    python3 extras/benchmarks/input_speed.py

Writes 5,800 training and 550 validation clips, as many as MagnaTagATune's standard split has of the six genres, and
trains 20 epochs as 1-training.py does, checkpoints included. Also reads all batches without a network.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import comparison
import numpy as np

from music_featurization.artifacts import Artifacts
from music_featurization.dataset.genres import GENRES
from music_featurization.network import networks, recipe, training
from music_featurization.network.batches import training_batches
from music_featurization.network.front_end import EMBEDDING
from music_featurization.network.keras_backend import load_keras, use_precision

WINDOWS = 10  # of a clip of 29.1 s
VALIDATION = 550


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=5800, help="training clips (default: 5800)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs to train (default: 20)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        artifacts = Artifacts(scratch)
        train, validation = (make(artifacts.embeddings / str(count), count) for count in (args.clips, VALIDATION))
        settings = recipe.complete("crnn", {}, args.clips)
        rows = {
            "batches alone, clips/s": round(read(train, settings)),
            "training": fit(artifacts, train, validation, settings, args.epochs),
        }
    comparison.write("input_speed", rows, clips=args.clips, epochs=args.epochs, load=round(os.getloadavg()[0], 1))
    print(rows)


def make(folder: Path, count: int) -> training.Clips:
    """Write embeddings of noise around one centre for each genre."""
    folder.mkdir(parents=True)
    centres = np.random.default_rng(0).standard_normal((len(GENRES), EMBEDDING))
    random = np.random.default_rng(count)
    labels = random.integers(len(GENRES), size=count)
    for i, label in enumerate(labels):
        clip = centres[label] + 5 * random.standard_normal((WINDOWS, EMBEDDING), dtype=np.float32)
        np.save(folder / f"{i}.npy", clip.astype(np.float16))
    return training.Clips([folder / f"{i}.npy" for i in range(count)], labels, True)


def read(clips: training.Clips, settings: dict) -> float:
    """Measure clips per second from files in the page cache to batches."""
    options = {"batch_size": settings["batch_size"], "seed": 0, "threads": training.THREADS}
    for epoch in range(2):  # the first fills the page cache
        started = time.perf_counter()
        for _ in training_batches(
            clips.paths, clips.labels, len(GENRES), load=clips.load, time_axis=0, epoch=epoch, **options
        ):
            pass
    return len(clips.paths) / (time.perf_counter() - started)


def fit(
    artifacts: Artifacts, train: training.Clips, validation: training.Clips, settings: dict, epochs: int
) -> dict[str, float]:
    """Train as 1-training.py does; return the seconds by the clock and of the processor, of all threads."""
    keras = load_keras()
    use_precision(settings["precision"])
    keras.utils.set_random_seed(1)
    artifacts.models.mkdir()
    started, worked = time.perf_counter(), time.process_time()
    network = networks.build_network("crnn", len(GENRES))
    training.standardise(network, train)
    training.fit(
        network, train, validation, artifacts.models, epochs=epochs, seed=1, settings=settings,
        about={"classes": list(GENRES)},
    )  # fmt: skip
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    return {"seconds": round(seconds, 1), "processor seconds": round(processor, 1)}


if __name__ == "__main__":
    main()
