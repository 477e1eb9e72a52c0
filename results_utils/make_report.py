"""Write the results as one page to read and to listen to.

    python3 make_report.py

Reads what 2-testing.py and manage_prediction.py wrote, the split, the settings and models/history.pkl. Writes
results/report.html: one file that needs no network; only its players read the recordings under datasets/mp3_files. It
is made again in every run: it takes seconds.
"""

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import REPOSITORY, Artifacts, write_text
from music_featurization.evaluation import figures, report_page, test_results
from music_featurization.network import history


def main(argv=None):
    args = command_line.parser(__doc__).parse_args(argv)
    where = Artifacts(args.root)
    results = test_results.read(where)
    found = test_results.read_metrics(where)
    drawn = {"confusion": figures.confusion_matrix(found, results.classes), **curves(where)}
    pictures = {name: figures.render(figure, "svg") for name, figure in drawn.items() if figure}
    root = None if args.root == REPOSITORY else args.root
    path = where.report_page
    write_text(path, report_page.whole_page(results, found, pictures, where, root))
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
