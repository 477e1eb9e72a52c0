"""Write the results as one page to read and to listen to.

    python3 make_report.py

Reads what 2-testing.py, manage_prediction.py and plot_style_space.py wrote, the split, the spectrograms, the settings
and models/history.pkl. Writes results/report.html: one file that needs no network; only its players read the recordings
under datasets/mp3_files. It is written again in every run: it takes seconds.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import REPOSITORY, Artifacts, write_text
from music_featurization.evaluation import figures, measurement, report_page, results
from music_featurization.network import history
from music_featurization.style_space import picture


def main(argv: Sequence[str] | None = None) -> int:
    args = command_line.parser(__doc__).parse_args(argv)
    print(f"report: {make_report(root=args.root)}")
    return 0


def make_report(*, root: Path = REPOSITORY) -> Path:
    """Write results/report.html under the root and return its path."""
    artifacts = Artifacts(root)
    test_set, metrics = results.read(artifacts), measurement.read(artifacts)
    epochs = history.read(artifacts.history) if artifacts.history.exists() else {}
    best = history.best_epoch(epochs)
    draw_map, map_method = picture.drawing_of_test_set(artifacts)
    drawings = {
        "confusion": functools.partial(figures.confusion_matrix, metrics, test_set.classes),
        "map": draw_map,
        **{name: functools.partial(figures.curves, epochs, name, best) for name in figures.CURVES},
    }
    page = report_page.render(test_set, metrics, drawings, artifacts, None if root == REPOSITORY else root, map_method)
    write_text(artifacts.report_page, page)
    return artifacts.report_page


if __name__ == "__main__":
    command_line.run(main)
