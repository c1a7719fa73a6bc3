"""A small file that others read again and again: whole or not at all, and readable by everybody."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from sealrun.domain.errors import AccessDeniedError, NoSpaceError, UnavailableError

_READABLE = 0o644
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_textfile(path: Path, body: bytes) -> None:
    """Replace the file at `path` by `body`. Readers see the old or the new one; a crash may leave a hidden file beside.

    `AccessDeniedError`: the folder is not there, or not ours to write. `NoSpaceError`: it is full. Not durable: what
    is measured is measured again.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            os.fchmod(file.fileno(), _READABLE)
        os.replace(temporary, path)  # noqa: PTH105 - what mkstemp returns is a text
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - as above
        raise _translated(path, error) from error


def _translated(path: Path, error: OSError) -> Exception:
    said = f"{path}: metrics cannot be written there ({error.strerror})"
    if error.errno in _FULL:
        return NoSpaceError(f"{said}; make room")
    if isinstance(error, (FileNotFoundError, PermissionError, NotADirectoryError)):
        msg = f"{said}; make the folder and let sealrun write into it, or change the setting [metrics] textfile"
        return AccessDeniedError(msg)
    return UnavailableError(f"{said}; it is tried again")
