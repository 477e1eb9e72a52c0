"""Pictures of the style space: its map, and a walk on it."""

from typing import NamedTuple

from music_featurization.evaluation import figures


class Style(NamedTuple):
    """How a genre is drawn: a colour, and matplotlib's and Plotly's names of a marker."""

    colour: str
    marker: str
    symbol: str


# Okabe and Ito's colours, told apart by all kinds of colour vision; with more genres than colours the markers change.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
MARKERS = (("o", "circle"), ("s", "square"), ("^", "triangle-up"), ("D", "diamond"), ("P", "cross"), ("X", "x"))
LABEL = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
SHOWN_NAMES = 24  # genres in a legend; with more it would not fit beside the map


def style(number):
    """Style of the genre of this number, from 0."""
    marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
    return Style(COLOURS[number % len(COLOURS)], *marker)


def draw_map(clips, points, genres, centres, title):
    """The map: a point for each clip, a star at the clip nearest to the genre's centroid.

    Parameters
    ----------
    clips : pandas.DataFrame
        With a column `genre`.
    points : numpy.ndarray, shape (N, 2)
    genres : sequence of str
    centres : dict of str to int
        Row of the clip nearest to each genre's centroid.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(9, 6.6), layout="constrained")
        axes = figure.add_subplot()
        _bare(axes)
        _points(axes, clips, points, genres, size=22 if len(clips) < 2000 else 9, alpha=0.75)
        _stars(axes, points, genres, centres)
        axes.set_title(title, fontsize=12)
        figure.legend(loc="outside right upper", frameon=False, markerscale=1.6, title="genre (★ centre)")
    return figure


def _bare(axes):
    """No ticks, for the numbers of a t-SNE map mean nothing; but both directions at one scale."""
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_visible(False)


def _points(axes, clips, points, genres, size, alpha):
    for number, genre in enumerate(genres):
        of = points[(clips["genre"] == genre).to_numpy()]
        drawn = style(number)
        label = f"{figures.short(genre)} ({len(of):,})" if number < SHOWN_NAMES else None
        axes.scatter(*of.T, s=size, c=drawn.colour, marker=drawn.marker, alpha=alpha, linewidths=0, label=label)


def _stars(axes, points, genres, centres):
    for number, genre in enumerate(genres):
        x, y = points[centres[genre]]
        axes.plot(x, y, "*", color=style(number).colour, markeredgecolor="black", markersize=17)


def draw_walk(clips, points, genres, rows, straight, title):
    """A walk on the map, above a strip of the genres that it passes.

    Parameters
    ----------
    clips, points, genres
        As for `draw_map`.
    rows, straight : sequence of int, length W
        Nearest clip of each waypoint: of the principal path, and of the straight line for comparison.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        A waypoint is drawn where its nearest clip is: the map has no place for what is between clips.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(9, 7.4), layout="constrained")
        above, strip = figure.subplots(2, 1, height_ratios=(8, 1))
        _bare(above)
        _points(above, clips, points, genres, size=14 if len(clips) < 2000 else 7, alpha=0.35)
        above.plot(*points[straight].T, "--", color=figures.GREY, linewidth=1.2, label="straight line", zorder=3)
        above.plot(*points[rows].T, "-", color="black", linewidth=1.6, label="principal path", zorder=4)
        number = {genre: index for index, genre in enumerate(genres)}
        colours = [style(number[clips["genre"].iloc[row]]).colour for row in rows]
        above.scatter(*points[rows].T, c=colours, s=46, edgecolors="black", linewidths=0.9, zorder=5)
        for row, text in ((rows[0], "from"), (rows[-1], "to")):
            above.annotate(text, points[row], (0, 11), textcoords="offset points", ha="center", zorder=6, bbox=LABEL)
        above.set_title(title, fontsize=12)
        _strip(strip, clips, number, {"principal path": rows, "straight line": straight})
        legend = figure.legend(loc="outside right upper", frameon=False, markerscale=1.6, title="genre")
        for handle in legend.legend_handles:
            handle.set_alpha(1)
    return figure


def _strip(axes, clips, number, walks):
    """One row per walk: the genre of the nearest clip at each waypoint."""
    for height, rows in enumerate(walks.values()):
        colours = [style(number[clips["genre"].iloc[row]]).colour for row in rows]
        axes.bar(range(len(rows)), 0.8, 1, bottom=height, color=colours)
    axes.set_yticks([0.4, 1.4], list(walks))
    axes.set(xlabel="waypoint", xlim=(-0.5, len(rows) - 0.5))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
