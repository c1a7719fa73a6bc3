"""Restore a run, or one file of it, on this machine: verified, and complete or not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain

import msgspec

from sealrun.domain.curation.exporting import Layout
from sealrun.domain.errors import IntegrityError, NoSpaceError, NotFoundError, UsageError
from sealrun.domain.grouping import in_groups
from sealrun.domain.pieces import pieces_of
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.manifest import ARTIFACTS, Entry
from sealrun.ports import Destination
from sealrun.services.access.pouring import Chunks, pour
from sealrun.services.access.reading import Reader, RunFiles
from sealrun.services.storage.streaming import PIECE
from sealrun.services.threads.fanning import fan_through

Advance = Callable[[int], None]
Origin = Callable[[Stored], str | None]
"""Path of an object on this machine: of one that is a whole file, and not a part of a pack."""

_LOOKED_AT_ONCE = 64
_LOOKERS = 4


class Restored(msgspec.Struct, frozen=True):
    """What was done: how many files there are, were kept from an interrupted attempt, and share the registry's blocks.

    All of them were read and verified.
    """

    files: int
    kept: int
    shared: int


def attempt_name(target: Target, *, sealed: bool, sharing: bool) -> str:
    """Name what is restored, and how: an interrupted attempt is gone on with by one of the same name."""
    return f"{target.root_sha256[:20]}{'-sealed' if sealed else ''}{'-linked' if sharing else ''}"


def attempt_name_of_file(entry: Entry, *, sharing: bool) -> str:
    """Name what is restored where that is one file."""
    return f"{entry.sha256[:20]}-file{'-linked' if sharing else ''}"


def restore(
    reader: Reader,
    view: RunFiles,
    destination: Destination,
    *,
    sealed: bool,
    advance: Advance | None = None,
    origin: Origin | None = None,
) -> Restored:
    """Write the run's files, executable bits, empty folders and links, then make them visible at once.

    With `sealed` the whole run folder: records beside ``artifacts/``, so that ``sha256sum -c MANIFEST.sha256`` passes
    there. With `origin` files share its blocks where the destination can. `advance` is told bytes.
    `DigestMismatchError`: a stored file is damaged; nothing is left behind. What an outage or an interruption ends is
    left to a later attempt.
    """
    layout = Layout(ARTIFACTS, reader.records(view.target)) if sealed else Layout()
    return lay_out(reader, view, destination, layout, advance=advance, origin=origin)


def lay_out(
    reader: Reader,
    view: RunFiles,
    destination: Destination,
    layout: Layout,
    *,
    advance: Advance | None = None,
    origin: Origin | None = None,
) -> Restored:
    """Write the run as `layout` says; see `restore`."""
    work = _Restoring(destination, layout.inside, advance, origin)
    try:
        for name, body in layout.files.items():
            destination.write(name, pieces_of(body), executable=False)
        if layout.inside:
            destination.folder(layout.inside.rstrip("/"))
        missing = work.missing(view.manifest.entries) if destination.resumed else view.manifest.entries
        pour(reader, view, missing, partial(work.one, view), work.begun)
        for folder in view.manifest.directories if layout.links else ():
            destination.folder(work.inside + folder)
        for link in view.manifest.links if layout.links else ():
            destination.link(work.inside + link.path, link.target)
        destination.commit()
    except (IntegrityError, NotFoundError, UsageError, NoSpaceError):
        destination.abandon()
        raise
    except BaseException:
        destination.suspend()
        raise
    files = len(view.manifest.entries)
    return Restored(files, files - len(missing), len(work.shared))


def restore_file(
    reader: Reader,
    view: RunFiles,
    entry: Entry,
    destination: Destination,
    name: str,
    *,
    advance: Advance | None = None,
    origin: Origin | None = None,
) -> Restored:
    """Write one file of a run as `name` at the destination, verified; see `restore`."""
    work = _Restoring(destination, "", advance, origin)
    named = msgspec.structs.replace(entry, path=name)
    try:
        missing = work.missing([named]) if destination.resumed else [named]
        pour(reader, view, missing, partial(work.one, view), work.begun)
        destination.commit()
    except (IntegrityError, NotFoundError, UsageError, NoSpaceError):
        destination.abandon()
        raise
    except BaseException:
        destination.suspend()
        raise
    return Restored(1, 1 - len(missing), len(work.shared))


class _Restoring:
    def __init__(self, destination: Destination, inside: str, advance: Advance | None, origin: Origin | None) -> None:
        self._destination = destination
        self.inside = inside
        self._advance = advance
        self._origin = origin
        self.shared: list[Entry] = []

    def missing(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries whose bytes an interrupted attempt did not leave; what it left is read again."""
        return tuple(chain.from_iterable(fan_through(self._absent, in_groups(entries, _LOOKED_AT_ONCE), _LOOKERS)))

    def one(self, view: RunFiles, entry: Entry, chunks: Chunks) -> None:
        """Write one file, or share it and read it all the same; called from many threads."""
        path = self.inside + entry.path
        if self._share(view, entry, path):
            for _ in self._told(entry, chunks):
                pass  # which verifies them; nothing is visible yet
            self.shared.append(entry)
        else:
            self._destination.write(path, self._told(entry, chunks), executable=entry.executable)
        if entry.size <= PIECE:
            self._tell(entry.size)

    def begun(self, entry: Entry) -> Chunks | None:
        """Return what an interrupted attempt left of a large file, in whole pieces; called from many threads."""
        if self._origin is not None or not self._destination.resumed:
            return None
        left = self._destination.begun(self.inside + entry.path, PIECE, (entry.size - 1) // PIECE * PIECE)
        return None if left is None else self._told(entry, left)

    def _absent(self, group: Sequence[Entry]) -> list[Entry]:
        absent: list[Entry] = []
        for entry in group:
            if self._destination.has(self.inside + entry.path, entry):
                self._tell(entry.size)
            else:
                absent.append(entry)
        return absent

    def _share(self, view: RunFiles, entry: Entry, path: str) -> bool:
        origin = None if self._origin is None else self._origin(view.objects[entry.sha256])
        return origin is not None and self._destination.share(path, origin, executable=entry.executable)

    def _told(self, entry: Entry, chunks: Chunks) -> Chunks:
        """Tell of a large file piece by piece: one may be most of a run."""
        return chunks if self._advance is None or entry.size <= PIECE else self._each_told(chunks)

    def _each_told(self, chunks: Chunks) -> Iterator[bytes | memoryview]:
        for chunk in chunks:
            yield chunk
            self._tell(len(chunk))

    def _tell(self, size: int) -> None:
        if self._advance is not None:
            self._advance(size)
