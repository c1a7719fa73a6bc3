"""What processes that still run have asked a cache for: their paths have to stay."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

_LEASES = "leases"
_LOCK = "leases.lock"
_ELSEWHERE_S = 24 * 3600.0


class Leases:
    """One process's leases in one cache: a file with a line for each place, locked until the process has ended.

    The kernel frees the lock, however the process ends; its children hold it, too. On another machine that shares the
    cache such a lock may not be seen: its leases count for a day.
    """

    def __init__(self, cache: Path) -> None:
        """Keep leases in `cache`; nothing is written before the first."""
        self._cache = cache
        self._handle: int | None = None
        self._taken: set[str] = set()
        self._lock = Lock()

    def take(self, place: str) -> None:
        """Keep `place` from being removed while this process runs. Harmless twice. `OSError`: it cannot be said."""
        with self._lock:
            if place in self._taken:
                return
            with locked(self._cache, exclusive=False):
                if self._handle is None:
                    self._handle = self._begin()
                os.write(self._handle, f"{place}\n".encode())
            self._taken.add(place)

    def _begin(self) -> int:
        folder = self._cache / _LEASES
        folder.mkdir(mode=0o700, exist_ok=True)
        name = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(8)}"
        handle = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle


def leases_in(cache: Path) -> Leases:
    """Return this process's leases in a cache."""
    with _guard:
        return _open.setdefault(cache, Leases(cache))


def held_places(cache: Path, *, sweep: bool = False) -> set[str]:
    """Return every place that a process that still runs has asked for; with `sweep` forget the others' leases."""
    held: set[str] = set()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in (cache / _LEASES).iterdir():
            with contextlib.suppress(FileNotFoundError):
                if _counts(path):
                    held.update(path.read_text().splitlines())
                elif sweep:
                    path.unlink()
    return held


@contextlib.contextmanager
def locked(cache: Path, *, exclusive: bool) -> Iterator[None]:
    """Keep removal, which is `exclusive`, and new leases apart. A file system without locks has neither."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(cache / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _counts(path: Path) -> bool:
    """Tell whether whoever wrote a lease still runs."""
    if not path.name.startswith(f"{socket.gethostname()}."):
        return time.time() - path.stat().st_mtime < _ELSEWHERE_S
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return time.time() - path.stat().st_mtime < _ELSEWHERE_S  # no locks here: as if it were elsewhere
    finally:
        os.close(handle)
    return False


def _let_a_child_go_on() -> None:
    """Free what another thread may have held at the fork."""
    global _guard  # noqa: PLW0603 - a lock cannot be reset
    _guard = Lock()
    for leases in _open.values():
        leases._lock = Lock()  # noqa: SLF001 - as above


_guard = Lock()
_open: dict[Path, Leases] = {}
os.register_at_fork(after_in_child=_let_a_child_go_on)
