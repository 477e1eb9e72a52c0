"""Train the network and write one checkpoint per epoch.

    python3 1-training.py
    python3 1-training.py --network crnn --epochs 20 --batch-size 32 --seed 1
    python3 1-training.py --overwrite

Run again after an interruption, it goes on from the last finished epoch.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import command_line
from artifacts import Artifacts, fingerprint, read_json
from split import read_classes, read_part


def train(root, *, network="crnn", epochs=20, batch_size=32, seed=1, overwrite=False):
    """Train a network on the split under `root`; the parameters are the command line's."""
    import keras

    import training
    from network import build_network

    artifacts = Artifacts(root)
    classes = read_classes(artifacts)
    parts = {}
    for part in ("train", "val"):
        table = read_part(artifacts, part)
        parts[part] = ([artifacts.spectrograms / name for name in table["spectrogram"]], list(table["label"]))
    spectrogram_settings = read_json(artifacts.spectrogram_settings, "datasets_utils/1_generate_spectrograms.py")
    recipe = training.default_recipe() | {"batch_size": batch_size}
    settings = {"network": network, "epochs": epochs, "seed": seed, **recipe}
    settings["split"] = fingerprint(artifacts.split("train"), artifacts.split("val"))
    if not training.prepare_folder(artifacts, settings, overwrite):
        print(f"{epochs} epochs done, nothing to do (--overwrite trains anew)")
        return
    keras.utils.set_random_seed(seed)
    frames_per_second = spectrogram_settings["sample_rate"] / spectrogram_settings["hop_length"]
    model = build_network(
        network, (spectrogram_settings["n_mels"], None), len(classes), frames_per_second=frames_per_second
    )
    about = {"classes": list(classes), "spectrogram_settings": spectrogram_settings, **settings}
    print(f"{network}: {model.count_params():,} parameters; {len(parts['train'][0])} training clips")
    training.fit(
        model,
        parts["train"],
        parts["val"],
        artifacts.models,
        epochs=epochs,
        recipe=recipe,
        seed=seed,
        frames_per_second=frames_per_second,
        about=about,
    )


def main(argv=None):
    """The command line."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--network", choices=("crnn",), default="crnn", help="which network to train")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training clips")
    parser.add_argument("--batch-size", type=int, default=32, help="clips per step")
    parser.add_argument("--seed", type=int, default=1, help="what everything random follows")
    parser.add_argument("--overwrite", action="store_true", help="remove the checkpoints of an earlier run")
    train(**vars(parser.parse_args(argv)))


if __name__ == "__main__":
    command_line.run(main)
