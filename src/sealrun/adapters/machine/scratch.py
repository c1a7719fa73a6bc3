"""Rooms in which something is made before it is published: one for each maker, and gone with it, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sealrun.domain.errors import NoSpaceError

_LOCK = "maker"
_KEPT = "kept"


class ScratchRoom:
    """One room; `folder` in it is empty at first. The kernel frees its lock with the process, however that ends."""

    def __init__(self, path: Path, lock: int) -> None:
        """See `scratch_room`."""
        self.folder = path / "content"
        self.folder.mkdir()
        self._path = path
        self._lock = lock
        self._kept = False

    def keep(self) -> None:
        """Leave it behind for a person: nothing sweeps it."""
        self._kept = True
        with suppress(OSError):
            (self._path / _KEPT).touch()

    def close(self) -> None:
        """Remove it, unless it is kept."""
        if not self._kept:
            shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._lock)


@contextmanager
def scratch_room(parent: Path, prefix: str, is_needed: Callable[[Path], bool]) -> Iterator[ScratchRoom]:
    """Open a room in `parent`, after removing those of makers on this machine that died.

    One that `is_needed` stays. `NoSpaceError` if nothing can be written there.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent, is_needed)
        path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent))
        room = ScratchRoom(path, _lock(path / _LOCK))
    except OSError as error:
        msg = f"{parent}: cannot be written to ({error.strerror}); name another folder in $SEALRUN_SCRATCH"
        raise NoSpaceError(msg) from error
    try:
        yield room
    finally:
        room.close()


def _lock(path: Path) -> int:
    """Hold a room, and say so once it is held: what says nothing is never swept."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with suppress(OSError):  # a file system without locks: a dead maker's room stays there
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, _this_machine())
    return handle


def _sweep(parent: Path, is_needed: Callable[[Path], bool]) -> None:
    for room in parent.iterdir():
        with suppress(OSError):  # no room, somebody else's, or gone meanwhile
            handle = os.open(room / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Locks may not reach another machine, so whose it is counts, too.
                if os.read(handle, 256) == _this_machine() and not (room / _KEPT).exists() and not is_needed(room):
                    shutil.rmtree(room, ignore_errors=True)
            finally:
                os.close(handle)


def _this_machine() -> bytes:
    return socket.gethostname().encode()[:256]
