"""Every file of a run, verified, on its way to where it is written: few large reads, and few tasks for small files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from threading import Event

from sealrun.domain.address import Key
from sealrun.domain.errors import DigestMismatchError
from sealrun.domain.manifest import Entry
from sealrun.domain.publication import Stored
from sealrun.ports import Capabilities
from sealrun.services.members import SPAN, neighbours
from sealrun.services.pulling import Job, Shared, StoppedError, work_off
from sealrun.services.reading import Reader, RunFiles
from sealrun.services.streaming import PIECE, stream

Chunks = Iterable[bytes | memoryview]
Write = Callable[[Entry, Chunks], None]

_WIDTH = 8
_LARGE_AT_ONCE = 3
_FOR_SMALL = 2
_TOGETHER = 64


def pour(reader: Reader, view: RunFiles, entries: Sequence[Entry], write: Write) -> None:
    """Call ``write(entry, chunks)`` for every entry, from several threads; it takes all chunks before it returns.

    A chunk is valid until the next is taken. `DigestMismatchError` for the first file that is not as sealed: members
    of packs before anything of them is written, others once they are. About 64 MiB are in flight at most.
    """
    poured = _Poured(reader, view, write)
    members: list[Entry] = []
    small: list[Entry] = []
    large: list[Entry] = []
    for entry in entries:
        stored = reader.stored(view, entry)
        if stored.offset is not None and stored.size <= SPAN:
            members.append(entry)
        else:
            (small if entry.size <= PIECE else large).append(entry)
    # A long file that begins last keeps everybody waiting, and what is small fits into any gap.
    large.sort(key=lambda entry: entry.size, reverse=True)
    at_once, ahead, others = _workers(reader.store.capabilities, len(large))
    long = Shared(poured.file(entry, ahead) for entry in large)
    short = Shared(chain(poured.members(members), poured.singles(small)))
    work_off([*(chain(long, short) for _ in range(at_once)), *(iter(short) for _ in range(others))], poured.stop)


def _workers(store: Capabilities, large: int) -> tuple[int, int, int]:
    """Say how many workers begin with large files, how many pieces of each they fetch ahead, and how many others help.

    Far away each piece under way takes room twice while it arrives, and all of them together are bounded.
    """
    width = min(store.parallel, _WIDTH)
    if store.links:
        at_once = min(width, large)
        return at_once, 1, width - at_once
    at_once = min(width, _LARGE_AT_ONCE, large)
    ahead = max(1, (width - _FOR_SMALL) // max(at_once, 1))
    return at_once, ahead, max(width - at_once * ahead, 0 if at_once else 1)


class _Poured:
    def __init__(self, reader: Reader, view: RunFiles, write: Write) -> None:
        self._reader = reader
        self._store = reader.store
        self._view = view
        self._write = write
        self.stop = Event()

    def file(self, entry: Entry, ahead: int) -> Job:
        """Return the job of one file that is an object of its own, or a large member of a pack."""
        return lambda: self._write(entry, self._verified(entry, ahead))

    def singles(self, small: Iterable[Entry]) -> Iterator[Job]:
        """Yield the jobs of small objects."""
        for group in _groups(small):
            yield lambda group=group: self._files(group)  # type: ignore[misc] # bound now

    def members(self, packed: Iterable[Entry]) -> Iterator[Job]:
        """Yield the jobs of members, pack by pack: neighbours are read together."""
        objects = self._view.objects
        packs: dict[Key, list[Entry]] = {}
        for entry in packed:
            packs.setdefault(objects[entry.sha256].key, []).append(entry)
        for key, held in packs.items():
            held.sort(key=lambda entry: objects[entry.sha256].offset or 0)
            for together in neighbours(held, lambda entry: _range(objects[entry.sha256])):
                yield lambda key=key, together=together: self._members(key, together)  # type: ignore[misc] # bound now

    def _files(self, group: Iterable[Entry]) -> None:
        for entry in group:
            self._write(entry, self._verified(entry, 1))

    def _members(self, key: Key, together: Sequence[Entry]) -> None:
        objects = self._view.objects
        begin = objects[together[0].sha256].offset or 0
        end = max(sum(_range(objects[entry.sha256])) for entry in together)
        read = memoryview(self._store.read(key, begin, end - begin))
        good = ""
        for entry in together:
            offset, size = _range(objects[entry.sha256])
            body = read[offset - begin : offset - begin + size]
            if good != entry.sha256:  # files of equal bytes lie side by side here
                good = hashlib.sha256(body).hexdigest()
            if good != entry.sha256:
                raise _mismatch(self._view, entry)
            self._write(entry, (body,))

    def _verified(self, entry: Entry, ahead: int) -> Iterator[bytes | memoryview]:
        stored = self._reader.stored(self._view, entry)
        hasher = hashlib.sha256()
        for chunk in self._bytes_of(stored, ahead):
            hasher.update(chunk)
            yield chunk
            if self.stop.is_set():
                raise StoppedError
        if hasher.hexdigest() != entry.sha256:
            raise _mismatch(self._view, entry)

    def _bytes_of(self, stored: Stored, ahead: int) -> Iterator[bytes | memoryview]:
        if stored.offset is None:
            return stream(self._store, stored.key, stored.size, ahead)
        return iter((self._store.read(Key(stored.key), stored.offset, stored.size),))


def _range(stored: Stored) -> tuple[int, int]:
    return stored.offset or 0, stored.size


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Small files whose objects are read one after another: a task for each would cost more than the file."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        group.append(entry)
        size += entry.size
        if len(group) == _TOGETHER or size >= PIECE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _mismatch(view: RunFiles, entry: Entry) -> DigestMismatchError:
    return DigestMismatchError(
        f"{view.ref}:{entry.path}: stored bytes do not match the seal; find the extent with: sealrun verify"
    )
