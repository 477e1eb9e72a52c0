"""Train the provided network, `models/best_model.h5`, without any recording.

    python3 datasets_utils/0_make_demo_dataset.py --root more --pieces 300 --seed 7
    ... steps 1 to 4 on --root more ...
    python3 extras/best_model/train.py --root more

The head after the front end learns from two kinds of clips: composed pieces, and virtual clips that exist as embeddings
only. A virtual clip of a genre is a random embedding in which the front end's own tag for that genre is present and its
tags for the others are not, such as the tag harpsichord for baroque. It brings what the front end has learnt from
MagnaTagATune and the Million Song Dataset about these tags into the head.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from music_featurization import command_line, workers
from music_featurization.artifacts import FRONT_END, PROVIDED_MODEL, Artifacts, read_json
from music_featurization.dataset.genres import GENRES
from music_featurization.dataset.split import PARTS, read_classes, read_part
from music_featurization.network import checkpoints, embeddings, front_end, networks, recipe, training
from music_featurization.network.keras_backend import load_keras

if TYPE_CHECKING:
    import keras

# The tag that stands for a genre: of MagnaTagATune's (mtt) or the Million Song Dataset's (msd).
TAGS = {
    "classical": ("mtt", "classical"),
    "baroque": ("mtt", "harpsichord"),
    "opera": ("mtt", "opera"),
    "medieval": ("mtt", "choir"),
    "jazz": ("msd", "jazz"),
    "rock": ("mtt", "rock"),
}
PRESENT, ABSENT = (1.0, 4.0), (-1.0, 1.0)  # logits above the usual: range if present; mean and deviation if absent
SPREAD = 0.8  # deviation of a virtual clip's values, as a share of that over the music the front end was trained on
# Clips of each genre in MagnaTagATune's annotations, by the priority of step 3.
CLIPS = {"classical": 3487, "baroque": 296, "opera": 1263, "medieval": 155, "jazz": 426, "rock": 2323}
PRIOR_STRENGTH = 0.75
PENULTIMATE = front_end.PARTS["penultimate"]
OFF = 1e12  # variance that turns a value of the embedding off


def tag_directions(about: dict) -> np.ndarray:
    """Return how the logit of each genre's tag depends on standardised penultimate values, shape (genres, 400)."""
    import keras

    network = keras.saving.load_model(FRONT_END, compile=False)
    directions = np.zeros((len(GENRES), PENULTIMATE))
    for row, genre in zip(directions, GENRES, strict=True):
        name, tag = TAGS[genre]
        half = slice(0, PENULTIMATE // 2) if name == "mtt" else slice(PENULTIMATE // 2, None)
        row[half] = network.get_layer(f"{name}_tags").get_weights()[0][:, about["tags"][name].index(tag)]
    return directions * about["penultimate_statistics"]["deviation"]


def virtual_clips(label: int, count: int, directions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make virtual clips of a genre: standardised penultimate values, shape (count, 400).

    Random values are moved by the least amount that gives all genres' tags the logits that are wanted.
    """
    values = rng.normal(0, SPREAD, (count, PENULTIMATE))
    wanted = rng.normal(*ABSENT, (count, len(GENRES)))
    wanted[:, label] = rng.uniform(*PRESENT, count)
    return values + (wanted - values @ directions.T) @ np.linalg.pinv(directions).T


def write_virtual(folder: Path, per_genre: int, about: dict, seed: int) -> tuple[list[Path], list[int]]:
    """Write virtual clips as files of embeddings of one window; return their paths and labels."""
    rng, directions = np.random.default_rng(seed), tag_directions(about)
    statistics = {key: np.array(values) for key, values in about["penultimate_statistics"].items()}
    paths, labels = [], []
    for label in range(len(GENRES)):
        for i, values in enumerate(virtual_clips(label, per_genre, directions, rng)):
            embedding = np.zeros((1, front_end.EMBEDDING), np.float32)
            embedding[0, :PENULTIMATE] = statistics["mean"] + statistics["deviation"] * values
            np.save(folder / f"{label}-{i:05d}.npy", embedding)
            paths.append(folder / f"{label}-{i:05d}.npy")
            labels.append(label)
    return paths, labels


def standardise_by_training_music(model: "keras.Model", about: dict) -> None:
    """Standardise by the music that the front end was trained on, and turn the pooled values off.

    Of composed and of real music they differ more than the penultimate values: turned on, they cost 0.05 in accuracy.
    """
    mean, variance = np.zeros(front_end.EMBEDDING), np.full(front_end.EMBEDDING, OFF)
    mean[:PENULTIMATE] = about["penultimate_statistics"]["mean"]
    variance[:PENULTIMATE] = np.square(about["penultimate_statistics"]["deviation"])
    model.get_layer("standardise").set_weights([mean, variance])


def shift_by_prior(model: "keras.Model") -> None:
    """Add three quarters of the logarithm of each genre's share in MagnaTagATune to the bias of the last layer."""
    layer = model.get_layer("genres")
    kernel, bias = layer.get_weights()
    clips = np.array([CLIPS[genre] for genre in GENRES], float)
    layer.set_weights([kernel, bias + PRIOR_STRENGTH * np.log(clips / clips.sum())])


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("--virtual", type=command_line.count, default=600, metavar="N", help="virtual clips per genre")
    add("--epochs", type=command_line.positive, default=40, metavar="N", help="passes over all clips")
    add("--seed", type=command_line.count, default=1, metavar="N", help="decides everything random")
    add("--output", type=Path, default=PROVIDED_MODEL, metavar="FILE", help="where the network is written")
    args = parser.parse_args(argv)
    artifacts, about = Artifacts(args.root), front_end.read_about()
    classes, tables = list(read_classes(artifacts)), [read_part(artifacts, part) for part in PARTS]
    names = [name for table in tables for name in table["spectrogram"]]
    embeddings.generate_missing(artifacts, names, jobs=workers.cores())
    keras = load_keras()
    keras.utils.set_random_seed(args.seed)
    model = networks.build_network("crnn", len(classes))
    standardise_by_training_music(model, about)
    composed = [artifacts.embeddings / name for name in names], [int(x) for table in tables for x in table["label"]]
    settings = recipe.complete("crnn", {}, len(names))
    made_with = read_json(artifacts.spectrogram_settings, "step 1")
    with tempfile.TemporaryDirectory() as scratch:
        virtual = write_virtual(Path(scratch), args.virtual, about, args.seed)
        train = training.Clips(composed[0] + virtual[0], composed[1] + virtual[1], embedded=True)
        training.fit(
            model, train, training.Clips(*composed, embedded=True), Path(scratch), epochs=args.epochs, seed=args.seed,
            settings=settings, keep="all", about={
                "classes": classes, "spectrogram_settings": made_with, "network": "crnn", **settings,
                "epochs": args.epochs, "seed": args.seed, "virtual_clips_per_genre": args.virtual,
                "front_end": networks.describe_front_end("crnn", networks.PRETRAINED, fine_tune=False),
                "trained_on": f"{len(names)} composed clips and {len(virtual[0])} virtual clips",
            },
        )  # fmt: skip
        last = checkpoints.list_files(Path(scratch))[-1]
        network, known = checkpoints.load(last), checkpoints.read_about(last)
    shift_by_prior(network)
    checkpoints.save(network, args.output, known)
    print(args.output)
    return 0


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
