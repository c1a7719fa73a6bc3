"""The private room of one process inside a directory store: files without a name, and what crashes left."""

# Plain strings below the root: this runs for every object, and a Path costs more than the call.
# ruff: noqa: PTH106, PTH108, PTH112, PTH208

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import threading
import uuid
from pathlib import Path

from sealrun.adapters.stores.posix_folders import PRIVATE, Root

_ABANDONED_S = 7 * 24 * 3600
_LOCK = "lock"
_TRIES = 8


class Room:
    """A folder ``<root>/.sealrun/tmp/<kernel>-<pid>-<random>`` that this process holds by a lock.

    Made when first needed, so that opening a store writes nothing. Making it removes the rooms of dead processes: on
    this kernel those whose lock is free (the kernel lets go of a dead process's locks), elsewhere those untouched
    for 7 days by the store's own clock, because a lock seen over a network proves nothing.
    """

    def __init__(self, root: Root) -> None:
        """Have a room below `root`, later."""
        self._root = root
        self._numbers = itertools.count()
        self._mutex = threading.Lock()
        self._path: str | None = None
        self._held = -1

    def folder(self) -> str:
        """Return the room's path, making it if need be."""
        with self._mutex:
            if self._path is None or not os.path.isdir(self._path):
                self._root.confirm()
                self._enter()
            assert self._path is not None  # noqa: S101 - `_enter` sets it or raises
            return self._path

    def new_file(self, mode: int) -> tuple[int, str]:
        """Create an empty file, to be written and read; return its descriptor and path."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            path = self.new_path()
            return os.open(path, flags, mode), path
        except FileNotFoundError:  # another host took us for dead, and removed the room
            path = self.new_path(check=True)
            return os.open(path, flags, mode), path

    def new_path(self, *, check: bool = False) -> str:
        """Return an unused path in the room; the process id keeps forks apart."""
        folder = self._path if self._path is not None and not check else self.folder()
        return f"{folder}/{os.getpid()}-{next(self._numbers)}"

    def leave(self) -> None:
        """Remove the room if nothing is waiting in it. Harmless twice; the next use makes another one."""
        with self._mutex:
            if self._path is not None:
                with contextlib.suppress(OSError):  # what stays is removed by the next process that enters
                    if os.listdir(self._path) == [_LOCK]:
                        os.unlink(f"{self._path}/{_LOCK}")
                        os.rmdir(self._path)
            self._let_go()

    def _let_go(self) -> None:
        if self._held >= 0:
            os.close(self._held)
        self._held = -1
        self._path = None

    def _enter(self) -> None:
        self._let_go()
        rooms = Path(self._root.path, PRIVATE, "tmp")
        rooms.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            room = rooms / f"{_kernel()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
            room.mkdir()
            held = _hold(room)
            if held is not None:
                self._held = held
                self._path = str(room)
                _remove_abandoned(rooms, room)
                return
        raise OSError(errno.EAGAIN, "every new room was taken away at once")


def _kernel() -> str:
    """Name the running kernel: processes of one kernel see each other's locks, whatever container they are in."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        boot = os.uname().nodename
    return hashlib.sha256(boot.encode()).hexdigest()[:12]


def _hold(room: Path) -> int | None:
    """Lock a new room; None if a sweeper came between making and locking it."""
    try:
        fd = os.open(room / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        return fd  # no locks on this file system: nobody else gets the lock either, and age decides
    if os.fstat(fd).st_nlink:
        return fd
    os.close(fd)
    return None


def _remove_abandoned(rooms: Path, own: Path) -> None:
    """Remove what dead processes left. A favour: whatever cannot be removed now is left for the next time."""
    with contextlib.suppress(OSError):
        now = own.stat().st_mtime
        for room in rooms.iterdir():
            if room.name == own.name:
                continue
            with contextlib.suppress(OSError):
                if room.name.startswith(f"{_kernel()}-"):
                    _remove_if_free(room)
                elif now - room.stat().st_mtime > _ABANDONED_S:
                    _remove_tree(room)


def _remove_if_free(room: Path) -> None:
    fd = os.open(room / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until it is gone: its maker then sees that it lost it
        _remove_tree(room)
    finally:
        os.close(fd)


def _remove_tree(room: Path) -> None:
    import shutil  # noqa: PLC0415 - seldom needed, and every command that publishes would load it

    shutil.rmtree(room, ignore_errors=True)
