"""Find clips and tracks by what a person types.

Upper and lower case, the form of Unicode, and `_` for a space make no difference.
"""

import difflib
from collections.abc import Sequence

from music_featurization.dataset.clip_names import composed, stem
from music_featurization.feature_tables import tracks
from music_featurization.file_tree import in_a_line

SUGGESTED = 5  # names that a message lists


def by_name(text: str, names: Sequence[str]) -> list[int]:
    """Find the rows of a name; if there are none, of names that differ only in case, form of Unicode, or `_`."""
    if rows := [row for row, name in enumerate(names) if name == text]:
        return rows
    wanted = _folded(text)
    return [row for row, name in enumerate(names) if _folded(name) == wanted]


def by_text(text: str, names: Sequence[str], *, has_ids: bool = False) -> list[int]:
    """Find the rows that a text fits best.

    These are the rows of that name (see `by_name`). If there are none, they are the rows of that id, provided that the
    names have ids (`<id>_<name>`); if there are none either, the rows whose name contains the text.
    """
    if rows := by_name(text, names):
        return rows
    wanted, folded = _folded(text), [_folded(name) for name in names]
    if has_ids and (rows := [row for row, name in enumerate(folded) if name.startswith(f"{wanted} ")]):
        return rows
    return [row for row, name in enumerate(folded) if wanted in name]


def _folded(text: str) -> str:
    return composed(composed(text).casefold()).replace("_", " ")


def by_recording(path: str, recordings: Sequence[str]) -> list[int]:
    """Find the rows of a recording, however its path is written; `recordings` are the absolute paths of all rows."""
    wanted = tracks.identity(path)
    same = {recording: tracks.identity(recording) == wanted for recording in dict.fromkeys(recordings)}
    return [row for row, recording in enumerate(recordings) if same[recording]]


def some(rows: Sequence[int], names: Sequence[str]) -> str:
    """Return the first names of some rows, for a message."""
    return "; ".join(in_a_line(names[row]) for row in rows[:SUGGESTED]) + ("; ..." if len(rows) > SUGGESTED else "")


def suggestion(text: str, names: Sequence[str]) -> str:
    """Ask whether a similar name is meant, for a message; "" if no name is similar."""
    folded = {_folded(stem(name)): name for name in names} | {_folded(name): name for name in names}
    close = difflib.get_close_matches(_folded(text), list(folded), n=SUGGESTED, cutoff=0.6)
    meant = dict.fromkeys(in_a_line(folded[name]) for name in close)
    return f" Did you mean {' or '.join(meant)}?" if close else ""
