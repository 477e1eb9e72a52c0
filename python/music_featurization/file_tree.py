"""List the files below a folder in order, at any depth, each real folder once; and report what is skipped."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

NAMED = 5  # endings or folders that a line names


@dataclass
class Skipped:
    """What a listing skips: number of files by ending, reason by unreadable folder, links to folders listed anyway."""

    endings: Counter = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return one line of text for each kind that occurs."""
        named = [f"{name} ({reason})" for name, reason in self.unreadable.items()]
        parts = (
            (self.endings.total(), "file", "skipped", sorted(self.endings)),
            (len(named), "folder", "not readable", named),
            (len(self.links), "link", "skipped (folders listed under another name)", self.links),
        )
        return [f"{n} {what}{'s' * (n > 1)} {how}: {_some(names)}" for n, what, how, names in parts if n]

    def add(self, other: "Skipped", folder: str) -> None:
        """Add what a listing of `folder` skipped."""
        self.endings += other.endings
        self.unreadable |= {os.path.join(folder, name): reason for name, reason in other.unreadable.items()}
        self.links += [os.path.join(folder, name) for name in other.links]


def _some(names: list[str]) -> str:
    short = [name if len(name) <= 200 else f"{name[:80]}...{name[-80:]}" for name in names[:NAMED]]
    return in_a_line(", ".join([*short, "..."] if len(names) > NAMED else short))


def printable(name: str) -> str:
    """Return a name as text that UTF-8 can encode: other bytes become `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def in_a_line(name: str) -> str:
    """Return a name as it can be printed: line ends, other control characters and bytes beyond UTF-8 as escapes."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda mark: repr(mark[0])[1:-1], printable(name))


def files(folder: str | os.PathLike, endings: tuple[str, ...], skipped: Skipped | None = None) -> Iterator[str]:
    """Yield the files below a folder that have one of some endings (lower case), and add all others to `skipped`.

    Paths are relative to the folder, with `/`, sorted by name within each folder. Dot files are ignored. Symbolic links
    are followed, but no folder is listed twice. Raises OSError if the folder itself cannot be read.
    """
    skipped = Skipped() if skipped is None else skipped
    top = os.path.realpath(folder)
    seen: set[object] = set()
    above = [("", iter(_entries(os.fspath(folder), "", seen, skipped)))]  # no recursion: its depth is limited
    while above:
        prefix, entries = above[-1]
        entry = next(entries, None)
        if entry is None:
            above.pop()
        elif _is_folder(entry):
            name = f"{prefix}{entry.name}/"
            if entry.is_symlink() and _is_listed_below(top, os.path.realpath(entry.path)):
                skipped.links.append(name)
            else:
                above.append((name, iter(_entries(entry.path, name, seen, skipped))))
        elif entry.name.lower().endswith(endings):
            yield prefix + entry.name
        else:
            skipped.endings[os.path.splitext(entry.name)[1].lower() or "no ending"] += 1


def _entries(path: str, name: str, seen: set, skipped: Skipped) -> list[os.DirEntry]:
    """Return the entries of a folder, sorted; none if it was seen before or cannot be read."""
    try:
        status = os.stat(path)
        identity = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
        if identity in seen:
            skipped.links.append(name)
            return []
        seen.add(identity)
        with os.scandir(path) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        if not name:
            raise  # the top folder
        skipped.unreadable[name] = error.strerror or str(error)
        return []


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reading it as a file will say so
        return False


def _is_listed_below(top: str, target: str) -> bool:
    """Return whether a folder is `top` or below it, and not in a dot folder."""
    if target != top and not target.startswith(os.path.join(top, "")):
        return False
    return not any(part.startswith(".") for part in os.path.relpath(target, top).split(os.sep) if part != ".")
