"""Lock a file for one process at a time; the lock ends with its process."""

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from music_featurization.artifacts import PipelineError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # by some network file systems
FAR = 1 << 30  # on Windows a locked byte cannot be read, so one after the text is locked


@contextlib.contextmanager
def locked(path: Path, artifact: Path, option: str) -> Iterator[None]:
    """Lock the file `path` while the block makes an artifact; raise a PipelineError if it is locked already.

    `option` is the option of the command line that names the artifact, for the message.
    """
    file = _open_and_lock(path, artifact, option)
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
    finally:
        # Removed while locked: a process that opened it meanwhile finds that it is no longer the file of that name.
        with contextlib.suppress(OSError):  # Windows removes no open file
            path.unlink()
        file.close()


def _open_and_lock(path: Path, artifact: Path, option: str) -> IO[str]:
    while True:
        file = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115  (the lock ends when it is closed)
        if not _lock(file):
            with file:
                file.seek(0)
                owner = file.read(200) or "a process that has just started"
            raise PipelineError(
                f"{artifact} is being made by another run ({owner}). "
                f"Run the same command again when it has ended, or give another {option}."
            )
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()  # its owner has removed it since it was opened


def _lock(file: IO[str]) -> bool:
    """Lock an open file, unless another process has. A file system without locks counts as not locked."""
    try:
        if sys.platform == "win32":
            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NOT_SUPPORTED
    return True
