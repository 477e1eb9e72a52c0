"""A tiny data set, network and set of results in the real layout, for the tests of what comes after training."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas
import tiny_music

from music_featurization.artifacts import Artifacts
from music_featurization.audio import spectrogram
from music_featurization.dataset.genres import GENRES
from music_featurization.evaluation import results
from music_featurization.feature_tables import feature_table


def make_split(root, classes=GENRES, clips_per_class=(3, 1, 2), artist="artist {genre}"):
    """Write train.csv, val.csv, test.csv and the settings; no spectrogram.

    Every clip of test but the first of each genre is of a song that is in train.
    """
    artifacts = Artifacts(root)
    artifacts.split_folder.mkdir(parents=True)
    number = 100
    for part, count in zip(("train", "val", "test"), clips_per_class, strict=True):
        rows = []
        for label, genre in enumerate(classes):
            for index in range(count):
                number += 1
                song = "known" if part == "train" or (part == "test" and index) else f"new {part}"
                name = f"{artist.format(genre=genre)}-album-01-{song}-{number}-{number + 29}"
                rows.append((str(number), f"{number % 16:x}/{name}.npy", genre, label))
        table = pandas.DataFrame(rows, columns=["clip_id", "spectrogram", "genre", "label"])
        table.to_csv(artifacts.split(part), index=False)
    settings = {"settings": {"genres": list(classes), "group_by": None}, "inputs": "0"}
    (artifacts.split_folder / "settings.json").write_text(json.dumps(settings))
    artifacts.spectrograms.mkdir(parents=True)
    artifacts.spectrogram_settings.write_text(json.dumps(spectrogram.SETTINGS))
    return artifacts


# A file name can contain all of this but the slash.
HOSTILE_ARTIST = "<!--<script>alert(1)<b>&\"'#?%41 é, {genre}"
HOSTILE_GENRES = ("<img src=x onerror=alert(1)>", 'a"b, c', "rock & roll")


def write_recordings(artifacts, every=2):
    """Write a second of music as mp3 for every second clip of the test set."""
    for number, name in enumerate(results.read_clips(artifacts, "test")["spectrogram"][::every]):
        path = artifacts.mp3_files / f"{name.removesuffix('.npy')}.mp3"
        tiny_music.write_mp3(path, tiny_music.music(1, seed=number))


def make_spectrograms(artifacts, seed=1, frames=(40, 60)):
    """Write a random spectrogram for every clip of the split; each label has 16 loud bands of its own.

    `frames` are the bounds of its length.
    """
    rng = np.random.default_rng(seed)
    for clip in results.read_clips(artifacts, "all").itertuples():
        path = artifacts.spectrograms / clip.spectrogram
        path.parent.mkdir(exist_ok=True)
        log_mel = rng.uniform(0, 2, (96, rng.integers(*frames)))
        log_mel[16 * clip.label : 16 * clip.label + 16] += 2
        np.save(path, log_mel.astype(np.float16))


def make_training_set(root, clips_per_class=(4, 1, 1)):
    """Write the split and the spectrograms, of one or two windows each, of two classes that differ clearly."""
    artifacts = make_split(root, ("low", "high"), clips_per_class)
    make_spectrograms(artifacts, frames=(150, 350))
    return artifacts


def make_network(n_classes, layer="activation_1", name="tiny"):
    """Build a network without a front end, for any length, with the two layers that the contract names."""
    import keras

    inputs = keras.Input((96, None))
    x = keras.layers.Permute((2, 1))(inputs)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Rescaling(1, offset=-1)(x)
    x = keras.layers.Dense(512, name="dense_1")(x)
    x = keras.layers.Activation("relu", name=layer)(x)
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(inputs, keras.layers.Dense(n_classes, activation="softmax", name="genres")(x), name=name)


def make_model(path, classes=GENRES, seed=1, settings=spectrogram.SETTINGS, layer="activation_1", **about):
    """Write a network of `make_network`; `about` is stored in the file too."""
    import keras

    from music_featurization.network import checkpoints

    keras.utils.set_random_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    about |= {"classes": list(classes), "spectrogram_settings": settings}
    checkpoints.save(make_network(len(classes), layer), path, about)


def make_history(artifacts, val_loss, **others):
    """Write history.pkl; `others` add or replace lists."""
    history = {
        "loss": [loss - 0.1 for loss in val_loss],
        "categorical_accuracy": [0.5 + 0.01 * epoch for epoch in range(len(val_loss))],
        "val_loss": list(val_loss),
        "val_categorical_accuracy": [0.4 + 0.01 * epoch for epoch in range(len(val_loss))],
        "val_balanced_accuracy": [0.3 + 0.01 * epoch for epoch in range(len(val_loss))],
    }
    artifacts.models.mkdir(parents=True, exist_ok=True)
    artifacts.history.write_bytes(pickle.dumps({**history, **others}))
    return history


def make_results(artifacts, seed=1, classes=GENRES, model="0123", network=None, part="test", **record):
    """Write what 2-testing.py writes, from random numbers, mostly right; return the probabilities."""
    rng = np.random.default_rng(seed)
    clips = results.read_clips(artifacts, part)
    logits = rng.normal(size=(len(clips), len(classes)))
    logits[np.arange(len(clips)), clips["label"]] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    features = rng.exponential(size=(len(clips), 512)).astype(np.float32)
    record = {
        "split": part,
        "classes": list(classes),
        "model_file": "epoch_02_0.4100.h5",
        "model": model,
        "clips": "0",
        "network": network or {},
        **record,
    }
    results.write(artifacts, record, clips, probabilities.astype(np.float32), features)
    return probabilities


def make_track_table(paths, folder=".", size=4, classes=("x",), seed=0, **columns):
    """Make a table as featurize.py does, from random numbers."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(len(classes)), len(paths)).astype(np.float32)
    genres = [classes[label] for label in probabilities.argmax(axis=1)]
    rows = {"recording": paths, "seconds": 4.0, "genre": genres, "model": "m", "note": "", "bytes": 0, "modified": ""}
    rows |= columns | {f"probability_{name}": column for name, column in zip(classes, probabilities.T, strict=True)}
    features = rng.normal(size=(len(paths), size)).astype(np.float32)
    return feature_table.FeatureTable(pandas.DataFrame(rows), features, Path(folder))
