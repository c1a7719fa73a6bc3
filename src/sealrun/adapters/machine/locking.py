"""One daemon per state folder: an advisory lock that the kernel frees with the process, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sealrun.domain.errors import ConfigurationError, HeldError

LOCK_FILE = "lock"


@contextmanager
def hold(state: Path) -> Iterator[None]:
    """Hold the state folder, which is made if it is not there, while the block runs.

    `HeldError` names the process that holds it. `ConfigurationError`: the folder cannot be used. The file stays when
    the lock is gone; what it says counts only while somebody holds the lock.
    """
    path = state / LOCK_FILE
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        msg = f"{path}: the state folder cannot be used ({error.strerror}); check the setting `state`"
        raise ConfigurationError(msg) from error
    try:
        _lock(handle, path)
        _write_pid(handle)
        yield
    finally:
        os.close(handle)


def holder(state: Path) -> int | None:
    """Return the process that holds the state folder now, or None. For messages: it may end at any moment."""
    path = state / LOCK_FILE
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # never held, or not ours to look at
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read_pid(handle)
    else:
        return None
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            msg = f"{path}: the file system of the state folder has no locks ({error.strerror}); use a local disk"
            raise ConfigurationError(msg) from error
        pid = _read_pid(handle)
        who = f"process {pid}" if pid else "another process"
        msg = f"{path.parent}: the state folder is held by {who}; stop it, or give this daemon its own state folder"
        raise HeldError(msg) from error


def _write_pid(handle: int) -> None:
    with suppress(OSError):  # a full disk: only a message gets poorer
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def _read_pid(handle: int) -> int | None:
    text = os.pread(handle, 32, 0).strip()
    return int(text) if text.isdigit() else None
