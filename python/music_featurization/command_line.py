"""Provide what the command lines of all scripts share: options, progress bars, error messages."""

import argparse
import contextlib
import errno
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from music_featurization.artifacts import REPOSITORY, PipelineError

if TYPE_CHECKING:
    from tqdm import tqdm

INSTALL = "Install the project first: pip install -r requirements.txt"

# The scripts import this module first and explain an ImportError. The modules that they import next need numpy.
if importlib.util.find_spec("numpy") is None:
    raise ImportError("No module named 'numpy'")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action):
        if action.default in (None, argparse.SUPPRESS) or "default" in action.help:
            return action.help
        return f"{action.help} (default: {'off' if action.default is False else '%(default)s'})"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with `--root`, whose help shows the script's docstring as written."""
    parser = argparse.ArgumentParser(description=description, formatter_class=_Formatter, allow_abbrev=False)
    # Shells do not replace the ~ of --out=~/features.csv.
    parser.register("type", Path, lambda text: Path(os.path.expanduser(text)))
    what = "folder that contains datasets/, models/ and results/"
    parser.add_argument("--root", type=Path, default=REPOSITORY, metavar="DIR", help=what)
    return parser


def progress(items: Iterable | None, total: int, unit: str) -> "tqdm":
    """Wrap items in a progress bar on stderr; in a log file it is a line every 30 s."""
    from tqdm import tqdm

    every = 0.2 if sys.stderr.isatty() else 30
    return tqdm(items, total=total, unit=unit, mininterval=every, miniters=1, dynamic_ncols=True, smoothing=0.05)


def plural(number: int, noun: str) -> str:
    """Return a number and a noun, which gets an "s" unless the number is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def text_table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows as lines of text: the first column flush left, the others flush right."""
    width = max(len(str(row[0])) for row in rows)
    return "\n".join(str(row[0]).ljust(width) + "".join(f"{cell!s:>8}" for cell in row[1:]) for row in rows)


def positive(text: str) -> int:
    """Convert an argument that is a whole number of 1 or more."""
    return _whole_number(text, 1)


def count(text: str) -> int:
    """Convert an argument that is a whole number of 0 or more."""
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
    return number


def non_negative(text: str) -> float:
    """Convert an argument that is a finite number of 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number of 0 or more")
    return number


def parse_switch(text: str) -> bool:
    """Convert an argument that is `on` or `off`."""
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither on nor off")
    return text == "on"


def shard(text: str) -> tuple[int, int]:
    """Convert an argument `I/N`, the I-th of N parts (1 <= I <= N), to (I, N)."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with 1 <= I <= N, such as 3/20")
    return int(part), int(parts)


def run(main: Callable[[], int | None]) -> None:
    """Run a script's `main` as a command, and exit with its status; an error that the user can fix is one line.

    The status is 1 after a PipelineError, an operating-system error (disk full, no permission), a missing package or a
    lack of memory; 130 after Ctrl-C. Works with any locale and with closed standard streams.
    """
    open_standard_streams()
    try:
        status = main() or 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, run the same command to go on", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output has ended (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except (PipelineError, OSError, MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and (error.name or "").startswith("music_featurization"):
            raise  # an error in the project
        print(f"error: {' '.join(explain(error).split())}", file=sys.stderr)
        status = 1
    sys.exit(status)


def open_standard_streams() -> None:
    """Replace closed standard streams by the null device; print characters that the locale lacks as `\\xNN`.

    Otherwise the next file that is opened would get the number of a closed stream, and libraries would print to it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # in a notebook it is another kind of object
            output.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Discard what libraries in C++ and C print to file descriptor 2, if no variable silences them."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def explain(error: Exception) -> str:
    """Describe a PipelineError, OSError, MemoryError or ImportError in one line, and what to do."""
    if isinstance(error, OSError):
        return explain_os_error(error)
    if isinstance(error, MemoryError):
        return "out of memory. Close other programs, or give fewer --jobs or a smaller --batch-size, and run it again."
    return f"{error}. {INSTALL}" if isinstance(error, ImportError) else str(error)


def explain_os_error(error: OSError) -> str:
    """Describe in one line what the operating system refused, where, and what to do."""
    if error.errno == errno.ENOENT and not error.filename:  # of os.getcwd
        return "The working directory does not exist any more. Change to another one and run the same command again."
    advice = {
        errno.ENOSPC: "Free some space and run the same command again; what was finished is kept.",
        errno.EDQUOT: "The quota is used up; free some space and run the same command again.",
        errno.EACCES: "Change its permissions, or give another --root.",
        errno.EPERM: "Change its permissions, or give another --root.",
        errno.EROFS: "Give a --root that can be written to.",
    }.get(error.errno or 0, "Correct that and run the same command again.")
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. {advice}"
