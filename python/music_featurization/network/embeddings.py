"""The folder of embeddings: the frozen front end's output for every clip, computed once.

One .npy file per spectrogram, float16, shape (windows, 1608). A file older than its spectrogram is computed again.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization import command_line, workers
from music_featurization.artifacts import (
    FRONT_END,
    SETTINGS_FILE,
    TRAINING,
    Artifacts,
    PipelineError,
    fingerprint,
    read_json,
    remove_unfinished,
    require_same_settings,
    write_array,
    write_json,
)
from music_featurization.audio import spectrogram
from music_featurization.command_line import plural
from music_featurization.dataset import spectrogram_folder
from music_featurization.network import front_end
from music_featurization.network.batches import load_clip, load_embedding
from music_featurization.network.keras_backend import load_keras

if TYPE_CHECKING:
    import keras

DTYPE = "float16"
FEW = 100  # clips that are embedded in this process: workers would take longer to start
NAMED = 3  # failures that a message lists


def settings() -> dict:
    """Return what embeddings depend on beside the spectrogram, as stored in their settings.json."""
    keys = ("sample_rate", "n_fft", "hop_length", "n_mels", "compression")
    of_spectrogram = {f"spectrogram_{key}": spectrogram.SETTINGS[key] for key in keys}
    return {"front_end": fingerprint(FRONT_END), "dtype": DTYPE, **of_spectrogram}


def generate_missing(
    artifacts: Artifacts,
    spectrograms: Sequence[str],
    *,
    jobs: int,
    dask: str | None = None,
    shard: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> None:
    """Compute the embeddings that are missing or older than their spectrogram, and report the progress.

    Parameters
    ----------
    spectrograms : sequence of str
        Paths relative to the folder of spectrograms.
    jobs, dask
        As in `workers.run`.
    shard : tuple of int, optional
        (i, n): only the i-th of n parts.
    overwrite : bool
        Replace embeddings that were made by another front end instead of refusing them.

    Raises
    ------
    PipelineError
        If the front end cannot be used, the folder's embeddings were made by another one, or clips failed.
    """
    front_end.read_about()
    prepare(artifacts.embeddings, overwrite)
    names = [name for name in dict.fromkeys(spectrograms) if spectrogram_folder.in_shard(name, shard)]
    to_do = [name for name in names if not is_up_to_date(artifacts, name)]
    failures_file = spectrogram_folder.failures_file(artifacts.embeddings, shard)
    if not to_do and failures_file.exists():
        return
    failures_file.unlink(missing_ok=True)  # without it, an interrupted run is continued and writes it
    print(f"embeddings of {plural(len(names), 'clip')}: {len(names) - len(to_do)} done, {len(to_do)} to do", flush=True)
    make = functools.partial(generate, spectrograms=artifacts.spectrograms, folder=artifacts.embeddings)
    if dask is None and len(to_do) <= FEW:
        outcomes: Iterator[tuple[str, str | None]] = ((name, make(name)) for name in to_do)
    else:
        outcomes = workers.run(make, to_do, jobs=jobs, clips_per_task=1, dask=dask, prepare=_embedder)
    failures = {name: reason for name, reason in command_line.progress(outcomes, len(to_do), "clip") if reason}
    spectrogram_folder.write_failures(artifacts.embeddings, failures, shard)
    if failures:
        listed = "; ".join(f"{name}: {failures[name]}" for name in sorted(failures)[:NAMED])
        raise PipelineError(
            f"{plural(len(failures), 'clip')} without an embedding ({listed}). All reasons: {failures_file}."
        )


def prepare(folder: Path, overwrite: bool = False) -> None:
    """Make the folder ready; refuse embeddings made by another front end, or remove them if `overwrite` is set."""
    settings_file = folder / SETTINGS_FILE
    remove_unfinished(folder)
    if settings_file.exists():
        try:
            require_same_settings(folder, read_json(settings_file, TRAINING), settings())
            return
        except PipelineError:
            if not overwrite:
                raise
    spectrogram_folder.remove(folder)
    write_json(settings_file, settings())


def is_up_to_date(artifacts: Artifacts, name: str) -> bool:
    """Return whether a clip's embeddings exist and are no older than its spectrogram."""
    try:
        changed = os.stat(artifacts.embeddings / name).st_mtime_ns
        return changed >= os.stat(artifacts.spectrograms / name).st_mtime_ns
    except OSError:
        return False


def generate(name: str, *, spectrograms: Path, folder: Path) -> str | None:
    """Compute and save the embeddings of one clip; return the reason if that is impossible, else None."""
    try:
        clip = load_clip(spectrograms / name)
    except PipelineError as error:
        return str(error)
    write_array(folder / name, front_end.embed(_embedder(), clip).astype(DTYPE))
    return None


@functools.cache
def _embedder() -> "keras.Model":
    """Load the front end once per process."""
    load_keras()
    return front_end.build_embedder(pretrained=True, trainable=False)


def check(artifacts: Artifacts) -> Iterator[tuple[str, str | None]]:
    """Yield the relative path of every file of embeddings, and what is wrong with it: None if nothing is."""
    if artifacts.embeddings.is_dir():
        for name in spectrogram_folder.list_spectrograms(artifacts.embeddings):
            yield name, _problem_of(artifacts, name)


def _problem_of(artifacts: Artifacts, name: str) -> str | None:
    if not (artifacts.spectrograms / name).is_file():
        return "its spectrogram is missing"
    try:
        embedding, clip = load_embedding(artifacts.embeddings / name), load_clip(artifacts.spectrograms / name)
    except PipelineError as error:
        return str(error)
    windows = front_end.count_windows(clip.shape[1])
    if len(embedding) != windows:
        return f"embeddings of {len(embedding)} windows, but the spectrogram has {windows}"
    return None if is_up_to_date(artifacts, name) else "older than its spectrogram"
