"""Every file of a run, verified, on its way to where it is written: few large reads, and few tasks for small files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from itertools import chain
from operator import itemgetter
from threading import BoundedSemaphore, Event

from sealrun.domain.address import Key
from sealrun.domain.errors import DigestMismatchError
from sealrun.domain.grouping import in_groups, in_portions
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.turns import Turns
from sealrun.ports import Capabilities
from sealrun.services.access.members import SPAN, neighbours
from sealrun.services.access.reading import Reader, RunFiles
from sealrun.services.storage.streaming import PIECE, Spare, stream
from sealrun.services.threads.pulling import Job, Shared, StoppedError, work_off

Chunks = Iterable[bytes | memoryview]
Write = Callable[[Entry, Chunks], None]
Begun = Callable[[Entry], Chunks | None]
"""What is there of a file from its beginning, in whole pieces but not all; `write` is then given what follows."""

_WIDTH = 8
_LARGE_AT_ONCE = 3
_FOR_SMALL = 2
_TOGETHER = 64
_FAR_SPAN = 8 << 20
_FAR_SPANS_AT_ONCE = 4
_AT_ONCE = 8_192

_Member = tuple[int, int, Entry]
"""Offset in its pack, size, and what it is."""
_OFFSET = itemgetter(0)
_RANGE = itemgetter(0, 1)


def pour(reader: Reader, view: RunFiles, entries: Sequence[Entry], write: Write, begun: Begun = lambda _: None) -> None:
    """Call ``write(entry, chunks)`` for every entry, from several threads; it takes all chunks before it returns.

    A chunk is valid until the next is taken. `DigestMismatchError` for the first file that is not as sealed: members
    of packs before anything of them is written, others once they are. About 64 MiB are in flight at most. A large file
    that is `begun` is gone on with; if it does not become what was sealed, it is written once more from its beginning.
    """
    poured = _Poured(reader, view, write, begun)

    def is_member(entry: Entry) -> bool:
        return _is_read_with_others(reader.stored(view, entry))

    # Small files may be a million: they are looked for when it is their turn, and none is remembered.
    large = [entry for entry in entries if entry.size > PIECE and not is_member(entry)]
    small = (entry for entry in entries if entry.size <= PIECE and not is_member(entry))
    members = (entry for entry in entries if is_member(entry))
    # A long file that begins last keeps everybody waiting, and what is small fits into any gap.
    large.sort(key=lambda entry: entry.size, reverse=True)
    at_once, ahead, others = _workers(reader.store.capabilities, len(large))
    long = Shared(poured.file(entry, ahead) for entry in large)
    short = Shared(chain(poured.members(members), poured.singles(small)))
    with_long = (chain(long, poured.leaving(ahead), short) for _ in range(at_once))
    work_off([*with_long, *(chain(short, poured.leaving(1)) for _ in range(others))], poured.stop)


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
    def __init__(self, reader: Reader, view: RunFiles, write: Write, begun: Begun) -> None:
        self._reader = reader
        self._store = reader.store
        self._view = view
        self._write = write
        self._begun = begun
        self.stop = Event()
        self._spare = Spare()
        far = not reader.store.capabilities.links
        self._span = _FAR_SPAN if far else None
        # Each span is in memory until its last member is written.
        self._reading = BoundedSemaphore(_FAR_SPANS_AT_ONCE) if far else nullcontext()
        self._turns = Turns()

    def file(self, entry: Entry, ahead: int) -> Job:
        """Return the job of one file that is an object of its own, or a large member of a pack."""

        def job() -> None:
            left = None if self._view.objects[entry.sha256].offset is not None else self._begun(entry)
            if left is not None:
                with suppress(DigestMismatchError):  # what was left may be what a power cut has made of it
                    self._write(entry, self._verified(entry, ahead, left))
                    return
            self._write(entry, self._verified(entry, ahead))

        return job

    def leaving(self, pieces: int) -> Iterator[Job]:
        """Leave the room that the jobs before had to those that go on: nothing to be done."""
        self._spare.give(pieces)
        yield from ()

    def singles(self, small: Iterable[Entry]) -> Iterator[Job]:
        """Yield the jobs of small objects, read some after another: a task for each would cost more than the file."""
        for group in in_portions(small, lambda entry: entry.size, PIECE, _TOGETHER):
            yield lambda group=group: self._files(group)  # type: ignore[misc] # bound now

    def members(self, packed: Iterable[Entry]) -> Iterator[Job]:
        """Yield the jobs of members, pack by pack: neighbours are read together.

        Some thousand at a time, since there may be a million: in order of their paths, as they were packed.
        """
        objects = self._view.objects
        for some in in_groups(packed, _AT_ONCE):
            packs: dict[Key, list[_Member]] = {}
            for entry in some:
                stored = objects[entry.sha256]
                packs.setdefault(stored.key, []).append((stored.offset or 0, stored.size, entry))
            for key, held in packs.items():
                held.sort(key=_OFFSET)
                for together in neighbours(held, _RANGE, self._span):
                    yield lambda key=key, together=together: self._members(key, together)  # type: ignore[misc] # bound now

    def _files(self, group: Sequence[Entry]) -> None:
        size = sum(entry.size for entry in group)
        # From far away an answer takes longer than any lock does.
        with self._turns.turn(len(group), size) if self._store.capabilities.links else nullcontext():
            for entry in group:
                self._write(entry, self._verified(entry, 1))

    def _members(self, key: Key, together: Sequence[_Member]) -> None:
        begin = together[0][0]
        end = max([offset + size for offset, size, _ in together])
        with self._reading:
            self._go_on()
            read = memoryview(self._store.read(key, begin, end - begin))
            with self._turns.turn(len(together), end - begin):
                self._go_on()
                good = ""
                for offset, size, entry in together:
                    body = read[offset - begin : offset - begin + size]
                    if good != entry.sha256:  # files of equal bytes lie side by side here
                        good = hashlib.sha256(body).hexdigest()
                    if good != entry.sha256:
                        raise _mismatch(self._view, entry)
                    self._write(entry, (body,))

    def _go_on(self) -> None:
        """End what has waited for its turn, if somebody has failed meanwhile."""
        if self.stop.is_set():
            raise StoppedError

    def _verified(self, entry: Entry, ahead: int, left: Chunks = ()) -> Iterator[bytes | memoryview]:
        """Yield a file's bytes, or those that follow what is `left` of it; at the end all of them are verified."""
        stored = self._reader.stored(self._view, entry)
        hasher, begin = hashlib.sha256(), 0
        for chunk in left:
            hasher.update(chunk)
            begin += len(chunk)
            self._go_on()
        for chunk in self._bytes_of(stored, ahead, begin):
            hasher.update(chunk)
            yield chunk
            self._go_on()
        if hasher.hexdigest() != entry.sha256:
            raise _mismatch(self._view, entry)

    def _bytes_of(self, stored: Stored, ahead: int, begin: int) -> Iterator[bytes | memoryview]:
        if stored.offset is None:
            return stream(self._store, stored.key, stored.size, ahead, begin, self._spare)
        return iter((self._store.read(Key(stored.key), stored.offset, stored.size),))


def _is_read_with_others(stored: Stored) -> bool:
    return stored.offset is not None and stored.size <= SPAN


def _mismatch(view: RunFiles, entry: Entry) -> DigestMismatchError:
    return DigestMismatchError(
        f"{view.ref}:{entry.path}: stored bytes do not match the seal; find the extent with: sealrun verify {view.ref}"
    )
