"""The style space as one HTML page that needs no network: the map, its clips, Plotly, and what a click does."""

import json
import os
import re
from pathlib import Path
from urllib.parse import quote

from music_featurization.artifacts import PipelineError
from music_featurization.style_space.picture import style

TEMPLATE = Path(__file__).with_name("page.html")


def page(clips, points, genres, centres, about, folder):
    """The page.

    Parameters
    ----------
    clips : pandas.DataFrame
        Those of `style_space.read`.
    points : numpy.ndarray, shape (N, 2)
        The map.
    genres : sequence of str
        In the order in which they are listed.
    centres : dict of str to int
        Row of the clip nearest to each genre's centroid.
    about : str
        A line for the head of the page.
    folder : Path
        Where the page will be: its players name recordings relative to it.

    Returns
    -------
    str

    Raises
    ------
    PipelineError
        If Plotly is not installed.
    """
    label = {genre: number for number, genre in enumerate(genres)}
    data = {
        "about": about,
        "genres": [
            {"name": genre, "colour": style(number).colour, "symbol": style(number).symbol, "centre": centres[genre]}
            for number, genre in enumerate(genres)
        ],
        "clips": {
            "x": _rounded(points[:, 0]),
            "y": _rounded(points[:, 1]),
            "genre": [label[genre] for genre in clips["genre"]],
            **{name: [_text(value) for value in clips[name]] for name in ("artist", "song", "seconds", "predicted")},
            "src": [url(recording, folder) if recording else "" for recording in clips["recording"]],
            "where": [
                "" if recording else _text(where)
                for recording, where in zip(clips["recording"], clips["where"], strict=True)
            ],
        },
    }
    parts = {"PLOTLY": _plotly(), "DATA": in_script(data)}
    # In one pass: a name may contain what looks like a place to fill.
    return re.sub(r"%%(\w+)%%", lambda place: parts[place[1]], TEMPLATE.read_text(encoding="utf-8"))


def in_script(content):
    """JSON that can stand in a <script> element, whatever the texts in it: `</script>` and `<!--` would end it."""
    return json.dumps(content, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def url(path, folder):
    """URL of a file relative to a folder; any byte that a name can hold is quoted."""
    return quote(os.fsencode(os.path.relpath(path, folder)).replace(os.sep.encode(), b"/"))


def _text(value):
    return os.fsencode(value).decode("utf-8", "backslashreplace")


def _rounded(numbers):
    return [round(float(number), 3) for number in numbers]


def _plotly():
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise PipelineError(
            "The page needs plotly, which is not installed. Run: python3 -m pip install -r requirements.txt"
        ) from error
    return get_plotlyjs()
