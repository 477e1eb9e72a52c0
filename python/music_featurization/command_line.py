"""What the command lines of all scripts have in common."""

import argparse
import errno
import importlib.util
import os
import sys
from pathlib import Path

from music_featurization.artifacts import REPOSITORY, PipelineError

INSTALL = "Install the project first: pip install -r requirements.txt"

# The scripts import this module first, and explain its ImportError; the other modules import numpy.
if importlib.util.find_spec("numpy") is None:
    raise ImportError("No module named 'numpy'")


def parser(description):
    """An argparse parser with `--root`, whose help shows the description as written and ends with the default.

    Parameters
    ----------
    description : str
        The script's docstring.

    Returns
    -------
    argparse.ArgumentParser
    """

    class Formatter(argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action):
            if action.default in (None, False, argparse.SUPPRESS) or "default" in action.help:
                return action.help  # "(default: False)" says nothing
            return f"{action.help} (default: %(default)s)"

    parser = argparse.ArgumentParser(description=description, formatter_class=Formatter, allow_abbrev=False)
    parser.add_argument(
        "--root",
        type=Path,
        default=REPOSITORY,
        metavar="DIR",
        help="folder that holds datasets/, models/ and results/",
    )
    return parser


def progress(items, total, unit):
    """Pass items through with a progress bar on stderr; in a log file a line now and then.

    Parameters
    ----------
    items : iterable
    total : int
        How many there are.
    unit : str
        What one of them is called.

    Returns
    -------
    iterable
    """
    from tqdm import tqdm

    every = 0.2 if sys.stderr.isatty() else 30
    return tqdm(items, total=total, unit=unit, mininterval=every, miniters=1, dynamic_ncols=True, smoothing=0.05)


def positive(text: str) -> int:
    """An argument that is a whole number of 1 or more."""
    return _whole_number(text, 1)


def count(text: str) -> int:
    """An argument that is a whole number of 0 or more."""
    return _whole_number(text, 0)


def _whole_number(text, least):
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
    return number


def non_negative(text: str) -> float:
    """Convert an argument that is a finite number of 0 or more."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return number


def parse_switch(text: str) -> bool:
    """Convert an argument that is `on` or `off`."""
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text} is neither on nor off")
    return text == "on"


def shard(text):
    """An argument `I/N`: the I-th of N parts, 1 <= I <= N; gives (I, N)."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text} is not I/N with 1 <= I <= N, such as 3/20")
    return int(part), int(parts)


def run(main):
    """Run a script's `main` as a command: exit status, and one clear line for what the user can correct.

    Parameters
    ----------
    main : callable
        Takes no argument; returns an exit status or None for success. May raise PipelineError.

    Notes
    -----
    Exits with the status of `main`; 1 after a PipelineError, an operating-system error (disk full, no permission), a
    missing package or a lack of memory, 130 after Ctrl-C. Works with any locale and with closed standard streams.
    """
    open_standard_streams()
    try:
        status = main() or 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, run the same command to go on", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output went away (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except (PipelineError, OSError, MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and (error.name or "").startswith("music_featurization"):
            raise  # a mistake of ours
        print(f"error: {' '.join(explain(error).split())}", file=sys.stderr)
        status = 1
    sys.exit(status)


def open_standard_streams() -> None:
    """Make the standard streams usable: closed ones discard what is written, and any name can be printed.

    Notes
    -----
    Without this, the next file that is opened would get the number of a closed stream and be written to by libraries
    that print. A character that the locale cannot show is printed as `\\xNN` or `\\uNNNN`.
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
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # in a notebook it is another kind of object
            stream.reconfigure(errors="backslashreplace")


def explain(error: Exception) -> str:
    """One line for an exception that the user can do something about.

    Parameters
    ----------
    error : PipelineError, OSError, MemoryError or ImportError

    Returns
    -------
    str
    """
    if isinstance(error, OSError):
        return explain_os_error(error)
    if isinstance(error, MemoryError):
        return "out of memory. Close other programs, or give fewer --jobs or a smaller --batch-size, and run it again."
    return f"{error}. {INSTALL}" if isinstance(error, ImportError) else str(error)


def explain_os_error(error):
    """One line that says what the operating system refused, where, and what to do.

    Parameters
    ----------
    error : OSError

    Returns
    -------
    str
    """
    advice = {
        errno.ENOSPC: "Free some space and run the same command again; what was finished is kept.",
        errno.EDQUOT: "The quota is used up; free some space and run the same command again.",
        errno.EACCES: "Change its permissions, or give another --root.",
        errno.EPERM: "Change its permissions, or give another --root.",
        errno.EROFS: "Give a --root that can be written to.",
    }.get(error.errno, "Correct that and run the same command again.")
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. {advice}"
