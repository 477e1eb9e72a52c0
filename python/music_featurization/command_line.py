"""What the command lines of all scripts have in common."""

import argparse
import errno
import os
import sys
from pathlib import Path

from music_featurization.artifacts import REPOSITORY, PipelineError


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
                return action.help  # "(default: False)" tells nobody anything
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


def positive(text):
    """An argument that is a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def count(text):
    """An argument that is a whole number of 0 or more."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number


def non_negative(text: str) -> float:
    """Convert an argument that is a finite number of 0 or more."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return number


def switch(text: str) -> bool:
    """Convert an argument that is `on` or `off`."""
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text} is neither on nor off")
    return text == "on"


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    import joblib

    return joblib.cpu_count()


def shard(text):
    """An argument `I/N`: the I-th of N parts, 1 <= I <= N; gives (I, N)."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text} is not I/N with 1 <= I <= N, such as 3/20")
    return int(part), int(parts)


def run(main):
    """Run a script's `main` as a command: exit status, and one clear line for what the user can mend.

    Parameters
    ----------
    main : callable
        Takes no argument; returns an exit status or None for success. May raise PipelineError.

    Notes
    -----
    Exits with the status of `main`; 1 after a PipelineError or an operating-system error (disk full, no permission),
    130 after Ctrl-C.
    """
    try:
        status = main() or 0
        sys.stdout.flush()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, run the same command to go on", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output went away (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except OSError as error:
        print(f"error: {explain_os_error(error)}", file=sys.stderr)
        status = 1
    sys.exit(status)


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
    }.get(error.errno, "Mend that and run the same command again.")
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. {advice}"
