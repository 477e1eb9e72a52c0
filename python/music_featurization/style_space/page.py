"""The style space as one HTML page that needs no network: the map, its clips, Plotly, and a player."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from music_featurization import templates
from music_featurization.artifacts import PipelineError
from music_featurization.evaluation import palette
from music_featurization.file_tree import printable
from music_featurization.style_space.style_map import has_recording

if TYPE_CHECKING:
    import pandas


def render(
    clips: "pandas.DataFrame",
    points: np.ndarray,
    genres: Sequence[str],
    centres: dict[str, int],
    description: str,
    folder: Path,
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    clips : pandas.DataFrame
        As returned by `style_map.read`.
    points : numpy.ndarray of float, shape (N, 2)
        Their map.
    genres : sequence of str
    centres : dict of str to int
        Row of the clip nearest to the centroid of each genre.
    description : str
        A line for the head of the page.
    folder : Path
        Where the page will be stored: the players name recordings relative to it.
    """
    labels = {genre: number for number, genre in enumerate(genres)}
    exists = set(filter(has_recording, clips["recording"]))
    data = {
        "genres": [
            {"name": genre, "colour": style.colour, "symbol": style.symbol, "centre": centres[genre]}
            for genre, style in zip(genres, map(palette.genre_style, range(len(genres))), strict=True)
        ],
        "clips": {
            "x": _rounded(points[:, 0]),
            "y": _rounded(points[:, 1]),
            "genre": [labels[genre] for genre in clips["genre"]],
            **{column: list(map(printable, clips[column])) for column in ("name", "label", "artist", "predicted")},
            "src": [templates.relative_url(path, folder) if path in exists else "" for path in clips["recording"]],
            "missing": ["" if path in exists else printable(path) for path in clips["recording"]],
        },
    }
    return templates.render(
        "style_space.html",
        title="Style space",
        themes=palette.THEMES,
        description=description,
        data=data,
        plotly=_plotly(),
    )


def _rounded(numbers: np.ndarray) -> list[float]:
    return [round(number, 3) for number in numbers.tolist()]


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise PipelineError(
            "The page needs plotly, which is not installed. Run: python3 -m pip install -r requirements.txt"
        ) from error
    return get_plotlyjs()
