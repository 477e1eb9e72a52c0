"""Train the provided network, `models/best_model.h5`, without any recording.

    python3 datasets_utils/0_make_demo_dataset.py --root more --pieces 300 --seed 7
    ...                                    (steps 1 to 4 with --root more, the last one with --group-by song)
    python3 extras/best_model/train.py --root more

The head after the front end learns from two kinds of clips: composed pieces, and virtual clips that exist as embeddings
only. A virtual clip of a genre is a random embedding in which the front end's own tag for that genre is present and its
tags for the others are not, such as the tag harpsichord for baroque. It brings what the front end has learned from
MagnaTagATune and the Million Song Dataset about these tags into the head.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from music_featurization import command_line, workers
from music_featurization.artifacts import FRONT_END, PROVIDED_MODEL, STEP_1, Artifacts, read_json
from music_featurization.dataset.genres import GENRES
from music_featurization.dataset.split import PARTS, read_classes, read_part
from music_featurization.network import batches, checkpoints, embeddings, front_end, networks, recipe, training
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
VIRTUAL, EPOCHS = 600, 40  # virtual clips per genre, passes over all clips
PENULTIMATE = front_end.PARTS["penultimate"]
OFF = 1e12  # variance that turns a value of the embedding off


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument("--seed", type=command_line.count, default=1, metavar="N", help="seed of everything random")
    parser.add_argument("--output", type=Path, default=PROVIDED_MODEL, metavar="FILE", help="file to write")
    train(**vars(parser.parse_args(argv)))
    return 0


def train(*, root: Path, seed: int, output: Path) -> None:
    """Train the head on the composed clips under a root folder and on virtual clips, and write the network."""
    artifacts, front = Artifacts(root), front_end.read_about()
    mean, deviation = (np.array(front["penultimate_statistics"][key]) for key in ("mean", "deviation"))
    composed, labels = composed_clips(artifacts)
    load_keras().utils.set_random_seed(seed)
    network = networks.build_network("crnn", len(GENRES))
    standardise(network, mean, deviation)
    settings = recipe.complete("crnn", {}, len(composed))
    virtual = virtual_clips(mean, deviation, tag_directions(front["tags"]) * deviation, seed)
    labels = labels + [label for label in range(len(GENRES)) for _ in range(VIRTUAL)]
    clips = LoadedClips([*composed, *virtual], labels, embedded=True)
    head = training.trained_part(network, clips, settings, EPOCHS, pretrained=True)
    for epoch in range(1, EPOCHS + 1):
        logs, _ = training.train_epoch(head, clips, len(GENRES), settings, seed, epoch)
        print(f"epoch {epoch}/{EPOCHS}  loss {logs['loss']:.4f}", flush=True)
    shift_by_prior(network)
    about = {
        "classes": list(read_classes(artifacts)),
        "network": "crnn",
        **settings,
        "epochs": EPOCHS,
        "seed": seed,
        "spectrogram_settings": read_json(artifacts.spectrogram_settings, STEP_1),
        "front_end": networks.describe_front_end("crnn", networks.PRETRAINED, fine_tune=False),
        "virtual_clips_per_genre": VIRTUAL,
        "trained_on": f"{len(composed)} composed clips and {len(virtual)} virtual clips",
    }
    checkpoints.save(network, output, about)
    print(output)


def composed_clips(artifacts: Artifacts) -> tuple[list[np.ndarray], list[int]]:
    """Return the embeddings and labels of a data set's clips, computing those that are missing."""
    tables = [read_part(artifacts, part) for part in PARTS]
    names = [name for table in tables for name in table["spectrogram"]]
    embeddings.generate_missing(artifacts, names, jobs=workers.cores())
    clips = [batches.load_embedding(artifacts.embeddings / name) for name in names]
    return clips, [int(label) for table in tables for label in table["label"]]


def standardise(model: "keras.Model", penultimate_mean: np.ndarray, deviation: np.ndarray) -> None:
    """Standardise embeddings by the music that the front end was trained on, and turn their pooled values off.

    The pooled values of composed music differ from those of real music more than the penultimate values do. With them,
    the accuracy is 0.05 lower.
    """
    mean, variance = np.zeros(front_end.EMBEDDING), np.full(front_end.EMBEDDING, OFF)
    mean[:PENULTIMATE], variance[:PENULTIMATE] = penultimate_mean, deviation**2
    model.get_layer("standardise").set_weights([mean, variance])


def tag_directions(tags: dict[str, list[str]]) -> np.ndarray:
    """Return how the logit of each genre's tag depends on the penultimate values, shape (genres, 400)."""
    network, half = checkpoints.load(FRONT_END), PENULTIMATE // 2
    directions = np.zeros((len(GENRES), PENULTIMATE))
    for row, genre in zip(directions, GENRES, strict=True):
        name, tag = TAGS[genre]
        start = 0 if name == "mtt" else half
        row[start : start + half] = network.get_layer(f"{name}_tags").get_weights()[0][:, tags[name].index(tag)]
    return directions


def virtual_clips(mean: np.ndarray, deviation: np.ndarray, directions: np.ndarray, seed: int) -> np.ndarray:
    """Make the virtual clips of all genres in turn: embeddings of one window, shape (clips, 1, 1608).

    Random values are moved by the least amount that gives all genres' tags the logits that are wanted. `directions` are
    those of standardised values.
    """
    rng = np.random.default_rng(seed)
    clips = np.zeros((len(GENRES), VIRTUAL, front_end.EMBEDDING), np.float32)
    for label, embeddings_of_genre in enumerate(clips):
        values = rng.normal(0, SPREAD, (VIRTUAL, PENULTIMATE))
        wanted = rng.normal(*ABSENT, (VIRTUAL, len(GENRES)))
        wanted[:, label] = rng.uniform(*PRESENT, VIRTUAL)
        values += (wanted - values @ directions.T) @ np.linalg.pinv(directions).T
        embeddings_of_genre[:, :PENULTIMATE] = mean + deviation * values
    return clips.reshape(-1, 1, front_end.EMBEDDING)


class LoadedClips(training.Clips):
    """Clips in memory: their `paths` are the embeddings themselves."""

    def load(self, path: np.ndarray) -> np.ndarray:
        return path


def shift_by_prior(model: "keras.Model") -> None:
    """Add three quarters of the logarithm of each genre's share in MagnaTagATune to the bias of the last layer."""
    layer = model.get_layer("genres")
    kernel, bias = layer.get_weights()
    clips = np.array([CLIPS[genre] for genre in GENRES], float)
    layer.set_weights([kernel, bias + PRIOR_STRENGTH * np.log(clips / clips.sum())])


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
