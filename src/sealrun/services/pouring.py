"""Every file of a run, verified, on its way to where it is written: few large reads, and few tasks for small files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from sealrun.domain.address import Digest, Key
from sealrun.domain.errors import DigestMismatchError
from sealrun.domain.manifest import Entry
from sealrun.domain.publication import Stored
from sealrun.services.fanning import fan_through
from sealrun.services.members import SPAN, Span, plan_spans, read_span
from sealrun.services.reading import Reader, RunView
from sealrun.services.streaming import PIECE, stream

Chunks = Iterable[bytes | memoryview]
Write = Callable[[Entry, Chunks], None]

_WIDTH = 8
_LARGE_AT_ONCE = 4
_TOGETHER = 64
_Job = Callable[[], None]


def pour(reader: Reader, view: RunView, entries: Sequence[Entry], write: Write) -> None:
    """Call ``write(entry, chunks)`` for every entry, from several threads; it takes all chunks before it returns.

    A chunk is valid until the next is taken. `DigestMismatchError` for the first file that is not as sealed: members
    of packs before anything of them is written, others once they are. About 64 MiB are in flight at most.
    """
    poured = _Poured(reader, view, write)
    members: dict[Digest, list[Entry]] = {}
    small: list[Entry] = []
    large: list[Entry] = []
    for entry in entries:
        stored = reader.stored(view, entry)
        if stored.offset is not None and stored.size <= SPAN:
            members.setdefault(entry.sha256, []).append(entry)
        else:
            (small if entry.size <= PIECE else large).append(entry)
    width = min(reader.store.capabilities.parallel, _WIDTH)
    at_once = min(width, _LARGE_AT_ONCE, max(len(large), 1))
    ahead = max(1, width // at_once)
    _run((poured.file(entry, ahead) for entry in large), at_once)
    planned = plan_spans((digest, view.objects[digest]) for digest in members)
    _run(poured.jobs(planned, members, small), width)


class _Poured:
    def __init__(self, reader: Reader, view: RunView, write: Write) -> None:
        self._reader = reader
        self._store = reader.store
        self._view = view
        self._write = write

    def jobs(
        self, planned: Iterable[Span], members: dict[Digest, list[Entry]], small: Iterable[Entry]
    ) -> Iterator[_Job]:
        for span in planned:
            yield lambda span=span: self._span(span, members)  # type: ignore[misc] # bound now
        for group in _groups(small):
            yield lambda group=group: self._files(group)  # type: ignore[misc] # bound now

    def file(self, entry: Entry, ahead: int) -> _Job:
        return lambda: self._write(entry, self._verified(entry, ahead))

    def _files(self, group: Iterable[Entry]) -> None:
        for entry in group:
            self._write(entry, self._verified(entry, 1))

    def _span(self, span: Span, members: dict[Digest, list[Entry]]) -> None:
        for digest, _, body in read_span(self._store, span):
            found = hashlib.sha256(body).hexdigest()
            for entry in members[digest]:
                if found != digest:
                    raise _mismatch(self._view, entry)
                self._write(entry, (body,))

    def _verified(self, entry: Entry, ahead: int) -> Iterator[bytes | memoryview]:
        stored = self._reader.stored(self._view, entry)
        hasher = hashlib.sha256()
        for chunk in self._bytes_of(stored, ahead):
            hasher.update(chunk)
            yield chunk
        if hasher.hexdigest() != entry.sha256:
            raise _mismatch(self._view, entry)

    def _bytes_of(self, stored: Stored, ahead: int) -> Iterator[bytes | memoryview]:
        if stored.offset is None:
            return stream(self._store, stored.key, stored.size, ahead)
        return iter((self._store.read(Key(stored.key), stored.offset, stored.size),))


def _run(jobs: Iterable[_Job], width: int) -> None:
    for _ in fan_through(lambda job: job(), jobs, width):
        pass


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


def _mismatch(view: RunView, entry: Entry) -> DigestMismatchError:
    return DigestMismatchError(
        f"{view.ref}:{entry.path}: stored bytes do not match the seal; find the extent with: sealrun verify"
    )
