"""The metrics of the test set, and the file metrics.json that contains them."""

import json
from typing import cast

from music_featurization.artifacts import PREDICTION, Artifacts, PipelineError, fingerprint, read_json, write_json
from music_featurization.dataset import magnatagatune, split
from music_featurization.evaluation import metrics, results
from music_featurization.evaluation.metrics import Measurement
from music_featurization.evaluation.results import TestSetResults


def measure(test_set: TestSetResults) -> Measurement:
    """Compute all metrics of the test set."""
    spectrograms, trained = test_set.clips["spectrogram"], test_set.trained
    predictions = test_set.predictions
    leakage = None if trained is None else metrics.evaluate_leakage(predictions, spectrograms.tolist(), trained)
    front_end = (test_set.record.get("network") or {}).get("front_end")
    is_pretrained = isinstance(front_end, dict) and front_end.get("pretrained", False)
    # Without a split the clips are known by name only, not by folder.
    heard = None if trained is None else spectrograms.map(magnatagatune.was_heard).to_numpy(dtype=bool)
    return {
        **metrics.evaluate(predictions),
        "leakage": leakage,
        "trained_on_this_split": test_set.trained_on_this_split,
        "front_end": metrics.evaluate_unheard(predictions, heard) if is_pretrained else None,
    }


def write(artifacts: Artifacts, test_set: TestSetResults, measured: Measurement) -> None:
    """Write metrics.json: what `measure` returned, the classes, and fingerprints of the sources and of this file."""
    content = {**measured, "classes": list(test_set.classes), "made_from": _sources(artifacts)}
    write_json(artifacts.metrics, {**content, "checksum": _checksum(content)})


def read(artifacts: Artifacts) -> Measurement:
    """Read what `measure` returned from metrics.json, unless it was changed or made from other results."""
    measured = read_json(artifacts.metrics, PREDICTION)
    if measured.pop("checksum", None) != _checksum(measured):  # simpler than to check a hundred numbers
        raise PipelineError(f"{artifacts.metrics} was changed after it was written. Run {PREDICTION} again.")
    if measured.get("made_from") != _sources(artifacts):
        raise PipelineError(
            f"{artifacts.metrics} does not match {artifacts.prediction.name} and the split. Run {PREDICTION} again."
        )
    return cast(Measurement, measured)  # its checksum is right


def _checksum(content: dict) -> str:
    return fingerprint(text=json.dumps(content, sort_keys=True))


def _sources(artifacts: Artifacts) -> str:
    sources = [*results.files(artifacts), *map(artifacts.split, split.PARTS)]
    return fingerprint(*(path for path in sources if path.exists() and path.suffix != ".npz"))
