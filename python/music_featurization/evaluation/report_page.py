"""The content of results/report.html: what was measured, on which data, how it was made."""

import platform
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from music_featurization import templates
from music_featurization.artifacts import STEP_1, STEP_4, TRAINING, Artifacts, PipelineError, read_json
from music_featurization.dataset import clip_names, split
from music_featurization.evaluation import commands, figures, palette, report, results, taggram
from music_featurization.evaluation.metrics import Leakage, Measurement, Metrics, normalise
from music_featurization.evaluation.results import TestSetResults
from music_featurization.feature_tables import tracks

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

CONFUSED, TAGGRAMS = 10, 3  # clips shown
PACKAGES = (
    "music_featurization", "tensorflow", "keras", "jax", "torch", "librosa", "numpy", "scikit-learn", "matplotlib",
)  # fmt: skip
# Names on the page that are not the recorded ones with spaces.
NAMES = {
    "sample_rate": "sample rate (Hz)", "n_fft": "FFT size", "n_mels": "mel bands", "f_max": "highest frequency (Hz)",
    "fine_tune": "fine-tuning", "fine_tuned": "fine-tuned", "pretrained": "pre-trained", "heard": "trained on",
    "file": "fingerprint", "split": "fingerprint of the split",
}  # fmt: skip


class ShownClip(NamedTuple):
    """A test clip as the page shows it; the shares are probabilities in percent."""

    name: str
    label: str
    spectrogram: str
    url: str  # of its recording; "" if that is missing
    genre: str
    true_share: int
    predicted: str
    predicted_share: int
    taggram: dict[str, bytes] | None = None  # SVG by theme


def render(
    test_set: TestSetResults,
    metrics: Measurement,
    drawings: "dict[str, Callable[[str], Figure | None]]",
    artifacts: Artifacts,
    root: Path | None = None,
    map_method: str | None = None,
) -> str:
    """Return the page as HTML.

    `drawings` are functions from a theme to a figure (or None) by name: `confusion`, `loss`, `accuracy` and `map`;
    `root` and `map_method` are for `commands.lines`.
    """
    confused, wrong = most_confused(test_set, artifacts)
    taggrams, no_taggrams = draw_taggrams(test_set, artifacts)
    tested_on = test_set.record.get("date") or date.fromtimestamp(artifacts.prediction.stat().st_mtime).isoformat()
    return templates.render(
        "report.html",
        title="Music genres: results",
        themes=palette.THEMES,
        lead=f"{metrics['clips']:,} test clips, {len(test_set.classes)} genres: {', '.join(test_set.classes)}. "
        f"Tested on {tested_on}, reported by MusicFeaturization {_version(PACKAGES[0])}.",
        metrics=metrics,
        columns={"all test clips": metrics, **_parts(metrics)},
        remarks=list(_remarks(metrics)),
        pictures={name: _in_both_themes(draw) for name, draw in drawings.items()},
        confused=confused,
        wrong=wrong,
        taggrams=taggrams,
        no_taggrams=no_taggrams,
        data_set=count_data_set(artifacts, test_set.classes),
        settings=settings(artifacts, test_set.record),
        versions=versions(artifacts, test_set.record),
        commands=commands.lines(artifacts, root, map_method),
    )


def _in_both_themes(draw: "Callable[[str], Figure | None]") -> dict[str, bytes] | None:
    """Return a picture as SVG by theme, None where there is nothing to draw."""
    drawn = {theme: draw(theme) for theme in palette.THEMES}
    return {theme: figures.render(figure, "svg") for theme, figure in drawn.items() if figure} or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _parts(metrics: Measurement) -> dict[str, Metrics]:
    """Return the metrics of parts of the test clips by name, without those that are all of the clips."""
    leakage, front_end = metrics["leakage"], metrics["front_end"]
    parts = {}
    if leakage and leakage["song_share"] and leakage["other_songs"]:
        parts["songs not in train"] = leakage["other_songs"]
    if front_end and front_end["heard_clips"] and front_end["other_clips"]:
        parts["not heard by the front end"] = front_end["other_clips"]
    return parts


def _remarks(metrics: Measurement) -> Iterator[str]:
    leakage = metrics["leakage"]
    if metrics["absent"]:
        yield f"No test clip: {', '.join(metrics['absent'])}. Means are over the other genres."
    if count := metrics["rows_not_summing_to_1"]:
        yield f"Probabilities of {count} clips do not add to 1 as saved; they were normalised."
    if metrics["front_end"]:
        yield f"{report.heard_by_front_end(metrics['front_end'])}."
    if leakage is None:
        yield "How many songs and artists are shared with the training set is unknown: there is no split."
        return
    if metrics["trained_on_this_split"] is False:
        yield "The network was trained on another data set or split: it may have learned from clips of this test set."
    if metrics["trained_on_this_split"] is None:
        yield (
            "It is not known whether the network was trained on this split: "
            "the songs and artists of the test clips are compared with its training set."
        )
    yield _shared(leakage)


def _shared(leakage: Leakage) -> str:
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


def most_confused(test_set: TestSetResults, artifacts: Artifacts) -> tuple[list[ShownClip], int]:
    """Return the clips whose wrong genre is furthest ahead of the true one, and the number of all wrong ones."""
    probabilities = normalise(test_set.probabilities)
    truth, row = test_set.clips["label"].to_numpy(), np.arange(len(test_set.clips))
    lead = probabilities[row, test_set.predicted] - probabilities[row, truth]
    wrong = np.flatnonzero(truth != test_set.predicted)
    worst = wrong[np.argsort(-lead[wrong], kind="stable")][:CONFUSED]
    return [describe_clip(test_set, index, probabilities, artifacts) for index in worst], len(wrong)


def describe_clip(test_set: TestSetResults, index: int, probabilities: np.ndarray, artifacts: Artifacts) -> ShownClip:
    """Describe the test clip at an index for the page; `probabilities` are normalised, shape (N, C)."""
    spectrogram, label = test_set.clips["spectrogram"].iloc[index], test_set.clips["label"].iloc[index]
    predicted = test_set.predicted[index]
    recording = artifacts.mp3_files / tracks.find_recording(artifacts.mp3_files, spectrogram)
    return ShownClip(
        name=clip_names.stem(spectrogram),
        label=clip_names.readable(spectrogram),
        spectrogram=spectrogram,
        url=templates.relative_url(recording, artifacts.results) if recording.is_file() else "",
        genre=test_set.classes[label],
        true_share=round(100 * probabilities[index, label]),
        predicted=test_set.classes[predicted],
        predicted_share=round(100 * probabilities[index, predicted]),
    )


def draw_taggrams(test_set: TestSetResults, artifacts: Artifacts) -> tuple[list[ShownClip], str]:
    """Draw the taggrams of three clips, each of another genre, whose true genre has the highest probability.

    Return the clips, and the reason if there are none.
    """
    probabilities = normalise(test_set.probabilities)
    clips = test_set.clips.assign(certainty=probabilities[np.arange(len(probabilities)), test_set.clips["label"]])
    clips = clips[[(artifacts.spectrograms / name).is_file() for name in clips["spectrogram"]]]
    if clips.empty:
        return [], "There are no spectrograms beside these results."
    best = clips.sort_values("certainty", ascending=False, kind="stable").drop_duplicates("label").index[:TAGGRAMS]
    shown = [describe_clip(test_set, index, probabilities, artifacts) for index in best]
    try:
        return [clip._replace(taggram=_taggram(artifacts.spectrograms / clip.spectrogram)) for clip in shown], ""
    except PipelineError as error:
        return [], f"The tags could not be computed: {error}"


def _taggram(spectrogram: Path) -> dict[str, bytes] | None:
    from music_featurization.audio.spectrogram import HOP, SETTINGS
    from music_featurization.network import batches, front_end

    log_mel, names = batches.load_clip(spectrogram), front_end.tag_names()
    tags = front_end.embed(front_end.load_tagger(), log_mel)[:, front_end.EMBEDDING :].T
    shown = [row for row, name in enumerate(names) if name.startswith("mtt_")]
    short = [names[row].removeprefix("mtt_") for row in shown]
    starts = np.arange(tags.shape[1]) * front_end.WINDOW * HOP / SETTINGS["sample_rate"]
    return _in_both_themes(lambda theme: taggram.draw(tags[shown], short, starts, theme=theme))


def count_data_set(artifacts: Artifacts, classes: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Count the clips, songs and artists of each genre, and of all, in train, val and test; [] without a split."""
    if not artifacts.split("test").exists():
        return []
    parts = [results.read_clips(artifacts, part) for part in split.PARTS]
    rows = [(genre, [part[part["genre"] == genre] for part in parts]) for genre in classes]
    return [(name, [count for clips in tables for count in _counts(clips)]) for name, tables in [*rows, ("all", parts)]]


def _counts(clips: "pandas.DataFrame") -> tuple[int, int, int]:
    names = [clip_names.parse(path) for path in clips["spectrogram"]]
    return len(clips), len({name.song for name in names}), len({name.artist for name in names})


def settings(artifacts: Artifacts, record: dict) -> dict[str, dict[str, str]]:
    """Return the settings of the network, the spectrograms and the split, as far as they are known."""
    network = dict(record.get("network") or {})
    if network.pop("versions", None):
        network["backend"] = _training_versions(artifacts, record).get("backend")
    if network.get("early_stop") == 0:
        network["early_stop"] = "never"
    spectrograms = network.pop("spectrogram_settings", None)
    if not isinstance(spectrograms, dict):
        spectrograms = _optional(artifacts.spectrogram_settings, STEP_1)
    tables = {
        "Network": {"checkpoint": record.get("model_file"), "fingerprint": record.get("model"), **network},
        "Spectrograms": spectrograms,
        "Split": commands.recorded_settings(artifacts.split_settings, STEP_4),
    }
    return {
        caption: {_name(key): _plain(value) for key, value in content.items()}
        for caption, content in tables.items()
        if any(content.values())
    }


def _name(key: str) -> str:
    return NAMES.get(key, key.replace("_", " "))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(_part(_name(key), content) for key, content in value.items() if content is not None)
    return "–" if value is None else str(value)


def _part(name: str, value: object) -> str:
    """Return an entry of a setting that has several as text; a bool as its name, or as "not" and its name."""
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name}: {_plain(value)}"


def _optional(path: Path, made_by: str, **kinds: Any) -> dict:
    return read_json(path, made_by, **kinds) if path.exists() else {}


def versions(artifacts: Artifacts, record: dict) -> dict[str, tuple[str, str]]:
    """Return the version of each package in the training, as it was recorded, and in this report."""
    training = {name: version for name, version in _training_versions(artifacts, record).items() if name != "backend"}
    report_versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    both = {name: (training.get(name), report_versions.get(name)) for name in [*report_versions, *training]}
    return {name: (_plain(first), _plain(second)) for name, (first, second) in both.items() if first or second}


def _training_versions(artifacts: Artifacts, record: dict) -> dict:
    recorded = (record.get("network") or {}).get("versions")
    if isinstance(recorded, dict):
        return recorded
    return _optional(artifacts.training_settings, TRAINING, versions=dict | None).get("versions") or {}
