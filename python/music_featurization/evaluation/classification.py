"""The work of 2-testing.py: classify the clips of one part of the split."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization import command_line, workers
from music_featurization.artifacts import REPOSITORY, STEP_1, STEP_4, Artifacts, PipelineError
from music_featurization.dataset import spectrogram_folder
from music_featurization.evaluation import commands, results
from music_featurization.network import checkpoints, embeddings, networks

if TYPE_CHECKING:
    import numpy as np

NAMED = 5  # how many missing spectrograms a message lists


def classify_split(
    *,
    root: Path = REPOSITORY,
    model: Path | None = None,
    split: str = "test",
    batch_size: int = 32,
    overwrite: bool = False,
) -> None:
    """Classify the clips of a part of the split and write predictions and features, unless that is done already.

    Parameters
    ----------
    model : Path, optional
        A checkpoint; by default the best of the training, or the provided network.
    split : {"test", "val", "train", "all"}
    batch_size : int
        Clips at a time.
    """
    artifacts = Artifacts(root)
    clips, classes = results.read_clips(artifacts, split), results.classes_of(artifacts)
    table = results.files(artifacts, split).features
    model_file, reason = (model, "given by --model") if model else checkpoints.best(artifacts)
    print(f"model: {model_file} ({reason})")
    spectrogram_folder.require_our_settings(artifacts.spectrograms)
    checkpoints.require_compatible(model_file, classes)
    options = commands.given_options(classify_split, model=model, split=split, batch_size=batch_size)
    record = results.new_record(artifacts, split, model_file, classes, options)
    if not overwrite and results.is_up_to_date(artifacts, record):
        print(f"nothing to do: the {len(clips)} clips of {split} are done with this model ({table})")
        return
    names = clips["spectrogram"].tolist()
    _require_spectrograms(names, artifacts)
    embedded = networks.has_provided_front_end(checkpoints.read_about(model_file))
    if embedded:
        embeddings.generate_missing(artifacts, names, jobs=workers.cores(), overwrite=overwrite)
    folder = artifacts.embeddings if embedded else artifacts.spectrograms
    outputs = _classify(model_file, [folder / name for name in names], batch_size, classes, embedded)
    print(results.describe(split, results.write(artifacts, record, clips, *outputs), table))


def _require_spectrograms(names: Sequence[str], artifacts: Artifacts) -> None:
    if not names:
        raise PipelineError(f"The split has no such clips. Run {STEP_4} on more clips, or give another --split.")
    missing = [str(path) for name in names if not (path := artifacts.spectrograms / name).is_file()]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise PipelineError(
            f"{len(missing)} of {len(names)} clips have no spectrogram: {', '.join(missing[:NAMED])}{more}. "
            f"Run {STEP_1} and the steps after it again."
        )


def _classify(
    model_file: Path, inputs: Sequence[Path], batch_size: int, classes: Sequence[str], embedded: bool
) -> "tuple[np.ndarray, np.ndarray]":
    """Compute probabilities (N, C) and features (N, 512) of clips from their spectrograms or embeddings."""
    from music_featurization.network import prediction

    model = checkpoints.load(model_file, classes)
    with command_line.progress(None, len(inputs), "clip") as bar:
        return prediction.predict(
            model, inputs, batch_size, progress=lambda done: bar.update(done - bar.n), embedded=embedded
        )
