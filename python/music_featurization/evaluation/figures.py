"""The pictures of the results: confusion matrix and training curves. The same input gives the same bytes."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.artifacts import PipelineError, replacing
from music_featurization.command_line import plural
from music_featurization.evaluation import palette
from music_featurization.evaluation.metrics import Metrics
from music_featurization.evaluation.palette import BALANCED, TRAINING, VALIDATION
from music_featurization.file_tree import in_a_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 30  # with more epochs, dots on a curve would hide it
FITS_A_CELL = 9  # characters of a genre's name that fit below a column without rotation
LONGEST_NAME = 24  # characters of a name in a picture
METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


class Line(NamedTuple):
    """Style of a curve."""

    key: str  # in the history
    label: str
    colour: str
    dashes: str = "-"


CURVES = {
    "loss": [Line("loss", "training", TRAINING), Line("val_loss", "validation", VALIDATION)],
    "accuracy": [
        Line("categorical_accuracy", "training", TRAINING),
        Line("val_categorical_accuracy", "validation", VALIDATION),
        Line("val_balanced_accuracy", "balanced validation", BALANCED, "--"),
    ],
}


def new_figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """Return an empty figure of that many inches, without a window, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def save(figure: "Figure", *paths: Path) -> None:
    """Write a figure as artifacts, PNG or SVG by the ending of each path."""
    for path in paths:
        if path.suffix not in (".svg", ".png"):
            raise PipelineError(f"{path} does not end in .svg or .png. Give a path that does.")
        with replacing(path) as temporary:
            temporary.write_bytes(render(figure, path.suffix[1:]))


def render(figure: "Figure", kind: str) -> bytes:
    """Return a figure as a file of kind "png" or "svg"."""
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context(palette.settings()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # no installed font has it: a box is drawn
        figure.savefig(content, format=kind, dpi=150, metadata=METADATA[kind])
    return content.getvalue()


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Cut a name with an ellipsis where it is too long for a picture; write what no font can draw as escapes."""
    name = in_a_line(name)
    return name if len(name) <= longest else name[: longest - 1] + "…"


def confusion_matrix(metrics: Metrics, classes: Sequence[str], theme: str = "light") -> "Figure":
    """Draw the confusion matrix with counts and percentages of each row."""
    import matplotlib

    counts = np.array(metrics["confusion"])
    support = counts.sum(axis=1)
    names = [short(name) for name in classes]
    longest = max(map(len, names))
    side, margin = 0.85 * len(classes), 0.09 * longest + 1.1
    with matplotlib.rc_context(palette.settings(theme, classes)):
        figure, axes = new_figure(max(side + margin, 5.6), side + margin + 0.3)
        shares = counts / np.maximum(support, 1)[:, None]
        axes.imshow(shares, cmap=palette.colour_map(theme), vmin=0, vmax=1)
        for row, column in np.ndindex(counts.shape):
            _write_cell(axes, column, row, int(counts[row, column]), int(support[row]), theme)
        axes.set_yticks(range(len(names)), [f"{name} ({n:,})" for name, n in zip(names, support, strict=True)])
        tilt: dict = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if longest > FITS_A_CELL else {}
        axes.set_xticks(range(len(names)), names, **tilt)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted genre", ylabel="true genre (clips)")
        axes.set_title(
            f"Accuracy {metrics['accuracy']:.3f}, balanced accuracy {metrics['balanced_accuracy']:.3f}\n"
            f"N = {metrics['clips']:,} test clips; % of each row",
            fontsize=12,
        )
    return figure


def _write_cell(axes: "Axes", x: int, y: int, count: int, support: int, theme: str) -> None:
    style: dict = {"ha": "center", "va": "center"}
    if count == 0:
        axes.text(x, y, "0" if support else "–", color=palette.THEMES[theme].muted, **style)
        return
    style["color"] = palette.readable_on(palette.colour_map(theme)(count / support))
    axes.text(x, y - 0.13, f"{count:,}", fontweight="bold", **style)
    axes.text(x, y + 0.22, f"{count / support:.1%}", fontsize=9, **style)


def curves(history: dict[str, list[float]], name: str, best: int | None, theme: str = "light") -> "Figure | None":
    """Draw the loss or the accuracy over the epochs, with the best epoch (from 1) marked; None if there is no value.

    `history` is as returned by `history.read`; `name` is one of `CURVES`.
    """
    import matplotlib

    lines = [(line, history[line.key]) for line in CURVES[name] if line.key in history]
    if not lines:
        return None
    epochs = max(len(values) for _, values in lines)
    with matplotlib.rc_context(palette.settings(theme)):
        figure, axes = new_figure(7.5, 4.6)
        for line, values in lines:
            _draw_curve(axes, line, values, best, marker="o" if epochs <= MOST_POINTS else None)
        if best:
            label = f"best epoch ({best})"
            axes.axvline(best, color=palette.THEMES[theme].muted, linestyle=":", linewidth=1.3, zorder=0, label=label)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.5, epochs + 0.5)
        axes.grid(axis="y", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set(xlabel="epoch", ylabel=name, title=_curves_title(lines, name, best, epochs))
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw_curve(axes: "Axes", line: Line, values: Sequence[float], best: int | None, marker: str | None) -> None:
    y = np.where(np.isfinite(values), values, np.nan)  # a loss that overflowed leaves a gap
    x = np.arange(1, len(y) + 1)
    axes.plot(x, y, line.dashes, color=line.colour, label=line.label, marker=marker, markersize=4, linewidth=1.8)
    if best and best <= len(y) and line.label != "training":
        ring: dict = {"mfc": axes.get_facecolor(), "mec": line.colour, "markersize": 9, "mew": 2, "zorder": 5}
        axes.plot(best, y[best - 1], "o", **ring)


def _curves_title(lines: Sequence[tuple[Line, Sequence[float]]], name: str, best: int | None, epochs: int) -> str:
    title = f"{name.capitalize()} of {plural(epochs, 'epoch')}"
    if not best:
        return title
    values = [
        f"{line.label} {values[best - 1]:.3f}"
        for line, values in lines
        if line.label != "training" and best <= len(values)
    ]
    return f"{title}; best: lowest validation loss\nbest epoch {best}{': ' if values else ''}{', '.join(values)}"
