"""A run on its way into a mirror: written where nobody looks, gone on with after a crash, seen at once and complete."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from sealrun.adapters.mirroring.room import translated
from sealrun.adapters.stores.posix_durable import Barrier, sync_folder
from sealrun.domain.errors import UsageError
from sealrun.domain.paths import path_problem
from sealrun.domain.runs.links import link_problem
from sealrun.domain.runs.manifest import Entry

_CHUNK = 4 << 20


class LocalIncoming:
    """`ports.MirrorIncoming`."""

    def __init__(self, room: Path, arrive: Callable[[Path], None]) -> None:
        """Write below `room`; `arrive` gives it its name once it is complete."""
        self._room = room
        self._arrive = arrive
        with translated(room):
            self._resumed = room.is_dir()
            room.mkdir(parents=True, exist_ok=True)
            self._barrier = Barrier(str(room))

    @property
    def resumed(self) -> bool:
        """Whether an earlier attempt may have left something; see the port."""
        return self._resumed

    def has(self, entry: Entry) -> bool:
        """Tell whether a file with these bytes is there already; see the port."""
        file = self._inside(entry.path)
        with translated(file):
            try:
                status = file.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return False
            executable = bool(status.st_mode & stat.S_IXUSR)
            if not stat.S_ISREG(status.st_mode) or (status.st_size, executable) != (entry.size, entry.executable):
                return False
            hasher = hashlib.sha256()
            with file.open("rb", buffering=0) as opened:
                while chunk := opened.read(_CHUNK):
                    hasher.update(chunk)
        return hasher.hexdigest() == entry.sha256

    def write(self, path: str, chunks: Iterable[bytes | memoryview], *, executable: bool) -> None:
        """Write one file; see the port. What was there before, from an attempt that broke off, is replaced."""
        file = self._inside(path)
        source = iter(chunks)
        with translated(file):
            self._make(file.parent)
            file.unlink(missing_ok=True)
            opened = file.open("xb", buffering=0)
        with opened:
            for chunk in source:
                view = memoryview(chunk)
                with translated(file):
                    while view:
                        view = view[opened.write(view) :]
            with translated(file):
                if not self._barrier.whole:
                    os.fsync(opened.fileno())
                if executable:
                    file.chmod(file.stat().st_mode | 0o111)

    def folder(self, path: str) -> None:
        """Create an empty folder."""
        with translated(self._room / path):
            self._make(self._inside(path))

    def link(self, path: str, target: str) -> None:
        """Create a link; its target was checked when the manifest was read, and is checked again here."""
        problem = link_problem(path, target)
        if problem:
            raise UsageError(problem)
        place = self._inside(path)
        with translated(place):
            self._make(place.parent)
            place.unlink(missing_ok=True)
            place.symlink_to(target)

    def commit(self, names: Callable[[], Collection[str]]) -> None:
        """Make the run visible; see the port."""
        try:
            with translated(self._room):
                if self._resumed:
                    self._drop_others(names())
                if self._barrier.whole:
                    self._barrier.wait()
                else:
                    for folder, _, _ in os.walk(self._room, topdown=False):
                        sync_folder(folder)
                self._arrive(self._room)
        finally:
            self._barrier.close()

    def _drop_others(self, names: Collection[str]) -> None:
        """Drop files that an attempt of other content left."""
        for folder, inner, files in os.walk(self._room, topdown=False):
            for name in (*files, *inner):
                path = Path(folder, name)
                leaf = path.is_symlink() or not path.is_dir()
                if leaf and str(path.relative_to(self._room)) not in names:
                    path.unlink()

    def _make(self, folder: Path) -> None:
        """Create a folder inside the room, never the room itself: a room that went away went with its disk."""
        if folder != self._room:
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)
        elif not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))

    def _inside(self, path: str) -> Path:
        problem = path_problem(path)
        if problem:
            raise UsageError(problem)
        return self._room / path
