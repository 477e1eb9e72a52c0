"""Draw the loss and the accuracy of every epoch and print the best epoch.

    python3 plot_loss_accuracy_curves.py

Reads models/history.pkl. Writes results/loss.svg and results/accuracy.svg, with the epoch of lowest validation loss
marked. They are drawn again in every run: it takes a second.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import REPOSITORY, TRAINING, Artifacts, PipelineError
from music_featurization.evaluation import figures
from music_featurization.network import checkpoints, history

REQUIRED = ("loss", "val_loss", "categorical_accuracy", "val_categorical_accuracy")


def main(argv: Sequence[str] | None = None) -> int:
    plot_curves(root=command_line.parser(__doc__).parse_args(argv).root)
    return 0


def plot_curves(*, root: Path = REPOSITORY) -> None:
    """Draw the curves of the training and print the best epoch."""
    artifacts = Artifacts(root)
    epochs = history.read(artifacts.history)
    missing = [key for key in REQUIRED if key not in epochs]
    if len(missing) == len(REQUIRED):
        raise PipelineError(
            f"{artifacts.history} has none of {', '.join(REQUIRED)}. Run {TRAINING} --overwrite to train again."
        )
    if missing:
        print(f"{artifacts.history} has no {', '.join(missing)}: drawn without")
    best = history.best_epoch(epochs)
    for name in figures.CURVES:
        path, figure = artifacts.curve(name), figures.curves(epochs, name, best)
        if figure is None:  # an older picture would show another history
            path.unlink(missing_ok=True)
        else:
            figures.save(figure, path)
            print(path)
    print(describe(epochs, best, artifacts.models))


def describe(epochs: dict[str, list[float]], best: int | None, models: Path) -> str:
    """Name the best epoch and its checkpoint in one line."""
    if best is None:
        return "best epoch: unknown, the history has no validation loss"
    values = [
        f"{what} {epochs[key][best - 1]:.4f}"
        for key, what in (
            ("val_loss", "validation loss"),
            ("val_categorical_accuracy", "accuracy"),
            ("val_balanced_accuracy", "balanced accuracy"),
        )
        if best <= len(epochs.get(key, []))
    ]
    checkpoint = checkpoints.of_epoch(models, epochs, best) or "its checkpoint is missing"
    return f"best epoch: {best} of {len(epochs['val_loss'])} ({', '.join(values)}): {checkpoint}"


if __name__ == "__main__":
    command_line.run(main)
