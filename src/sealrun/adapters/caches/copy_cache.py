"""Files and folders that were fetched and given a path: bounded, and shared by any number of processes.

::

    files/ab/cdef…/NAME      folders/ab/cdef…/NAME/…     sha256/ab/cdef…  (see `LocalFileCache`)

An entry is the folder above NAME; when it was used last is when that was touched.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from threading import Lock

import msgspec

from sealrun.adapters.caches.leases import held_places, leases_in, locked
from sealrun.domain.upkeep.caching import Cached, CachedKind, Cleaning, plan_cleaning

FETCHING = ".fetching-"
_GOING = ".going-"
_LEFT_BEHIND_S = 24 * 3600.0
_RECENT_S = 3600.0
_ROOM_LEFT = 0.9
_LOOKED_AT_EVERY = 32
_AREAS: dict[str, CachedKind] = {"sha256": "bytes", "files": "file", "folders": "folder"}
_COPIES = ("files", "folders")
_log = logging.getLogger("sealrun.cache")


class CopyCache:
    """The copies in a folder. A process makes room when it has fetched a thirty-second of `limit`: it is kept roughly.

    Nothing goes that a process which still runs has asked for, and, without being told to, nothing that anybody asked
    for in the last hour. So there may be more than `limit`.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Keep copies in `folder`, of `limit` bytes altogether."""
        self.folder = folder
        self._limit = limit
        self._unseen: int | None = None
        self._lock = Lock()

    def hold(self, place: str) -> Path:
        """Say that `place` is used by this process from now on; return its path. Whatever is there then stays."""
        path = self.folder / place
        try:
            leases_in(self.folder).take(place)
            os.utime(path)
        except FileNotFoundError:
            pass  # nothing is there yet
        except OSError as error:
            _log.info("%s: cannot be held, so it may be removed after an hour: %s", path, error.strerror)
        return path

    def added(self, size: int) -> None:
        """Make room, if so much was fetched that it is worth a look. What goes wrong is logged."""
        with self._lock:
            self._unseen = self._limit if self._unseen is None else self._unseen + size
            if self._unseen < self._limit // _LOOKED_AT_EVERY:
                return
            self._unseen = 0
        try:
            self.clean(self._in_time, _COPIES)
        except OSError as error:
            _log.warning("%s: no room can be made there: %s", self.folder, error.strerror)

    def kept(self, areas: Collection[str] = tuple(_AREAS)) -> list[Cached]:
        """Everything that is kept, with what is read through `LocalFileCache`."""
        held = held_places(self.folder)
        return [found for area in areas for found in self._in_area(area, _AREAS[area], held)]

    def clean(self, plan: Callable[[list[Cached]], Cleaning], areas: Collection[str] = tuple(_AREAS)) -> Cleaning:
        """Remove what `plan` says of what is there, and return that, without what has come to be held meanwhile.

        A crash leaves ``.going-*``, which the next one removes.
        """
        planned = plan(self.kept(areas))  # which may take a while; whoever asks for something need not wait for it
        remove: list[Cached] = []
        spared: list[Cached] = []
        with locked(self.folder, exclusive=True):
            held = held_places(self.folder, sweep=True)
            going = Path(tempfile.mkdtemp(prefix=_GOING, dir=self.folder))
            for number, each in enumerate(planned.remove):
                if each.place in held:
                    spared.append(msgspec.structs.replace(each, held=True))
                    continue
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / each.place).rename(going / str(number))
                    remove.append(each)
        self._sweep()
        return Cleaning(tuple(remove), (*planned.stay, *spared))

    def _in_time(self, copies: list[Cached]) -> Cleaning:
        full = sum(each.size for each in copies) > self._limit
        keep = int(self._limit * _ROOM_LEFT) if full else self._limit
        return plan_cleaning(copies, keep=keep, unused_since=time.time() - _RECENT_S)

    def _in_area(self, area: str, kind: CachedKind, held: set[str]) -> Iterator[Cached]:
        for path in (self.folder / area).glob("*/*"):
            place = f"{area}/{path.parent.name}/{path.name}"
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if path.name.startswith("."):
                    continue  # on its way in
                used, name, size = path.stat().st_mtime, path.parent.name + path.name, 0
                if kind == "bytes":
                    size = path.stat().st_size
                else:
                    name = next((each.name for each in path.iterdir() if not each.name.startswith(FETCHING)), name)
                    size = _size(path)
                yield Cached(kind=kind, place=place, name=name, size=size, used=used, held=place in held)

    def _sweep(self) -> None:
        """Remove what was taken away, by us or by who was killed, and what a killed process had half fetched."""
        for path in self.folder.glob(f"{_GOING}*"):
            shutil.rmtree(path, ignore_errors=True)
        old = time.time() - _LEFT_BEHIND_S
        for area in _AREAS:
            for path in (self.folder / area).glob(f"*/*/{FETCHING}*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < old:
                        shutil.rmtree(path, ignore_errors=True)


def _size(folder: Path) -> int:
    """Bytes of the files below a folder; one that goes away meanwhile has none."""
    total, ahead = 0, [str(folder)]
    while ahead:
        with contextlib.suppress(FileNotFoundError), os.scandir(ahead.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    ahead.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total
