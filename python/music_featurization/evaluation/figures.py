"""The pictures of the results: confusion matrix and training curves. The same input gives the same bytes."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.artifacts import PipelineError, replacing
from music_featurization.evaluation import palette
from music_featurization.evaluation.palette import BALANCED, TRAINING, VALIDATION

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

GREY = palette.THEMES["light"].muted
MOST_POINTS = 30  # with more epochs, dots on a curve would hide it
FITS_A_CELL = 9  # characters of a genre's name that stand level below a column
LONGEST_NAME = 24  # characters of a genre's name in a picture
METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


class Line(NamedTuple):
    """A curve: its key in the history, its label, colour and dashes."""

    key: str
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

STYLE = palette.settings()


def new_figure(width: float, height: float) -> "tuple[matplotlib.figure.Figure, matplotlib.axes.Axes]":
    """Return an empty figure of that many inches, without a window, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def save(figure: "matplotlib.figure.Figure", *paths: Path) -> None:
    """Write a figure as artifacts, PNG or SVG by the ending.

    Raises
    ------
    PipelineError
        If a path has another ending.
    """
    for path in paths:
        if path.suffix not in (".svg", ".png"):
            raise PipelineError(f"{path} does not end in .svg or .png. Give a path that does.")
        with replacing(path) as temporary:
            temporary.write_bytes(render(figure, path.suffix[1:]))


def render(figure: "matplotlib.figure.Figure", kind: str) -> bytes:
    """Return a figure as a file of kind "png" or "svg"."""
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # no installed font has it: a box is drawn
        figure.savefig(content, format=kind, dpi=150, metadata=METADATA[kind])
    return content.getvalue()


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Cut a name with an ellipsis where it is too long for a picture."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def confusion_matrix(found, classes):
    """Confusion matrix with counts and percentages of each row.

    Parameters
    ----------
    found : dict
        That of `metrics.evaluate`.
    classes : sequence of str, length C
        Genre of each label.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib

    counts = np.array(found["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [short(name) for name in classes]
    side = 0.85 * len(classes)
    margin = 0.09 * max(map(len, names)) + 1.1
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(max(side + margin, 5.6), side + margin + 0.3)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(counts.shape):
            _cell(axes, column, row, counts[row, column], shares[row, column], counts[row].sum())
        support = counts.sum(axis=1)
        axes.set_yticks(range(len(names)), [f"{name} ({n:,})" for name, n in zip(names, support, strict=True)])
        tilt = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > FITS_A_CELL else {}
        axes.set_xticks(range(len(names)), names, **tilt)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted genre", ylabel="true genre (clips)")
        axes.set_title(
            f"Accuracy {found['accuracy']:.3f}, balanced accuracy {found['balanced_accuracy']:.3f}\n"
            f"N = {found['clips']:,} test clips; % of each row",
            fontsize=12,
        )
    return figure


def _cell(axes, x, y, count, share, support):
    colour = "white" if share > 0.55 else "black"
    if support == 0:
        axes.text(x, y, "–", ha="center", va="center", color=GREY)
    elif count == 0:
        axes.text(x, y, "0", ha="center", va="center", color="#999999")
    else:
        axes.text(x, y - 0.13, f"{count:,}", ha="center", va="center", color=colour, fontweight="bold")
        axes.text(x, y + 0.22, f"{share:.1%}", ha="center", va="center", color=colour, fontsize=9)


def curves(history, name, best):
    """Loss or accuracy over the epochs, the best epoch marked.

    Parameters
    ----------
    history : dict of str to list of float
        That of `history.read`.
    name : {"loss", "accuracy"}
    best : int or None
        The epoch to mark, from 1.

    Returns
    -------
    matplotlib.figure.Figure or None
        None when the history has nothing to draw.
    """
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    lines = [(line, history[line.key]) for line in CURVES[name] if line.key in history]
    if not lines:
        return None
    epochs = max(len(values) for _, values in lines)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(7.5, 4.6)
        for line, values in lines:
            _curve(axes, line, values, marker="o" if epochs <= MOST_POINTS else None)
        if best:
            axes.axvline(best, color=GREY, linestyle=":", linewidth=1.3, zorder=0, label=f"best epoch ({best})")
            _ring(axes, lines, best)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.5, epochs + 0.5)
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set(xlabel="epoch", ylabel=name, title=_curves_title(history, name, best, epochs))
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def _curve(axes, line, values, marker):
    values = np.where(np.isfinite(values), values, np.nan)  # a loss that overflowed leaves a gap
    x = np.arange(1, len(values) + 1)
    axes.plot(x, values, line.dashes, color=line.colour, label=line.label, marker=marker, markersize=4, linewidth=1.8)


def _ring(axes, lines, best):
    for line, values in lines:
        if line.label != "training" and best <= len(values):
            axes.plot(best, values[best - 1], "o", mfc="white", mec=line.colour, markersize=9, mew=2, zorder=5)


def _curves_title(history, name, best, epochs):
    title = f"{name.capitalize()} of {epochs} epoch{'s' if epochs > 1 else ''}"
    if not best:
        return title
    title += "; best: lowest validation loss"
    shown = [
        f"{line.label} {history[line.key][best - 1]:.3f}"
        for line in CURVES[name]
        if line.label != "training" and best <= len(history.get(line.key, []))
    ]
    return "\n".join([title, f"best epoch {best}: {', '.join(shown)}".rstrip(": ")])
