"""Train the network and write one checkpoint per epoch.

    python3 1-training.py
    python3 1-training.py --epochs 40 --early-stop 10 --keep best
    python3 1-training.py --start-from ../models/best_model.h5          (fine-tune, also to other genres)
    python3 1-training.py --network vgg16 --weights none --overwrite

Run again after an interruption, it goes on from the last finished epoch.
"""

import argparse
import platform
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts, fingerprint, read_json
from music_featurization.dataset.split import read_classes, read_part, training_fingerprint
from music_featurization.network import training
from music_featurization.network.keras_backend import load_keras


def read_clips(artifacts, part):
    """Spectrogram files and labels of one part of the split."""
    table = read_part(artifacts, part)
    return [artifacts.spectrograms / name for name in table["spectrogram"]], list(table["label"])


def train(root, *, network, epochs, seed, start_from, weights, fine_tune, early_stop, keep, tensorboard, overwrite,
          **recipe):  # fmt: skip
    """Train a network on the split under `root`; the parameters are the command line's, `recipe` those given of it."""
    recipe = training.recipe_for(network) | recipe
    artifacts = Artifacts(root)
    classes, parts = list(read_classes(artifacts)), {part: read_clips(artifacts, part) for part in ("train", "val")}
    of_spectrograms = read_json(artifacts.spectrogram_settings, "datasets_utils/1_generate_spectrograms.py")
    settings = {"network": network, "epochs": epochs, "seed": seed, "early_stop": early_stop, "keep": keep, **recipe}
    settings["split"] = training_fingerprint(artifacts)
    settings["start_from"] = fingerprint(start_from) if start_from else None
    options = {"weights": weights, "fine_tune": fine_tune} if network == "vgg16" else {}
    settings.update(options)
    keras = load_keras()
    versions = {"python": platform.python_version(), "keras": keras.__version__, "backend": keras.backend.backend()}
    training.check_data(parts["train"], parts["val"], classes, recipe["batch_size"])
    if not training.prepare_folder(artifacts, settings, versions, overwrite):
        print("nothing to do: this run is finished (--overwrite trains anew)")
        return
    keras.utils.set_random_seed(seed)
    training.use_precision(recipe["precision"])
    frames_per_second = of_spectrograms["sample_rate"] / of_spectrograms["hop_length"]
    shape, options = (of_spectrograms["n_mels"], None), {"frames_per_second": frames_per_second, **options}
    model = training.start(network, shape, classes, of_spectrograms, start_from, **options)
    precision = " and ".join(sorted({layer.compute_dtype for layer in model.layers if layer.weights}))
    print(f"{network}: {model.count_params():,} parameters, {precision}; {len(parts['train'][0])} training clips")
    if keep == "all":
        training.check_disk(artifacts.models, model.count_params() * 4 / 1e6, epochs)
    training.fit(
        model,
        parts["train"],
        parts["val"],
        artifacts.models,
        epochs=epochs,
        seed=seed,
        frames_per_second=frames_per_second,
        about={"classes": classes, "spectrogram_settings": of_spectrograms, "versions": versions, **settings},
        recipe=recipe,
        early_stop=early_stop,
        keep=keep,
        callbacks=training.tensorboard(model, tensorboard),
    )


def main(argv=None):
    """The command line."""
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--network", choices=tuple(training.CHANGES), default="crnn", help="which network to train")
    add("--epochs", type=command_line.positive, default=20, help="passes over the training clips")
    add("--seed", type=int, default=1, help="what everything random follows")
    add("--start-from", type=Path, metavar="FILE", help="go on from this network's weights, also for other genres")
    add("--weights", default="imagenet", help="of vgg16: imagenet, none, or a file")
    add("--fine-tune", action="store_true", help="of vgg16: train its base too")
    add("--early-stop", type=int, default=0, metavar="N", help="stop after N epochs that are no better; 0: never")
    add("--keep", choices=("all", "best"), default="all", help="which checkpoints stay")
    add("--tensorboard", type=Path, metavar="DIR", help="write logs for TensorBoard there")
    add("--overwrite", action="store_true", help="remove the checkpoints of an earlier run")
    add("--resume", action="store_true", help="what happens anyway: go on with an unfinished run")
    whole = {"batch_size": command_line.positive, "crops": command_line.count, "masks": command_line.count}
    for name, default in training.RECIPE.items():
        convert = whole.get(name) or training.switch(default)
        shown = ["on" if default is True else f"{default}"]
        shown += [f"{network} {changes[name]}" for network, changes in training.CHANGES.items() if name in changes]
        about = f"{training.EXPLAINED[name]} (default: {', '.join(shown)})"
        add(f"--{name.replace('_', '-')}", type=convert, default=argparse.SUPPRESS, metavar="X", help=about)
    arguments = vars(parser.parse_args(argv))
    del arguments["resume"]
    train(**arguments)


if __name__ == "__main__":
    command_line.run(main)
