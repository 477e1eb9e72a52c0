"""A walk through the style space: from one genre or clip to another, past the clips on the way."""

import os
import re
from itertools import groupby

import numpy as np

from music_featurization.artifacts import PipelineError
from music_featurization.style_space import principal_path, search, style_map

LONGEST_NAME = 60  # of an end, in the names of files


def find_end(text, clips, reduced, genres):
    """The clip that an end of the walk stands for.

    Parameters
    ----------
    text : str
        A genre, which stands for the clip nearest to its centroid, so that the walk begins with music; or a clip: its
        recording, its name, its id, or a part of its name that no other clip has.
    clips : pandas.DataFrame
        Those of `style_space.read`.
    reduced : numpy.ndarray, shape (N, D)
        Their principal components.
    genres : sequence of str
        The genres that occur.

    Returns
    -------
    int
        Row of the clip.

    Raises
    ------
    PipelineError
        If there is no such genre or clip, or several clips; it names some.
    """
    genre = next((genre for genre in genres if search.composed(genre) == search.composed(text)), None)
    if genre is not None:
        return style_map.nearest_to_centroid(reduced, np.flatnonzero(clips["genre"] == genre))
    names = clips["name"].tolist()
    rows = search.by_recording(text, clips["recording"]) if os.path.isfile(text) else []
    rows = rows or search.by_text(text, names, has_ids=True)
    if len(rows) == 1:
        return rows[0]
    perhaps = search.suggestion(text, [*genres, *names])
    if rows:
        raise PipelineError(f"{text!r} fits {len(rows)} clips: {search.some(rows, names)}.{perhaps}")
    raise PipelineError(f"There is no genre or clip {text!r}.{perhaps} The genres are {', '.join(genres)}.")


def nearest_clips(path, reduced):
    """The clip nearest to each waypoint.

    Parameters
    ----------
    path : numpy.ndarray, shape (W, D)
    reduced : numpy.ndarray, shape (N, D)

    Returns
    -------
    rows : numpy.ndarray of int, shape (W,)
    distances : numpy.ndarray of float, shape (W,)
    """
    squared = principal_path.squared_distances(path, reduced)
    rows = squared.argmin(axis=1)
    return rows, np.linalg.norm(path - reduced[rows], axis=1)


def walk(reduced, start, end):
    """The walk along the principal path, and the one on the straight line.

    Parameters
    ----------
    reduced : numpy.ndarray, shape (N, D)
    start, end : int
        Rows.

    Returns
    -------
    path, line : tuple
        What `nearest_clips` gives for 52 waypoints each.

    Raises
    ------
    PipelineError
        If the ends are the same clip, or equal.
    """
    if start == end:
        raise PipelineError("FROM and TO are the same clip: there is no way to go. Give another genre or clip.")
    if (reduced[start] == reduced[end]).all():
        raise PipelineError("FROM and TO have the same features: there is no way to go. Give another genre or clip.")
    path = principal_path.find(reduced, start, end)
    line = principal_path.resample(reduced[[start, end]], len(path))
    return nearest_clips(path, reduced), nearest_clips(line, reduced)


def table(clips, path, line):
    """The walk as a table.

    Parameters
    ----------
    clips : pandas.DataFrame
    path, line : tuple
        Those of `walk`.

    Returns
    -------
    pandas.DataFrame
        `waypoint` (from 0), `clip` (the nearest), `genre`, `distance`; the same of the straight line as `line_clip`,
        `line_genre`, `line_distance`.
    """
    import pandas

    columns = {"waypoint": range(len(path[0]))}
    for prefix, (rows, distances) in (("", path), ("line_", line)):
        columns[f"{prefix}clip"] = clips["name"].to_numpy()[rows]
        columns[f"{prefix}genre"] = clips["genre"].to_numpy()[rows]
        columns[f"{prefix}distance"] = [f"{distance:.6g}" for distance in distances]
    return pandas.DataFrame(columns)


def playlist(clips, rows, folder):
    """The clips of a walk as an extended M3U playlist.

    Parameters
    ----------
    clips : pandas.DataFrame
    rows : sequence of int
        In the order of the walk; a clip that comes several times running is played once.
    folder : Path
        Where the playlist will be: its paths are relative to it.

    Returns
    -------
    text : str
    played, missing : int
        Clips in it, and clips whose recording is not there or whose name no playlist can hold.
    """
    lines, played, missing = ["#EXTM3U"], 0, 0
    for row, _ in groupby(rows):
        clip = clips.iloc[row]
        path = os.path.relpath(clip["recording"], folder).replace(os.sep, "/") if clip["recording"] else ""
        if not path or "\n" in path or "\r" in path or not _is_text(path):
            missing += 1
            continue
        played += 1
        lines.append(f"#EXTINF:{_length(clip['seconds'])},{_line(clip['artist'])} - {_line(clip['song'])}")
        lines.append(f"./{path}" if path.startswith("#") else path)
    return "\n".join(lines) + "\n", played, missing


def _length(seconds):
    """Length of an excerpt "59-88"; -1, not known, of anything else."""
    excerpt = re.fullmatch(r"(\d+)-(\d+)", seconds)
    return int(excerpt[2]) - int(excerpt[1]) if excerpt else -1


def _line(text):
    return " ".join(text.split())


def _is_text(path):
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def summary(clips, rows, distances):
    """One line: how many clips, how near, and through which genres."""
    stages = [f"{genre} {len(list(of))}" for genre, of in groupby(clips["genre"].to_numpy()[rows])]
    inner = distances[1:-1].mean()
    return f"{len(set(rows))} clips, mean distance {inner:.3g}; genres by waypoint: {', '.join(stages)}"


def file_name(start, end):
    """Stem of the walk's files: `walk_<from>_<to>`, with only letters, digits, `.`, `-` and `_`."""
    names = [re.sub(r"[^\w.-]+", "_", text)[:LONGEST_NAME] for text in (start, end)]
    return f"walk_{names[0]}_{names[1]}"
