"""Small durable files, and what the operating system's errors mean for a mirror."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sealrun.adapters.stores.posix_durable import sync_folder, write_all
from sealrun.domain.errors import ConflictError, NoSpaceError, UnavailableError

_NOT_NOW = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what an `OSError` on `path` means: a taken name, a disk that is away, or one that takes no more."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY}:
            msg = (
                f"{error.filename2 or error.filename or path}: is there already, and not made by the mirror; it is left"
            )
            raise ConflictError(msg) from error
        if error.errno in _NOT_NOW:
            msg = f"{path}: cannot be reached ({reason}); it is tried again"
            raise UnavailableError(msg) from error
        msg = f"{error.filename or path}: cannot be written or read ({reason}); check the mirror's disk and its rights"
        raise NoSpaceError(msg) from error


def write_durably(file: Path, body: bytes) -> None:
    """Write a small file over what is there: all or nothing, durable on return. `OSError` as it comes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, body)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(file)
    sync_folder(str(file.parent))
