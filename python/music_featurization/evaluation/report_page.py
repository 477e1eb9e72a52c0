"""The sections of results/report.html: what was measured, on what data, made how."""

import os
import platform
from datetime import date
from importlib import metadata

import numpy as np

from music_featurization.artifacts import STEP_1, STEP_4, TRAINING, read_json
from music_featurization.audio import decoding
from music_featurization.dataset import clip_names
from music_featurization.evaluation import commands, report, test_results
from music_featurization.evaluation.html_page import Number, code, page, picture, player, side_by_side, table
from music_featurization.evaluation.metrics import normalise

CONFUSED = 10  # clips listed
NO_BREAK = "\N{NO-BREAK SPACE}"
PACKAGES = (
    "music_featurization",
    "tensorflow",
    "keras",
    "jax",
    "torch",
    "librosa",
    "numpy",
    "scikit-learn",
    "matplotlib",
)


def whole_page(results, found, pictures, artifacts, root=None):
    """The whole page.

    Parameters
    ----------
    results : test_results.Tested
    found : dict
        That of `test_results.measure`.
    pictures : dict of str to bytes
        SVG pictures by name: `confusion`, and `loss` and `accuracy` where there is a history.
    artifacts : Artifacts
    root : Path, optional
        What --root was given, for the commands.

    Returns
    -------
    str
        HTML.
    """
    lead = (
        f"{found['clips']:,} test clips, {len(results.classes)} genres: {', '.join(results.classes)}. "
        f"Tested on {_date(artifacts, results.about)}, reported by MusicFeaturization {_version()}."
    )
    described = f"Confusion matrix: accuracy {found['accuracy']:.3f} on {found['clips']} test clips"
    curves = [picture(pictures[name], f"{name} of every epoch") for name in ("loss", "accuracy") if name in pictures]
    sections = [
        ("Result", summary(found)),
        ("Confusion matrix", [picture(pictures["confusion"], described)]),
        ("Genres", per_class(found)),
        ("Most confused clips", most_confused(results, artifacts)),
        ("Training", curves or ["There is no history of the training beside these results."]),
        ("Data set", data_set(artifacts, results.classes)),
        ("Settings", settings(artifacts, results.about)),
        ("Versions", versions(artifacts)),
        ("Commands", _commands(artifacts, root)),
    ]
    return page("Music genres: results", lead, sections)


def _date(artifacts, about):
    """Day of the test; of the predictions' file where no record names it."""
    return about.get("date") or date.fromtimestamp(artifacts.prediction.stat().st_mtime).isoformat()


def _version():
    try:
        return metadata.version("music_featurization")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def summary(found):
    """Metrics of all test clips, beside those without shared songs and without clips that the front end has heard."""
    columns = {"all test clips": found, **_stricter(found)}
    rows = [["clips", *(Number(f"{column['clips']:,}") for column in columns.values())]]
    for key, name in (
        ("accuracy", "accuracy"),
        ("balanced_accuracy", "balanced accuracy"),
        ("f_score", "F-score (macro)"),
        ("matthews", "Matthews coefficient"),
        ("roc_auc", "ROC AUC (macro, one against rest)"),
    ):
        rows.append([name, *(_decimal(column[key]) for column in columns.values())])
    rows.insert(2, ["among the two most probable", *(_decimal(column["top"]["2"]) for column in columns.values())])
    return [table(["", *map(Number, columns)], rows), *_remarks(found)]


def _stricter(found):
    """Metrics of a part of the test clips by the part's name, only where the part is not all of them."""
    leakage, front_end = found["leakage"], found["front_end"]
    parts = {}
    if leakage and leakage["song_share"] and leakage["other_songs"]:
        parts["songs not in train"] = leakage["other_songs"]
    if front_end and front_end["heard_clips"] and front_end["other_clips"]:
        parts["not heard by the front end"] = front_end["other_clips"]
    return parts


def _decimal(value):
    return Number("–" if value is None else f"{value:.3f}")


def _remarks(found):
    leakage = found["leakage"]
    if found["absent"]:
        yield f"No test clip: {', '.join(found['absent'])}. Means are over the other genres."
    if found["rows_not_summing_to_1"]:
        yield f"Probabilities of {found['rows_not_summing_to_1']} clips do not add to 1 as saved; they were normalised."
    if found["front_end"]:
        yield f"{report.heard_by_front_end(found['front_end'])}."
    if leakage is None:
        yield "How many songs and artists are shared with the training set is unknown: there is no split."
        return
    if found["trained_on_this_split"] is False:
        yield "The network was trained on another data set or split: it may have learned from clips of this test set."
    yield _shared(leakage)


def _shared(leakage):
    song, artist = leakage["song_share"], leakage["artist_share"]
    if not song and not artist:
        return "No test clip is of a song or an artist that is also in the training set."
    if not song:
        return f"No test clip is of a song that is also in the training set; {artist:.1%} are of an artist that is."
    remark = (
        f"Of the test clips, {song:.1%} are of a song that is also in the training set, {artist:.1%} of an artist that "
        "is. A network can recognise a song or a singer instead of a genre, so read the first column with that in mind."
    )
    return remark if leakage["other_songs"] else f"{remark} There is no test clip of a song that is not in train."


def per_class(found):
    """Precision, recall, F-score and support of each genre."""
    rows = [
        [
            row["genre"],
            *(_decimal(row[key]) for key in ("precision", "recall", "f_score")),
            Number(f"{row['support']:,}"),
        ]
        for row in found["per_class"]
    ]
    return [table(["genre", *map(Number, ("precision", "recall", "F-score", "test clips"))], rows)]


def most_confused(results, artifacts):
    """The wrongly classified clips whose wrong genre is furthest ahead of the true one, each with a player."""
    probabilities = normalise(results.probabilities)
    truth, predicted = results.clips["label"].to_numpy(), results.predicted
    row = np.arange(len(truth))
    lead = probabilities[row, predicted] - probabilities[row, truth]
    wrong = np.flatnonzero(truth != predicted)
    worst = wrong[np.argsort(-lead[wrong], kind="stable")][:CONFUSED]
    if not len(worst):
        return ["No test clip is classified wrongly."]
    rows = []
    for index in worst:
        spectrogram = results.clips["spectrogram"].iloc[index]
        clip = clip_names.parse(spectrogram)
        rows.append(
            [
                _spaced(clip.artist),
                _spaced(clip.song.removeprefix(f"{clip.artist}-")),
                Number("" if clip.start is None else f"{clip.start}–{clip.end} s"),
                _share(results.classes[truth[index]], probabilities[index, truth[index]]),
                _share(results.classes[predicted[index]], probabilities[index, predicted[index]]),
                player(recording(artifacts, spectrogram), clip_names.stem(spectrogram)),
            ]
        )
    caption = f"{len(rows)} of {len(wrong)} wrongly classified clips"
    return [table(["artist", "song", Number("part"), "true genre", "predicted", "listen"], rows, caption)]


def _share(genre, probability):
    return f"{genre} {probability:.0%}".replace(" ", NO_BREAK)


def _spaced(name):
    """A name as people read it, which can also be broken into lines."""
    return name.replace("_", " ")


def recording(artifacts, spectrogram):
    """Path of a clip's recording relative to results/, or None if there is none.

    Parameters
    ----------
    artifacts : Artifacts
    spectrogram : str
        Path relative to datasets/spectrograms.

    Returns
    -------
    str or None
        With `/`, not yet quoted for a URL.
    """
    base = spectrogram.removesuffix(".npy")
    for ending in (*decoding.FILE_ENDINGS, *map(str.upper, decoding.FILE_ENDINGS)):
        path = artifacts.mp3_files / f"{base}{ending}"
        if path.is_file():
            return os.path.relpath(path, artifacts.results).replace(os.sep, "/")
    return None


def data_set(artifacts, classes):
    """Clips, songs and artists of each genre in each part of the split."""
    if not artifacts.split("test").exists():
        return ["There is no split beside these results."]
    parts = {part: _with_names(test_results.read_clips(artifacts, part)) for part in ("train", "val", "test")}
    rows = [[genre, *_counts(part[part["genre"] == genre] for part in parts.values())] for genre in classes]
    rows.append(["all", *_counts(parts.values())])
    headings = ["genre", *map(Number, ("clips", "songs", "artists") * len(parts))]
    groups = [("", 1), ("training", 3), ("validation", 3), ("test", 3)]
    return [table(headings, rows, groups=groups)]


def _with_names(clips):
    names = clips["spectrogram"].map(clip_names.parse)
    return clips.assign(song=[name.song for name in names], artist=[name.artist for name in names])


def _counts(tables):
    for clips in tables:
        for count in (len(clips), clips["song"].nunique(), clips["artist"].nunique()):
            yield Number(f"{count:,}")


def settings(artifacts, about):
    """The settings of the split, the spectrograms and the network."""
    network = dict(about.get("network") or {})
    of_network = network.pop("spectrogram_settings", None)
    spectrograms = of_network if isinstance(of_network, dict) else _optional(artifacts.spectrogram_settings)
    split = _split(artifacts)
    tables = [
        ("Network", {"file": about.get("model_file"), "fingerprint": about.get("model"), **network}),
        ("Spectrograms", spectrograms),
        ("Split", split),
    ]
    filled = [
        table(["setting", "value"], [[key, _plain(value)] for key, value in content.items()], caption)
        for caption, content in tables
        if any(content.values())
    ]
    return [side_by_side(filled)] if filled else ["Unknown: the results come from elsewhere."]


def _plain(value):
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(content)}" for key, content in value.items())
    return "–" if value is None else str(value)


def _optional(path, made_by=STEP_1, **kinds):
    return read_json(path, made_by, **kinds) if path.exists() else {}


def _split(artifacts):
    path = artifacts.split_settings
    return _optional(path, STEP_4, settings=dict | None).get("settings") or {}


def versions(artifacts):
    """Versions of the training and of this report."""
    rows = [[name, version, "training"] for name, version in (_training(artifacts).get("versions") or {}).items()]
    rows.append(["python", platform.python_version(), "report"])
    for package in PACKAGES:
        try:
            rows.append([package, metadata.version(package), "report"])
        except metadata.PackageNotFoundError:
            continue
    return [table(["package", "version", "used for"], rows)]


def _training(artifacts):
    kinds = {"settings": dict | None, "versions": dict | None}
    return _optional(artifacts.training_settings, TRAINING, **kinds)


def _commands(artifacts, root):
    return [
        "These commands make all of this again, in the folder of the repository:",
        code(commands.lines(artifacts, root)),
    ]
