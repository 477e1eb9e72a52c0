"""Convert the two musicnn networks to one Keras model, `models/front_end.h5`.

    pip download --no-deps musicnn==0.1.0
    python3 extras/front_end/convert.py musicnn-0.1.0-py3-none-any.whl
    python3 extras/front_end/convert.py musicnn-0.1.0-py3-none-any.whl --audio a.mp3 b.mp3 --time

Dead filters are removed (see folding.py). The original graphs and the model are run on the same windows, and the
differences are printed. Nothing is written if one is too large.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
logging.getLogger("tensorflow").setLevel(logging.ERROR)
logging.getLogger("absl").setLevel(logging.ERROR)  # Keras calls the .h5 format legacy

import folding
import h5py
import keras
import numpy as np
import original
import speed
import windows

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "front_end.h5"
TEST_WINDOWS = ROOT / "tests" / "data" / "front_end_windows.npz"
PARTS = ("penultimate", "tags", "pooled")
OUTPUTS = [f"{network}_{part}" for part in PARTS for network in original.NETWORKS]
LIMIT = 1e-4  # largest difference allowed in tags and penultimate values
VERSION = 1


def run_originals(folder: Path, batch: np.ndarray) -> dict[str, np.ndarray]:
    """Run both original graphs.

    Parameters
    ----------
    folder : Path
        Folder of the unpacked wheel, see `original.unpack`.
    batch : np.ndarray, shape (n, 187, 96)

    Returns
    -------
    dict of str to np.ndarray
        The outputs of the front end by name. The pooled values are reduced to the channels that the front end keeps.
    """
    results = {}
    for network in original.NETWORKS:
        run, kept = original.load_original(folder / network), kept_pooled(folder / network)
        parts = [run(batch[i : i + 32]) for i in range(0, len(batch), 32)]
        whole = {part: np.concatenate([values[part] for values in parts]) for part in PARTS}
        whole["pooled"] = whole["pooled"][:, kept]
        results |= {f"{network}_{part}": values for part, values in whole.items()}
    return {name: results[name] for name in OUTPUTS}


def kept_pooled(prefix: Path) -> np.ndarray:
    """Return the indices of the pooled values that the front end keeps of a network."""
    return folding.pooled_indices(folding.read_convolutions(original.read_variables(prefix)))


def save(model: keras.Model, path: Path, about: dict) -> None:
    """Save the model with the attribute `about`. An interrupted run leaves no incomplete file."""
    unfinished = path.with_name(f".unfinished-{path.name}")
    model.save(unfinished)
    with h5py.File(unfinished, "r+") as file:
        file.attrs["about"] = json.dumps(about)
    os.replace(unfinished, path)


def describe(wheel: Path, folder: Path) -> dict:
    """Collect the content of the attribute `about`."""
    return {
        "name": "front_end",
        "version": VERSION,
        "source": {"wheel": original.WHEEL, "sha256": original.SHA256, "license": "ISC"},
        "frames": windows.FRAMES,
        "mel_bands": windows.BANDS,
        "spectrogram_settings": windows.SETTINGS,
        "outputs": OUTPUTS,
        "tags": original.tag_names(wheel),
        "pooled_indices": {name: kept_pooled(folder / name).tolist() for name in original.NETWORKS},
        "penultimate_statistics": penultimate_statistics(folder),
        "dead_below": folding.DEAD,
    }


def penultimate_statistics(folder: Path) -> dict[str, list[float]]:
    """Return mean and deviation of the 400 penultimate values over the music that the networks were trained on.

    The last batch normalisation sets them: its offsets are the means, its scales the deviations.
    """
    variables = [original.read_variables(folder / name) for name in original.NETWORKS]
    names = {"mean": "beta", "deviation": "gamma"}
    found = {
        key: np.concatenate([of_network[f"batch_normalization_10/{name}"] for of_network in variables])
        for key, name in names.items()
    }
    found["deviation"] = np.abs(found["deviation"])
    return {key: [round(float(value), 6) for value in values] for key, values in found.items()}


def print_filters(folder: Path) -> None:
    """Print how many filters of each convolution are kept."""
    for network in original.NETWORKS:
        convolutions = folding.read_convolutions(original.read_variables(folder / network))
        kept = ", ".join(f"{len(c.live)} of {len(c.bias)}" for c in convolutions)
        print(f"{network}: filters kept in each convolution: {kept}")


def print_differences(model: keras.Model, folder: Path, batch: np.ndarray, title: str) -> bool:
    """Print the largest difference of each output, and return whether tags and penultimate values pass."""
    truth = run_originals(folder, batch)
    ours = dict(zip(OUTPUTS, model.predict(batch, verbose=0), strict=True))
    differences = {name: float(np.abs(ours[name] - truth[name]).max()) for name in OUTPUTS}
    print(f"{title}: largest difference from the original on {len(batch)} windows")
    for name in OUTPUTS:
        print(f"  {name:16} {differences[name]:.1e} (values up to {np.abs(truth[name]).max():.3g})")
    return all(differences[name] < LIMIT for name in OUTPUTS if not name.endswith("pooled"))


def write_windows(path: Path, folder: Path) -> None:
    """Store the synthesised windows with the outputs of the original, for the tests."""
    pieces = windows.synthesised()
    batch = np.stack(list(pieces.values()))
    unfinished = path.with_name(f".unfinished-{path.stem}.npz")
    np.savez_compressed(
        unfinished, names=list(pieces), windows=batch.astype(np.float16), **run_originals(folder, batch)
    )
    os.replace(unfinished, path)


def convert(wheel: Path, output: Path, test_windows: Path, audio: list[Path], *, time: bool = False) -> int:
    """Convert, compare and save.

    Parameters
    ----------
    wheel : Path
        The downloaded wheel.
    output, test_windows : Path
        Files to write: the model, and four windows with the outputs of the original.
    audio : list of Path
        Audio files to compare on, beside the four windows.
    time : bool
        Also measure the time, on one thread.

    Returns
    -------
    int
        0, or 1 if a difference is above the limit. Nothing is written then.
    """
    if time:
        speed.use_one_thread()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original.unpack(wheel, folder)
        model = folding.build_model({n: original.read_variables(folder / n) for n in original.NETWORKS}, OUTPUTS)
        print_filters(folder)
        sets = {"synthesised": np.stack(list(windows.synthesised().values()))}
        sets |= {"audio files": windows.from_audio(audio)} if audio else {}
        within = [print_differences(model, folder, batch, title) for title, batch in sets.items()]
        if not all(within):
            print(f"error: a difference is above {LIMIT}; nothing was written", file=sys.stderr)
            return 1
        save(model, output, describe(wheel, folder))
        write_windows(test_windows, folder)
        print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {model.count_params():,} parameters")
        if time:
            print_times(model, folder, sets.get("audio files", sets["synthesised"]))
    return 0


def print_times(model: keras.Model, folder: Path, batch: np.ndarray) -> None:
    """Print the CPU time of the front end and of the original MTT_musicnn, for batches of 9 windows (27 s) and of 1."""
    for size in (9, 1):
        seconds = speed.compare(model, folder / "mtt", np.resize(batch, (size, *batch.shape[1:])))
        both, one = 1000 * seconds["front end"], 1000 * seconds["original"]
        print(f"batch of {size}: {both:.1f} ms for both networks, {one:.1f} ms for the original MTT: {both / one:.2f}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, nargs="?", default=original.WHEEL, help="the wheel (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=MODEL, metavar="FILE", help="default: models/front_end.h5")
    parser.add_argument(
        "--test-windows", type=Path, default=TEST_WINDOWS, metavar="FILE", help="default: in tests/data"
    )
    parser.add_argument("--audio", type=Path, nargs="+", default=[], metavar="FILE", help="also compare on these files")
    parser.add_argument("--time", action="store_true", help="also measure the time on one thread")
    args = parser.parse_args(argv)
    try:
        return convert(args.wheel, args.output, args.test_windows, args.audio, time=args.time)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
