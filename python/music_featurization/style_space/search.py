"""Finding clips and tracks by what a person types: Unicode forms do not matter, nor do upper and lower case."""

import difflib
from collections.abc import Sequence

from music_featurization.dataset.clip_names import composed
from music_featurization.feature_tables import tracks
from music_featurization.file_tree import in_a_line

SUGGESTED = 5  # names that a message lists


def _folded(text: str) -> str:
    return composed(composed(text).casefold())


def by_text(text: str, names: Sequence[str], *, has_ids: bool = False) -> list[int]:
    """Find the rows that a text fits best.

    Parameters
    ----------
    text : str
    names : sequence of str
        One per row.
    has_ids : bool
        Whether names are `<id>_<name>`, so that the text may be an id.

    Returns
    -------
    list of int
        Rows of that very name; if there is none, of that name in another form or case, of that id, or with the text as
        a part of the name, whichever there is first.
    """
    if rows := [row for row, name in enumerate(names) if name == text]:
        return rows
    wanted, folded = _folded(text), [_folded(name) for name in names]
    if rows := [row for row, name in enumerate(folded) if name == wanted]:
        return rows
    if has_ids and (rows := [row for row, name in enumerate(folded) if name.startswith(f"{wanted}_")]):
        return rows
    return [row for row, name in enumerate(folded) if wanted in name]


def by_recording(path: str, recordings: Sequence[str]) -> list[int]:
    """Rows of a recording, whichever way its path is written; `recordings` are the absolute paths of all rows."""
    wanted = tracks.identity(path)
    same = {recording: tracks.identity(recording) == wanted for recording in dict.fromkeys(recordings)}
    return [row for row, recording in enumerate(recordings) if same[recording]]


def some(rows: Sequence[int], names: Sequence[str]) -> str:
    """The first names of some rows, for a message."""
    return "; ".join(in_a_line(names[row]) for row in rows[:SUGGESTED]) + ("; ..." if len(rows) > SUGGESTED else "")


def suggestion(text: str, names: Sequence[str]) -> str:
    """A question that names what the text may be meant to be, for a message; "" if nothing is like it."""
    folded = {_folded(name): name for name in names}
    close = difflib.get_close_matches(_folded(text), list(folded), n=SUGGESTED, cutoff=0.6)
    return f" Did you mean {' or '.join(in_a_line(folded[name]) for name in close)}?" if close else ""
