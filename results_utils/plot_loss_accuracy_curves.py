"""Draw the loss and the accuracy of every epoch and tell which epoch is the best.

    python3 plot_loss_accuracy_curves.py

Reads models/history.pkl. Writes results/loss.svg and results/accuracy.svg, with the epoch of lowest validation loss
marked. Always made again: it takes a second.
"""

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import TRAINING, Artifacts, PipelineError
from music_featurization.evaluation import figures
from music_featurization.network import checkpoints, history

REQUIRED = ("loss", "val_loss", "categorical_accuracy", "val_categorical_accuracy")


def main(argv=None):
    args = command_line.parser(__doc__).parse_args(argv)
    where = Artifacts(args.root)
    epochs = history.read(where.history)
    missing = [key for key in REQUIRED if key not in epochs]
    if set(missing) == set(REQUIRED):
        raise PipelineError(
            f"{where.history} has none of {', '.join(REQUIRED)}. Run {TRAINING} --overwrite to train again."
        )
    if missing:
        print(f"{where.history} has no {', '.join(missing)}: drawn without")
    best = history.best_epoch(epochs)
    for name in figures.CURVES:
        draw(epochs, name, best, where.curve(name))
    print(describe(epochs, best, where.models))


def draw(epochs, name, best, path):
    """Write one picture; where there is nothing to draw, an older picture goes, because it shows another history."""
    figure = figures.curves(epochs, name, best)
    if figure is None:
        path.unlink(missing_ok=True)
        return
    figures.save(figure, path)
    print(path)


def describe(epochs, best, models):
    """One line that names the best epoch and its checkpoint."""
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
    checkpoint = checkpoints.of_epoch(models, epochs, best) or "its checkpoint is not there"
    return f"best epoch: {best} of {len(epochs['val_loss'])} ({', '.join(values)}): {checkpoint}"


if __name__ == "__main__":
    command_line.run(main)
