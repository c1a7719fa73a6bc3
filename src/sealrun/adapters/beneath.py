"""Opening what lies below a folder, one component at a time and never through a link.

A component that is swapped for a symbolic link while we work cannot lead outside: every step is ``openat`` with
``O_NOFOLLOW`` on the descriptor of the step before (see openat(2) and symlink(7)).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from sealrun.domain.errors import RunChangedError, RunRejectedError, UnavailableError
from sealrun.ports import FileFacts

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a fifo that was swapped in must not block
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE}
_DENIED = {errno.EACCES, errno.EPERM}


def printable(path: str) -> str:
    """Show any path on one line of valid UTF-8: control characters, quotes and foreign bytes are escaped."""
    return repr(os.fsencode(path).decode("utf-8", "backslashreplace"))


def facts_of(status: os.stat_result) -> FileFacts:
    """Return what identifies an unchanged file."""
    executable = bool(status.st_mode & stat.S_IXUSR)
    return FileFacts(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, executable)


def translate(error: OSError, path: str) -> RunChangedError | RunRejectedError | UnavailableError:
    """Name what an operating system error on `path` means for the run: settle again, rejected, or try again later."""
    reason = os.strerror(error.errno or 0)
    if error.errno in _REPLACED:
        return RunChangedError(f"{printable(path)}: was there a moment ago and is not any more; settle again")
    if error.errno in _DENIED:
        advice = "give the user that sealrun runs as permission to read it, or exclude it"
        return RunRejectedError(f"{printable(path)}: cannot be read ({reason}); {advice}")
    return UnavailableError(f"{printable(path)}: cannot be read now ({reason}); it is tried again")


@contextmanager
def opened_folder(root: str, path: str = "") -> Iterator[int]:
    """Open the folder at `path` below `root` (itself if empty) and yield its descriptor; `OSError` as it comes."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in path.split("/") if path else ():
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(folder: int, name: str) -> int:
    """Open a regular file in an opened folder and return its descriptor; `OSError` (ENXIO) if it is anything else."""
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "not a regular file")
    return descriptor


def read_file(folder: int, name: str, size: int) -> tuple[bytes, os.stat_result]:
    """Read a file of `size` bytes in an opened folder; return at most one byte more, and what it was afterwards.

    One look for thousands of small files: whoever knows what the file was before sees by the second value whether it is
    still that, and a regular file. `OSError` as it comes.
    """
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        return os.read(descriptor, size + 1), os.fstat(descriptor)
    finally:
        os.close(descriptor)


def split(path: str) -> tuple[str, str]:
    """Split a path inside a run into its folder (empty at the top) and its name."""
    folder, _, name = path.rpartition("/")
    return folder, name
