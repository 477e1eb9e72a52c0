"""The taggram: the probability of tags over the time of a recording."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from music_featurization.dataset.clip_names import clock
from music_featurization.evaluation import figures, palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAGS = 12  # tags shown
WINDOW = 3.0  # seconds that a single window lasts
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)  # seconds between the marks of the time axis


def draw(
    probabilities: np.ndarray,
    tag_names: Sequence[str],
    starts_seconds: Sequence[float],
    *,
    theme: str = "light",
    title: str = "",
) -> "Figure":
    """Draw the 12 tags of highest mean probability over the time of a recording, the highest at the top.

    Parameters
    ----------
    probabilities : numpy.ndarray of float, shape (tags, windows)
        Between 0 and 1.
    tag_names : sequence of str, length tags
    starts_seconds : sequence of float, length windows
        Where each window starts in the recording, ascending.
    theme : {"light", "dark"}
    title : str
        For example the name of the recording.
    """
    import matplotlib

    probabilities, starts = np.asarray(probabilities), np.asarray(starts_seconds, float)
    means = probabilities.mean(axis=1)
    rows = np.argsort(-means, kind="stable")[:TAGS]
    names = [figures.short(tag_names[row]) for row in rows]
    edges = np.append(starts, starts[-1] + (np.median(np.diff(starts)) if len(starts) > 1 else WINDOW))
    tenths = max(1, int(np.ceil(10 * probabilities[rows].max())))  # the scale ends at the next tenth
    with matplotlib.rc_context(palette.settings(theme, [*names, title])):
        figure, axes = figures.new_figure(8, 1.5 + 0.27 * len(rows))
        image = axes.pcolormesh(
            edges, np.arange(len(rows) + 1), probabilities[rows], cmap=palette.colour_map(theme), vmin=0,
            vmax=tenths / 10, rasterized=True,
        )  # fmt: skip
        labels = [f"{name}  {means[row]:.2f}" for name, row in zip(names, rows, strict=True)]
        axes.set_yticks(np.arange(len(rows)) + 0.5, labels)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="time (min:s)", ylabel="tag and its mean probability", title=figures.short(title, 70))
        step = next((step for step in STEPS if step >= (edges[-1] - edges[0]) / 8), STEPS[-1])
        axes.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(step))
        axes.xaxis.set_major_formatter(lambda seconds, _: clock(seconds))
        ticks = np.arange(tenths + 1) / 10
        bar = figure.colorbar(image, ax=axes, pad=0.01, label="probability of the tag", ticks=ticks)
        bar.outline.set_visible(False)
    return figure
