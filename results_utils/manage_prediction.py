"""Measure the predictions of the test set and write the report.

    python3 manage_prediction.py

Reads what 2-testing.py wrote. Prints and writes results/res.txt, and writes conf_matr.png, conf_matr.svg and
metrics.json. It takes seconds and is always made again, so that the report is never older than the predictions.
"""

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts, write_text
from music_featurization.evaluation import figures, report, test_results


def main(argv=None):
    args = command_line.parser(__doc__).parse_args(argv)
    where = Artifacts(args.root)
    results = test_results.read(where)
    found = test_results.measure(results)
    text = report.text(found, results.classes)
    write_text(where.report, text)
    test_results.write_metrics(where, results, found)
    picture = figures.confusion_matrix(found, results.classes)
    figures.save(picture, where.confusion_matrix, where.confusion_matrix_svg)
    print(text)
    print(f"report: {where.report}\npicture: {where.confusion_matrix}")


if __name__ == "__main__":
    command_line.run(main)
