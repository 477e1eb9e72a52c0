"""Pictures of the style space: its map, and a walk on it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from music_featurization.artifacts import Artifacts
from music_featurization.evaluation import figures, palette, results
from music_featurization.style_space import style_map
from music_featurization.style_space.walk import Walk

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_NAMES = 24  # genres in a legend; more do not fit beside the map
MOST_VECTORS = 2000  # clips; the dots of more are stored as an image, which browsers draw at once


def draw_map(
    clips: "pandas.DataFrame",
    points: np.ndarray,
    genres: Sequence[str],
    centres: dict[str, int],
    title: str,
    theme: str = "light",
) -> "Figure":
    """Draw the map, shape (N, 2): a point for each clip, and a star at the clip nearest to each genre's centroid."""
    import matplotlib

    with matplotlib.rc_context(palette.settings(theme, [*genres, title, "★"])):
        figure, axes = figures.new_figure(9, 6.6)
        handles = _draw_points(axes, clips, points, genres, alpha=0.75)
        for number, genre in enumerate(genres):
            colour = palette.genre_style(number).colour
            edge = palette.THEMES[theme].text
            axes.plot(*points[centres[genre]], "*", color=colour, markeredgecolor=edge, markersize=17)
        axes.set_title(title, fontsize=12)
        _draw_legend(figure, handles, "genre (★ centre)")
    return figure


def _draw_points(
    axes: "Axes", clips: "pandas.DataFrame", points: np.ndarray, genres: Sequence[str], alpha: float
) -> dict:
    """Draw the clips and return handles of the legend by text."""
    axes.set(xticks=[], yticks=[])  # the numbers of a t-SNE map have no meaning, but its distances have one scale
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_visible(False)
    size = np.clip(12000 / len(clips), 4, 60)  # square points
    handles = {}
    for number, genre in enumerate(genres):
        members, style = points[(clips["genre"] == genre).to_numpy()], palette.genre_style(number)
        dots = axes.scatter(
            members[:, 0], members[:, 1], s=size, c=style.colour, marker=style.marker, alpha=alpha, linewidths=0,
            rasterized=len(clips) > MOST_VECTORS,
        )  # fmt: skip
        if number < SHOWN_NAMES:
            handles[f"{figures.short(genre)} ({len(members):,})"] = dots
    return handles


def _draw_legend(figure: "Figure", handles: dict, title: str) -> None:
    # Given as arguments: matplotlib leaves out labels of artists that begin with "_".
    legend = figure.legend(handles.values(), handles, loc="outside right upper", frameon=False, title=title)
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1)
        if hasattr(handle, "set_sizes"):
            handle.set_sizes([60])


def drawing_of_test_set(artifacts: Artifacts) -> "tuple[Callable[[str], Figure | None], str | None]":
    """Return a function from a theme to the map of the test set, and the method by which the map was made.

    If it has not been made, the function returns None, and the method is None.
    """
    path = style_map.files(artifacts).map
    if not path.exists():
        return lambda theme: None, None
    clips, features = style_map.read(artifacts)
    method, points = style_map.method_of_map(path, features), style_map.read_map(path, features)
    if points is None:
        return lambda theme: None, None
    genres = style_map.genres_of(clips, results.classes_of(artifacts))
    centres = style_map.centroid_clips(clips, style_map.pca(features), genres)
    return lambda theme: draw_map(clips, points, genres, centres, f"{len(clips):,} test clips", theme), method


def draw_walk(
    clips: "pandas.DataFrame", points: np.ndarray, genres: Sequence[str], path: Walk, line: Walk, title: str
) -> "Figure":
    """Draw a walk on the map, the distances to the nearest clips, and the genres that it passes.

    The walk is along the principal path and along the straight line, for comparison. A waypoint is drawn at its nearest
    clip, because the map has no place for points between clips.
    """
    import matplotlib
    from matplotlib.figure import Figure

    theme = palette.THEMES["light"]
    with matplotlib.rc_context(palette.settings("light", [*genres, title])):
        figure = Figure(figsize=(9, 8.6), layout="constrained")
        above, distances, strip = figure.subplots(3, 1, height_ratios=(8, 2, 1))
        handles = _draw_points(above, clips, points, genres, alpha=0.35)
        handles["straight line"] = above.plot(*points[line.rows].T, "--", color=theme.muted, linewidth=1.2)[0]
        handles["principal path"] = above.plot(*points[path.rows].T, "-", color=theme.text, linewidth=1.6)[0]
        for row, marker, text in ((path.rows[0], ">", "start"), (path.rows[-1], "s", "end")):
            ends: dict = {"s": 150, "facecolors": "none", "edgecolors": theme.text, "linewidths": 2, "zorder": 6}
            handles[text] = above.scatter(*points[row], marker=marker, **ends)
        above.set_title(title, fontsize=12)
        _draw_distances(distances, path, line)
        _draw_strip(strip, clips, genres, {"principal path": path.rows, "straight line": line.rows})
        _draw_legend(figure, handles, "genre")
    return figure


def _draw_distances(axes: "Axes", path: Walk, line: Walk) -> None:
    """Draw the distance of each waypoint to its nearest clip, of both walks on one scale."""
    theme = palette.THEMES["light"]
    axes.plot(line.distances, "--", color=theme.muted, linewidth=1.2)
    axes.plot(path.distances, "-", color=theme.text, linewidth=1.6)
    axes.set(ylabel="distance to\nnearest clip", xlim=(-0.5, len(path.rows) - 0.5), ylim=(0, None), xticks=[])


def _draw_strip(axes: "Axes", clips: "pandas.DataFrame", genres: Sequence[str], walks: dict[str, np.ndarray]) -> None:
    """Draw one row per walk: the genre of the nearest clip at each waypoint."""
    number = {genre: index for index, genre in enumerate(genres)}
    for height, rows in enumerate(walks.values()):
        colours = [palette.genre_style(number[clips["genre"].iloc[row]]).colour for row in rows]
        axes.bar(range(len(rows)), 0.8, 1, bottom=height, color=colours, edgecolor=colours)
    axes.set_yticks([0.4, 1.4], list(walks))
    axes.set(xlabel="waypoint", xlim=(-0.5, len(rows) - 0.5))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
