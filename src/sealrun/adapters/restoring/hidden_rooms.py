"""The hidden folder beside a destination in which a run is put together, and how a later attempt finds it again."""

# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH208 - names go to the kernel as they are

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Self

_NAME_BYTES = 100
_OTHERS = 0o077
_asking = threading.Lock()


class Room:
    """A folder that only this process writes to. A crash leaves it, under its ``.sealrun-*`` name."""

    def __init__(self, path: str, lock: int | None) -> None:
        """Use the folder at `path`; `lock` is an open descriptor of it, locked, where a later attempt may go on."""
        self.path = path
        self._lock = lock
        self._ours = True
        self.resumed = lock is not None and bool(os.listdir(path))

    @classmethod
    def open(cls, final: Path, resume: str | None) -> Self:
        """Make a room beside `final`, or find the one that an attempt with the same `resume` left."""
        name = final.name.encode("utf-8", "ignore")[:_NAME_BYTES].decode("utf-8", "ignore")
        if resume is not None:
            path = str(final.parent / f".sealrun-{name}-{resume}")
            lock = _take(path)
            if lock is not None:
                return cls(path, lock)
        return cls(tempfile.mkdtemp(prefix=f".sealrun-{name}-", dir=final.parent), None)

    def names(self) -> list[str]:
        """Return what lies directly in it."""
        return os.listdir(self.path)

    def keep_only(self, paths: Collection[str]) -> None:
        """Remove everything but `paths` and the folders that lead there."""
        kept = set(paths)
        for path in paths:
            parent = path.rpartition("/")[0]
            while parent and parent not in kept:
                kept.add(parent)
                parent = parent.rpartition("/")[0]
        for folder, folders, files in os.walk(self.path):
            inside = folder[len(self.path) + 1 :]
            for name in (*folders, *files):
                if (f"{inside}/{name}" if inside else name) not in kept:
                    _remove(f"{folder}/{name}")

    def become(self, final: Path) -> None:
        """Take the final name; `OSError` if something is there."""
        os.chmod(self.path, 0o777 & ~_umask())
        os.rename(self.path, final)
        self._let_go()

    def leave(self) -> None:
        """Let a later attempt go on with it; remove it where none could."""
        if self._lock is None:
            self.remove()
        self._let_go()

    def remove(self) -> None:
        """Remove it with everything inside. Harmless when it was removed, left, or took its final name."""
        if self._ours:
            shutil.rmtree(self.path, ignore_errors=True)
        self._let_go()

    def _let_go(self) -> None:
        self._ours = False
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _take(path: str) -> int | None:
    """Make or enter the room at `path` and lock it; None if that is somebody else's, or locks do not work there."""
    with contextlib.suppress(FileExistsError):  # an earlier attempt's, or that of one which is at work now
        os.mkdir(path, 0o700)
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        facts, now = os.fstat(lock), os.lstat(path)
    except OSError:
        os.close(lock)
        return None
    mine = facts.st_uid == os.geteuid() and not facts.st_mode & _OTHERS
    if not mine or (facts.st_dev, facts.st_ino) != (now.st_dev, now.st_ino):  # it has just taken its final name
        os.close(lock)
        return None
    return lock


def _remove(path: str) -> None:
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _umask() -> int:
    """Ask without setting it, where the kernel tells: files that other threads make meanwhile would be open to all."""
    with contextlib.suppress(OSError), Path("/proc/self/status").open("rb") as status:
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    with _asking:
        mask = os.umask(0)
        os.umask(mask)
    return mask
