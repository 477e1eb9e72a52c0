"""Measure the predictions of the test set and write the report.

    python3 manage_prediction.py

Reads what 2-testing.py wrote. Prints and writes results/res.txt, and writes conf_matr.png, conf_matr.svg and
metrics.json. It takes seconds and is always made anew, so that the report is never older than the predictions.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import command_line
import figures
import report
import tested
from artifacts import Artifacts, write_json, write_text


def main(argv=None):
    args = command_line.parser(__doc__).parse_args(argv)
    where = Artifacts(args.root)
    results = tested.read(where)
    found = tested.measure(results)
    text = report.text(found, results.classes)
    write_text(where.report, text)
    write_json(where.metrics, {"classes": list(results.classes), **found})
    picture = figures.confusion_matrix(found, results.classes)
    figures.save(picture, where.confusion_matrix, where.confusion_matrix.with_suffix(".svg"))
    print(text)
    print(f"report: {where.report}\npicture: {where.confusion_matrix}")


if __name__ == "__main__":
    command_line.run(main)
