"""Convert the two musicnn networks to one Keras model, `models/front_end.h5`.

    pip download --no-deps musicnn==0.1.0
    python3 extras/front_end/convert.py musicnn-0.1.0-py3-none-any.whl
    python3 extras/front_end/convert.py musicnn-0.1.0-py3-none-any.whl --audio DIR --time

Dead filters are removed (see folding.py). The original graphs and the model are run on the same windows: four in
tests/data and those of the recordings in DIR. The differences are printed, and nothing is written if one is too large.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from music_featurization import command_line, file_tree
from music_featurization.artifacts import FRONT_END, REPOSITORY, PipelineError, replacing
from music_featurization.audio import decoding, spectrogram
from music_featurization.network import checkpoints, front_end
from music_featurization.network.keras_backend import load_keras

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}  # --time
keras = load_keras()

import folding
import numpy as np
import original
import tensorflow as tf

TEST_WINDOWS = REPOSITORY / "tests" / "data" / "front_end_windows.npz"
PARTS = ("penultimate", "tags", "pooled")
OUTPUTS = [f"{network}_{part}" for part in PARTS for network in original.NETWORKS]
LIMIT = 1e-4  # largest difference allowed in tags and penultimate values
SETTINGS = ("sample_rate", "n_fft", "hop_length", "n_mels", "f_max", "mean_power", "compression")
REPETITIONS = 15  # of a time measurement; two more are not counted


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, nargs="?", default=original.WHEEL, help="the wheel (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=FRONT_END, metavar="FILE", help="file to write (default: models/front_end.h5)"
    )
    parser.add_argument("--audio", type=Path, metavar="DIR", help="also compare on the recordings in this folder")
    parser.add_argument("--time", action="store_true", help="also measure the time on one thread")
    args = parser.parse_args(argv)
    convert(args.wheel, args.output, audio=args.audio, timed=args.time)
    return 0


def convert(wheel: Path, output: Path, *, audio: Path | None = None, timed: bool = False) -> None:
    """Convert, compare with the originals, and write the model and the outputs of the originals on the test windows."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        original.unpack(wheel, folder)
        variables = {name: original.read_variables(folder / name) for name in original.NETWORKS}
        convolutions = {name: folding.read_convolutions(variables[name]) for name in variables}
        for name, layers in convolutions.items():
            print(f"{name}: filters kept: {', '.join(f'{len(c.live)} of {len(c.bias)}' for c in layers)}")
        kept = {name: folding.pooled_indices(layers) for name, layers in convolutions.items()}
        model = folding.build_model(variables, OUTPUTS)
        with np.load(TEST_WINDOWS) as stored:
            test_windows = stored["windows"].astype(np.float32)
        truth = compare(model, folder, kept, test_windows, "test windows")
        if audio:
            compare(model, folder, kept, windows_of(audio), str(audio))
        checkpoints.save(model, output, describe(wheel, variables, kept))
        with replacing(TEST_WINDOWS) as temporary:
            np.savez_compressed(temporary, windows=test_windows.astype(np.float16), **truth)
        print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {model.count_params():,} parameters")
        for size in (9, 1) if timed else ():  # 9 windows are 27 s
            print_times(model, folder / "mtt", np.resize(test_windows, (size, *test_windows.shape[1:])))


def windows_of(folder: Path) -> np.ndarray:
    """Compute the windows, (n, 187, 96), of all recordings in a folder, as float16 files would give them."""
    recordings = file_tree.files(folder, decoding.FILE_ENDINGS)
    clips = [spectrogram.log_mel(decoding.stream(folder / name, strict=False)) for name in recordings]
    return np.concatenate([front_end.windows(clip.astype(np.float16)) for clip in clips])


def compare(
    model: "keras.Model", folder: Path, kept: dict[str, np.ndarray], windows: np.ndarray, title: str
) -> dict[str, np.ndarray]:
    """Print the largest difference of each output from the originals; return the originals' outputs.

    The pooled values are reduced to the channels that the front end keeps.
    """
    truth = {}
    for network in original.NETWORKS:
        run = original.load_original(folder / network)
        batches = [run(windows[i : i + 32]) for i in range(0, len(windows), 32)]
        for part in PARTS:
            values = np.concatenate([batch[part] for batch in batches])
            truth[f"{network}_{part}"] = values[:, kept[network]] if part == "pooled" else values
    print(f"{title}: largest difference from the originals on {len(windows)} windows")
    for name, values in zip(OUTPUTS, model.predict(windows, verbose=0), strict=True):
        difference = np.abs(values - truth[name]).max()
        print(f"  {name:16} {difference:.1e} (values up to {np.abs(truth[name]).max():.3g})")
        if difference >= LIMIT and not name.endswith("pooled"):
            raise PipelineError(f"The difference of {name} is above {LIMIT}: nothing was written.")
    return truth


def describe(wheel: Path, variables: dict[str, dict], kept: dict[str, np.ndarray]) -> dict:
    """Return the attribute `about` of the front end's file.

    The offsets and scales of the last batch normalisation are the mean and deviation of the 400 penultimate values over
    the music that the networks were trained on.
    """
    normalisation = {
        key: np.concatenate([of_network[f"batch_normalization_10/{name}"] for of_network in variables.values()])
        for key, name in (("mean", "beta"), ("deviation", "gamma"))
    }
    return {
        "name": "front_end",
        "version": 1,
        "source": {"wheel": original.WHEEL, "sha256": original.SHA256, "license": "ISC"},
        "frames": folding.FRAMES,
        "mel_bands": folding.BANDS,
        "spectrogram_settings": {key: spectrogram.SETTINGS[key] for key in SETTINGS},
        "outputs": OUTPUTS,
        "tags": original.tag_names(wheel),
        "pooled_indices": {name: indices.tolist() for name, indices in kept.items()},
        "penultimate_statistics": {
            "mean": normalisation["mean"].round(6).tolist(),
            "deviation": np.abs(normalisation["deviation"]).round(6).tolist(),
        },
        "dead_below": folding.DEAD,
    }


def print_times(model: "keras.Model", prefix: Path, windows: np.ndarray) -> None:
    """Print the median CPU time of the front end (both networks) and of one original for a batch, by turns."""
    infer = tf.function(lambda batch: model(batch, training=False), input_signature=[tf.TensorSpec([None, 187, 96])])
    run = original.load_original(prefix)
    times: dict[str, list[float]] = {"front end": [], "original MTT": []}
    for _ in range(REPETITIONS + 2):
        for name, compute in (("front end", infer), ("original MTT", run)):
            start = time.process_time()
            compute(windows)
            times[name].append(1000 * (time.process_time() - start))
    both, one = (float(np.median(values[2:])) for values in times.values())
    print(f"batch of {len(windows)}: {both:.1f} ms for the front end, {one:.1f} ms for the original MTT network")


if __name__ == "__main__":
    command_line.run(main)
