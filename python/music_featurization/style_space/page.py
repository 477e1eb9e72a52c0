"""The style space as one HTML page that needs no network: the map, its clips, Plotly, and a player."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from music_featurization import templates
from music_featurization.artifacts import PipelineError
from music_featurization.evaluation.palette import genre_style
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
    """Write the page as HTML: clips as returned by `style_map.read`, with their map, shape (N, 2).

    `centres` are the rows of the clips nearest to the genres' centroids, `description` is a line for the head of the
    page, and the players name recordings relative to `folder`, where the page is stored.
    """
    labels = {genre: number for number, genre in enumerate(genres)}
    exists = set(filter(has_recording, clips["recording"]))
    data = {
        "genres": [
            {"name": genre, "colour": style.colour, "symbol": style.symbol, "centre": centres[genre]}
            for genre, style in zip(genres, map(genre_style, range(len(genres))), strict=True)
        ],
        "clips": {
            **{axis: [round(float(number), 3) for number in points[:, column]] for column, axis in enumerate("xy")},
            "genre": [labels[genre] for genre in clips["genre"]],
            **{name: [_text(value) for value in clips[name]] for name in ("name", "label", "artist", "predicted")},
            "src": [templates.relative_url(path, folder) if path in exists else "" for path in clips["recording"]],
            "missing": ["" if path in exists else _text(path) for path in clips["recording"]],
        },
    }
    content = {"title": "Style space", "description": description, "data": data, "plotly": _plotly()}
    return templates.render("style_space.html", **content)


def _text(value: str) -> str:
    return os.fsencode(value).decode("utf-8", "backslashreplace")


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise PipelineError(
            "The page needs plotly, which is not installed. Run: python3 -m pip install -r requirements.txt"
        ) from error
    return get_plotlyjs()
