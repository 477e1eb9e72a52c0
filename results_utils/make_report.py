"""Write the results as one page to read and to listen to.

    python3 make_report.py

Reads what 2-testing.py wrote, the split, the settings and models/history.pkl. Writes results/report.html: one file that
needs no network; only its players read the recordings under datasets/mp3_files. Always made anew: it takes seconds.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import command_line
import figures
import history
import html_report
import tested
from artifacts import REPOSITORY, Artifacts, write_text


def main(argv=None):
    args = command_line.parser(__doc__).parse_args(argv)
    where = Artifacts(args.root)
    results = tested.read(where)
    found = tested.measure(results)
    drawn = {"confusion": figures.confusion_matrix(found, results.classes), **curves(where)}
    pictures = {name: figures.render(figure, "svg") for name, figure in drawn.items() if figure}
    root = None if args.root == REPOSITORY else args.root
    path = where.results / "report.html"
    write_text(path, html_report.report(results, found, pictures, where, root))
    print(f"report: {path}")


def curves(where):
    """Figures of the training by name; none where nothing was trained, as with the provided network."""
    if not where.history.exists():
        return {}
    epochs = history.read(where.history)
    best = history.best_epoch(epochs)
    return {name: figures.curves(epochs, name, best) for name in figures.CURVES}


if __name__ == "__main__":
    command_line.run(main)
