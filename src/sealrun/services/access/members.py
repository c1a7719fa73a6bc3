"""Members of packs, read where the refs say: neighbours together, in few large reads."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import BinaryIO, TypeVar

import msgspec

from sealrun.domain.address import Digest, Key
from sealrun.domain.registry.packing import spans
from sealrun.domain.registry.places import PackPlaces
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.entries import DIGEST_BYTES
from sealrun.ports import Store

T = TypeVar("T")

SPAN = 4 << 20
"""Members of one pack that lie together are read in pieces of at most so many bytes; a larger member by itself."""
_GAP = 64 << 10
_FAR = 1 << 62


class Span(msgspec.Struct, frozen=True):
    """Neighbours in one pack: the bytes from `begin` to `end` of `key` hold all of them."""

    key: Key
    begin: int
    end: int
    members: tuple[tuple[Digest, Stored], ...]


def plan_spans(members: Iterable[tuple[Digest, Stored]]) -> list[Span]:
    """Say how members of packs are read: pack by pack, in the order of their places."""
    by_pack: dict[Key, list[tuple[Digest, Stored]]] = {}
    for member in members:
        by_pack.setdefault(member[1].key, []).append(member)
    planned: list[Span] = []
    for key, held in by_pack.items():
        held.sort(key=lambda member: (member[1].offset or 0, member[1].size))
        ranges = [(stored.offset or 0, stored.size) for _, stored in held]
        for first, last in spans(ranges, gap=_GAP, most=SPAN):
            end = max(offset + size for offset, size in ranges[first:last])
            planned.append(Span(key, ranges[first][0], end, tuple(held[first:last])))
    return planned


class PackedSpan(msgspec.Struct, frozen=True):
    """The same, each member as its offset, its size and its digest as bytes."""

    key: Key
    begin: int
    end: int
    members: Sequence[tuple[int, int, bytes]]


def plan_packed(pack: PackPlaces) -> Iterator[PackedSpan]:
    """Say how members of one pack are read, in the order of their places."""
    digests = pack.digests
    each = (digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))
    members = sorted(zip(pack.columns.offsets, pack.sizes, each, strict=True))
    ranges = [(offset, size) for offset, size, _ in members]
    for first, last in spans(ranges, gap=_GAP, most=SPAN):
        end = max(offset + size for offset, size in ranges[first:last])
        yield PackedSpan(pack.key, ranges[first][0], end, members[first:last])


def neighbours(
    held: Sequence[T], range_of: Callable[[T], tuple[int, int]], most: int | None = None
) -> Iterator[Sequence[T]]:
    """Yield what is `held` in one pack, in the order of offsets, in slices that are each read at once.

    A slice is of at most `most` bytes, by default `SPAN`.
    """
    for first, last in spans([range_of(each) for each in held], gap=_GAP, most=most or SPAN):
        yield held[first:last]


def read_span(store: Store, span: Span) -> Iterator[tuple[Digest, Stored, memoryview]]:
    """Read a span at once; yield each member's bytes, unverified, and too few where the pack ends early.

    `NotFoundError` if there is no such pack.
    """
    body = memoryview(store.read(span.key, span.begin, span.end - span.begin))
    for digest, stored in span.members:
        at = (stored.offset or 0) - span.begin
        yield digest, stored, body[at : at + stored.size]


class MemberSources:
    """Members as `ports.Source`. Of what was read last one span is kept: files are packed in order of their paths."""

    def __init__(self, store: Store, expected: Iterable[tuple[Digest, Stored]]) -> None:
        """Read from `store`; what is `expected` to be asked for is read together with its neighbours."""
        self._store = store
        self._spans: dict[Key, list[tuple[int, int]]] = {}
        for span in plan_spans(expected):
            self._spans.setdefault(span.key, []).append((span.begin, span.end))
        self._kept: tuple[Key, int, int] | None = None
        self._body = b""
        self._lock = Lock()

    def source(self, digest: Digest, stored: Stored) -> MemberSource:
        """Return a member; that its bytes are good, whoever reads it finds out."""
        return MemberSource(self, digest, stored)

    def read(self, stored: Stored) -> bytes:
        """Return a member's bytes, unverified."""
        begin = stored.offset or 0
        first, last = self._span(stored.key, begin, begin + stored.size)
        with self._lock:
            if self._kept != (stored.key, first, last):
                self._body = self._store.read(stored.key, first, last - first)
                self._kept = stored.key, first, last
            return self._body[begin - first : begin - first + stored.size]

    def _span(self, key: Key, begin: int, end: int) -> tuple[int, int]:
        known = self._spans.get(key, [])
        at = bisect_right(known, (begin, _FAR)) - 1
        return known[at] if at >= 0 and end <= known[at][1] else (begin, end)


class MemberSource:
    """`ports.Source`: a member of a pack."""

    def __init__(self, members: MemberSources, digest: Digest, stored: Stored) -> None:
        """Read `stored` through `members`."""
        self._members = members
        self._stored = stored
        self.digest = digest
        self.size = stored.size

    def open(self) -> BinaryIO:
        """Open for one sequential read."""
        return io.BytesIO(self._members.read(self._stored))
