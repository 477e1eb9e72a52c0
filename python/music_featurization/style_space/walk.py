"""A walk through the style space: from one genre or clip to another, past the clips between them."""

import os
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.artifacts import PipelineError
from music_featurization.dataset.clip_names import parse
from music_featurization.style_space import principal_path, search, style_map

if TYPE_CHECKING:
    import pandas

LONGEST_NAME = 100  # bytes of an end in the names of files, which can have 255


class Walk(NamedTuple):
    """The nearest clip (row) and its distance at each of W waypoints, both of shape (W,)."""

    rows: np.ndarray
    distances: np.ndarray

    @property
    def mean_distance(self) -> float:
        """The mean over the waypoints between the ends."""
        return float(self.distances[1:-1].mean())


def find_end(text: str, clips: "pandas.DataFrame", reduced: np.ndarray, genres: Sequence[str]) -> int:
    """Find the row of the clip that an end of the walk names.

    A genre is the clip nearest to its centroid, and a recording with several time steps the one nearest to theirs. A
    clip is given by its recording, its name, its id, or a part of its name that no other clip has. `reduced` are the
    principal components of the clips, shape (N, D).
    """
    fitting_genres = search.by_name(text, genres)
    if len(fitting_genres) == 1:
        genre = genres[fitting_genres[0]]
        return style_map.centroid_clips(clips, reduced, [genre])[genre]
    names = clips["name"].tolist()
    rows = search.by_recording(text, clips["recording"].tolist()) if os.path.isfile(text) else []
    rows = rows or search.by_text(text, names, has_ids=True)
    if len({(names[row], clips["recording"].iloc[row]) for row in rows}) == 1:  # a clip, or one track's time steps
        return rows[style_map.central(reduced[rows])]
    suggestion = search.suggestion(text, [*genres, *names])
    if rows:
        raise PipelineError(
            f"{text!r} fits {len(rows)} clips: {search.some(rows, names)}.{suggestion} Give more of a name, or an id."
        )
    raise PipelineError(
        f"There is no genre or clip {text!r}.{suggestion} Give one of the genres ({', '.join(genres)}), a recording, "
        "the id of a clip, or a part of its name."
    )


def walk(reduced: np.ndarray, start: int, end: int) -> tuple[Walk, Walk]:
    """Walk from one row to another along the principal path and along the straight line, with 52 waypoints each."""
    if (reduced[start] == reduced[end]).all():
        what = "are the same clip" if start == end else "have the same features"
        raise PipelineError(f"FROM and TO {what}: there is nothing between them. Give another genre or clip.")
    path = principal_path.find(reduced, start, end)
    line = principal_path.resample(reduced[[start, end]], len(path))
    return _nearest(path, reduced), _nearest(line, reduced)


def _nearest(waypoints: np.ndarray, reduced: np.ndarray) -> Walk:
    rows = principal_path.squared_distances(waypoints, reduced).argmin(axis=1)
    return Walk(rows, np.linalg.norm(waypoints - reduced[rows], axis=1))


def table(clips: "pandas.DataFrame", path: Walk, line: Walk) -> "pandas.DataFrame":
    """Return the walk as a table.

    It has the columns `waypoint` (from 0), `clip` (the nearest), `genre`, `distance`, and for the straight line
    `line_clip`, `line_genre`, `line_distance`.
    """
    import pandas

    columns: dict[str, Sequence] = {"waypoint": range(len(path.rows))}
    for prefix, walked in (("", path), ("line_", line)):
        nearest = clips.iloc[walked.rows]
        columns[f"{prefix}clip"] = nearest["name"].tolist()
        columns[f"{prefix}genre"] = nearest["genre"].tolist()
        columns[f"{prefix}distance"] = [f"{distance:.6g}" for distance in walked.distances]
    return pandas.DataFrame(columns)


def playlist(clips: "pandas.DataFrame", rows: Sequence[int], folder: Path) -> tuple[str, int, int]:
    """Return the clips of a walk as an extended M3U playlist with paths relative to its folder.

    A clip that occurs several times in succession is played once.

    Returns
    -------
    text : str
    played, missing : int
        Clips in it, and clips whose recording does not exist or whose name cannot be written in a playlist.
    """
    lines, missing = ["#EXTM3U"], 0
    for row, _ in groupby(rows):
        clip = clips.iloc[row]
        exists = style_map.has_recording(clip["recording"])
        path = os.path.relpath(clip["recording"], folder).replace(os.sep, "/") if exists else ""
        if not path or not _fits_a_line(path):
            missing += 1
            continue
        seconds = parse(path).seconds
        title = " ".join(clip["label"].replace(" · ", " - ").split())
        lines.append(f"#EXTINF:{-1 if seconds is None else seconds},{title}")
        lines.append(f"./{path}" if path.startswith("#") else path)
    return "\n".join(lines) + "\n", len(lines) // 2, missing


def _fits_a_line(path: str) -> bool:
    """Return whether a path is a single line of valid UTF-8."""
    return not {"\n", "\r"} & set(path) and path == path.encode(errors="ignore").decode()


def summary(clips: "pandas.DataFrame", path: Walk, line: Walk) -> str:
    """Compare the walks: clips, mean distance and genres of each, and the meaning of the distance."""
    lines = []
    for name, walked in (("principal path", path), ("straight line", line)):
        stages = [f"{genre} {len(list(group))}" for genre, group in groupby(clips["genre"].to_numpy()[walked.rows])]
        lines.append(
            f"{name + ':':<16}{len(set(walked.rows)):>3} different clips, mean distance {walked.mean_distance:.2f}; "
            f"genres by waypoint: {', '.join(stages)}"
        )
    lines.append(
        "mean distance: from a waypoint to its nearest clip, in the principal components of the features; the smaller, "
        "the closer the walk stays to the music"
    )
    if path.mean_distance >= line.mean_distance:
        lines.append("the principal path is no closer to the music than the straight line between these ends")
    return "\n".join(lines)


def file_name(start: str, end: str) -> str:
    """Return the stem of the walk's files: `walk_<from>_<to>`, with only letters, digits, `.`, `-` and `_`."""
    harmless = (re.sub(r"[^\w.-]+", "_", text) for text in (start, end))
    return "_".join(["walk", *(name.encode()[:LONGEST_NAME].decode(errors="ignore") for name in harmless)])
