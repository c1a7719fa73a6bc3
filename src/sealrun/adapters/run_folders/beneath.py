"""Opening what lies below a folder, one component at a time and never through a link.

A component that is swapped for a symbolic link while we work cannot lead outside: every step is ``openat`` with
``O_NOFOLLOW`` on the descriptor of the step before (see openat(2) and symlink(7)). That begins at the run folder, or,
where an anchor is above it, at that: whoever may rename the folders between them cannot lead us elsewhere either. Of a
long way the kernel takes all steps at once (`deep_paths`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from sealrun.adapters.run_folders.deep_paths import DEEP, open_beneath
from sealrun.domain.errors import RunChangedError, RunRejectedError, UnavailableError
from sealrun.ports import FileFacts

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How a file is opened; a fifo that was swapped in must not block."""
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE}
_DENIED = {errno.EACCES, errno.EPERM}


def printable(path: str) -> str:
    """Show any path on one line of valid UTF-8: control characters, quotes and foreign bytes are escaped."""
    return repr(os.fsencode(path).decode("utf-8", "backslashreplace"))


def facts_of(status: os.stat_result) -> FileFacts:
    """Return what identifies an unchanged file."""
    written, changed_at = status.st_mtime_ns, status.st_ctime_ns
    if written == changed_at:
        changed_at = written  # one number in memory instead of two, a million times
    return FileFacts(status.st_ino, status.st_size, written, changed_at, bool(status.st_mode & stat.S_IXUSR))


def translate(error: OSError, path: str) -> RunChangedError | RunRejectedError | UnavailableError:
    """Name what an operating system error on `path` means for the run: settle again, rejected, or try again later."""
    reason = os.strerror(error.errno or 0)
    if error.errno in _REPLACED:
        return RunChangedError(f"{printable(path)}: was there a moment ago and is not any more; settle again")
    if error.errno in _DENIED:
        advice = "give the user that sealrun runs as permission to read it, or exclude it"
        return RunRejectedError(f"{printable(path)}: cannot be read ({reason}); {advice}")
    return UnavailableError(f"{printable(path)}: cannot be read now ({reason}); it is tried again")


def changed(path: str) -> RunChangedError:
    """Return the error for a file that changed while it was read."""
    return RunChangedError(f"{printable(path)}: changed while it was read; settle again")


_anchors: set[str] = set()


def anchor(folder: str) -> None:
    """Open what lies below the absolute path `folder` step by step from there, from now on, in this process.

    The folder itself may be a link: it is the operator's. Repeating is harmless.
    """
    _anchors.add(folder.rstrip("/"))


def is_anchored(path: str) -> bool:
    """Tell whether `path` lies below an anchor, so that no link on the way to it is looked through."""
    return _anchor_of(path) is not None


def _anchor_of(path: str) -> str | None:
    head = path
    while _anchors and (cut := head.rfind("/")) > 0:
        head = head[:cut]
        if head in _anchors:
            return head
    return None


def _steps(path: str) -> tuple[str, str]:
    """Return where opening `path` begins, and by which steps it goes on: none if that makes no difference."""
    above = _anchor_of(path)
    steps = "" if above is None else path[len(above) + 1 :]
    return (path, "") if above is None or "/" not in steps else (above, steps)


@contextmanager
def opened_folder(root: str, path: str = "") -> Iterator[int]:
    """Open the folder at `path` below `root` (itself if empty) and yield its descriptor; `OSError` as it comes."""
    first, steps = _steps(root)
    path = "/".join(part for part in (steps, path) if part)
    descriptor = os.open(first, _FOLDER & ~os.O_NOFOLLOW if steps else _FOLDER)
    try:
        parts = path.split("/") if path else []
        if len(parts) >= DEEP and (inner := open_beneath(descriptor, path, _FOLDER)) is not None:
            os.close(descriptor)
            descriptor, parts = inner, []
        for part in parts:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(folder: int, name: str) -> int:
    """Open a regular file in an opened folder and return its descriptor; `OSError` (ENXIO) if it is anything else."""
    descriptor = os.open(name, FILE_FLAGS, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "not a regular file")
    return descriptor


def split(path: str) -> tuple[str, str]:
    """Split a path inside a run into its folder (empty at the top) and its name."""
    folder, _, name = path.rpartition("/")
    return folder, name
