"""Genre, features and tags of one recording of any length, as a whole or per time step.

A recording is cut into windows of the same length as the clips of MagnaTagATune, and the results are averaged. Only one
window is in memory at a time.
"""

import functools
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.artifacts import PROVIDED_MODEL, SECONDS_OF_A_DAY, PipelineError, fingerprint
from music_featurization.audio import decoding, spectrogram
from music_featurization.network import checkpoints, front_end, networks, prediction

if TYPE_CHECKING:
    import keras

WINDOW_SECONDS = 29.1  # the length of the clips that the network was trained on
SHORTEST_SECONDS = 0.1  # of a recording; one shorter than 3 s is repeated, as short clips are in training
LOADED_NETWORKS = 2  # that stay in the memory of a process


class Window(NamedTuple):
    """A piece of a recording: its time step, start and length in seconds, and blocks of samples at 16,000 Hz.

    `is_short` says that less than half a window remained after other windows.
    """

    step: int
    start: float
    seconds: float
    blocks: list[np.ndarray]
    is_short: bool = False


class TrackFeatures(NamedTuple):
    """Result of a recording: one row per time step that is not silent.

    `start`, `end` and `seconds` (analysed of the step) are float, shape (steps,), `probabilities` float32 (steps, C),
    `features` float32 (steps, 512), `tags` float32 (steps, 100), `note` says what is wrong with the recording, and
    `spent` is the time in seconds that each part of the work took.
    """

    start: np.ndarray
    end: np.ndarray
    seconds: np.ndarray
    probabilities: np.ndarray
    features: np.ndarray
    tags: np.ndarray
    note: str
    spent: dict[str, float]


def _edges(every: float | None) -> Iterator[tuple[int, int, int]]:
    """Yield time step, first sample and end of each window; a step longer than a window is divided into equal ones."""
    whole = round(WINDOW_SECONDS * decoding.SAMPLE_RATE)
    if every is None:
        yield from ((0, number * whole, (number + 1) * whole) for number in itertools.count())
        return
    for step in itertools.count():
        start, end = (round(number * every * decoding.SAMPLE_RATE) for number in (step, step + 1))
        edges = np.linspace(start, end, max(1, round((end - start) / whole)) + 1).round().astype(int).tolist()
        yield from ((step, *pair) for pair in itertools.pairwise(edges))


def windows(
    path: str | os.PathLike, every: float | None = None, on_note: Callable[[str], None] | None = None
) -> Iterator[Window]:
    """Cut a recording into windows of 29.1 s, or into time steps of `every` seconds.

    `on_note` is called with what is wrong with a recording that can be decoded only in part. Raises a
    decoding.UnreadableAudioError if the recording cannot be used, or is shorter than 0.1 s.
    """
    edges, count = _edges(every), 0
    blocks: list[np.ndarray] = []
    step, start, end = next(edges)
    for block in decoding.stream(path, strict=False, max_seconds=math.inf, on_note=on_note):
        while count + len(block) >= end - start:
            used = end - start - count
            yield _window(step, start, [*blocks, block[:used]])
            blocks, count, block = [], 0, block[used:]
            step, start, end = next(edges)
        if len(block):
            blocks.append(block)
            count += len(block)
    if start == 0 and count < SHORTEST_SECONDS * decoding.SAMPLE_RATE:
        raise decoding.UnreadableAudioError(f"shorter than {SHORTEST_SECONDS} s: {count / decoding.SAMPLE_RATE:.2f} s")
    if count >= SHORTEST_SECONDS * decoding.SAMPLE_RATE:
        yield _window(step, start, blocks)._replace(is_short=start > 0 and count < (end - start) / 2)


def _window(step: int, start: int, blocks: list[np.ndarray]) -> Window:
    return Window(step, start / decoding.SAMPLE_RATE, sum(map(len, blocks)) / decoding.SAMPLE_RATE, blocks)


class Networks(NamedTuple):
    """A network, split for recordings.

    `classes` are its classes, `embedder` its front end (None for a network without one), `head` the layers after it,
    with the outputs probabilities and features, and `tagger` the front end for the tags, None if the embedder computes
    them too.
    """

    classes: tuple[str, ...]
    embedder: "keras.Model | None"
    head: "keras.Model"
    tagger: "keras.Model | None"

    def analyse(self, log_mel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute probabilities (C,), features (512,) and tags (100,) of a spectrogram (96, frames)."""
        clip = front_end.whole_windows(log_mel)
        embedding = clip if self.embedder is None else front_end.embed(self.embedder, clip)
        with_tags = embedding if self.tagger is None else front_end.embed(self.tagger, clip)
        if self.embedder is not None:
            clip = embedding[:, : front_end.EMBEDDING]
        probabilities, features = self.head.predict_on_batch(clip[None])
        return probabilities[0], features[0], with_tags[:, front_end.EMBEDDING :].mean(axis=0)


def load_networks(model_file: str | os.PathLike = PROVIDED_MODEL) -> Networks:
    """Load a network and the front end's tags, once per process as long as the file is the same.

    Raises a PipelineError if the file or the front end is missing, unreadable or does not fit.
    """
    path = Path(model_file)
    return _load_networks(path, checkpoints.require_compatible(path), fingerprint(path))


@functools.lru_cache(maxsize=LOADED_NETWORKS)
def _load_networks(model_file: Path, classes: tuple[str, ...], model_fingerprint: str) -> Networks:
    model, tagger = checkpoints.load(model_file, classes), front_end.load_tagger()
    head, _ = prediction.stages(model, embedded=False)
    if networks.has_provided_front_end(checkpoints.read_about(model_file)):
        return Networks(classes, tagger, head, None)
    return Networks(classes, front_end.embedder_of(model), head, tagger)


def require_step(every: float | None) -> None:
    """Raise a PipelineError if `every` is too short or too long for a time step."""
    if every is not None and not SHORTEST_SECONDS <= every <= SECONDS_OF_A_DAY:
        raise PipelineError(
            f"every={every:g} is not a number of seconds from {SHORTEST_SECONDS} to {SECONDS_OF_A_DAY}."
        )


def analyse(path: str | os.PathLike, loaded: Networks, every: float | None = None) -> TrackFeatures:
    """Compute probabilities, features and tags of a recording, in one row or in one per time step of `every` seconds.

    Raises
    ------
    PipelineError
        If `every` is too short or too long.
    decoding.UnreadableAudioError
        If the recording cannot be used, or is silent.
    """
    require_step(every)
    notes: list[str] = []
    spent: dict[str, float] = dict.fromkeys(("decode", "spectrogram", "network"), 0.0)
    ends: dict[int, float] = {}  # by time step
    sums: dict[int, np.ndarray] = {}  # by time step: seconds, windows, sums of the results
    for window, log_mel in _spectrograms(windows(path, every, notes.append), spent):
        began = time.perf_counter()
        results = np.concatenate([[window.seconds, 1], *loaded.analyse(log_mel)])
        ends[window.step] = window.start + window.seconds
        sums[window.step] = sums.get(window.step, 0) + results
        spent["network"] += time.perf_counter() - began
    steps = sorted(sums)
    if every is not None and len(steps) > 1 and ends[steps[-1]] - every * steps[-1] < every / 2 - 1e-6:
        steps.pop()
    if not steps:
        raise decoding.UnreadableAudioError("silent from beginning to end")
    table, widths = np.stack([sums[step] for step in steps]), [output.shape[-1] for output in loaded.head.outputs]
    probabilities, features, tags = np.split(
        (table[:, 2:] / table[:, 1:2]).astype(np.float32), np.cumsum(widths), axis=1
    )
    starts, last = np.array(steps) * (every or 0.0), np.array([ends[step] for step in steps])
    note = "; ".join(dict.fromkeys(notes))
    return TrackFeatures(starts, last, table[:, 0], probabilities, features, tags, note, spent)


def _spectrograms(pieces: Iterator[Window], spent: dict[str, float]) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the windows that are not silent, with their spectrograms: the network was not trained on silence.

    A short one at the end is left out unless all others are silent.
    """
    all_silent = True
    while True:
        began = time.perf_counter()
        window = next(pieces, None)
        decoded = time.perf_counter()
        spent["decode"] += decoded - began
        if window is None or (window.is_short and not all_silent):
            return
        log_mel = spectrogram.log_mel(window.blocks)
        spent["spectrogram"] += time.perf_counter() - decoded
        if log_mel.max() > 0:
            all_silent = False
            yield window, log_mel
