"""Measure the predictions of the test set and write the report.

    python3 manage_prediction.py

Reads what 2-testing.py wrote. Prints and writes results/res.txt, and writes conf_matr.png, conf_matr.svg and
metrics.json. They are written again in every run, so that the report is never older than the predictions.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import REPOSITORY, Artifacts, write_text
from music_featurization.evaluation import figures, measurement, report, results


def main(argv: Sequence[str] | None = None) -> int:
    args = command_line.parser(__doc__).parse_args(argv)
    measure_predictions(root=args.root)
    return 0


def measure_predictions(*, root: Path = REPOSITORY) -> None:
    """Measure the predictions under the root and write the report, the metrics and the confusion matrix."""
    artifacts = Artifacts(root)
    test_set = results.read(artifacts)
    metrics = measurement.measure(test_set)
    text = report.text(metrics, test_set.classes)
    write_text(artifacts.report, text)
    measurement.write(artifacts, test_set, metrics)
    picture = figures.confusion_matrix(metrics, test_set.classes)
    figures.save(picture, artifacts.confusion_matrix, artifacts.confusion_matrix_svg)
    print(f"{text}\nreport: {artifacts.report}\npicture: {artifacts.confusion_matrix}")


if __name__ == "__main__":
    command_line.run(main)
