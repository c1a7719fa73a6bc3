"""Distinct digests in their order: of a million, 32 bytes each on a shelf, or in memory where there is none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from typing import overload

from sealrun.domain.address import Digest
from sealrun.domain.runs.contents import FEW
from sealrun.domain.runs.entries import DIGEST_BYTES, ROWS, hex_digests
from sealrun.domain.shelves import Shelf, new_shelf

_HEAPS = 256
_HEAP_NEAR = 128 * DIGEST_BYTES
"""So much of each heap waits in memory until it goes to the shelf: a MiB of all."""


class SortedDigests(Sequence[Digest]):
    """Distinct digests in their order, found by halves. Never changes; any number of threads may read."""

    def __init__(self, heaps: Iterable[bytes], shelf: Shelf | None = None) -> None:
        """Keep digests on `shelf` that stand one behind the other, in order, in a heap for each first byte."""
        self._shelf = shelf
        self._near: list[bytes] = []
        self._begin = -1
        counts: list[int] = []
        for heap in heaps:
            counts.append(len(heap) // DIGEST_BYTES)
            if shelf is None:
                self._near.append(heap)
            else:
                begin = shelf.append(heap)
                self._begin = begin if self._begin < 0 else self._begin
        self._starts = list(accumulate(counts, initial=0))

    @classmethod
    def of(cls, digests: Iterable[Digest]) -> SortedDigests:
        """Sort digests, heap by heap; repeated ones count once."""
        shelf = new_shelf()
        heaps = [_Heap(shelf) for _ in range(_HEAPS)]
        for digest in digests:
            raw = bytes.fromhex(digest)
            heaps[raw[0]].add(raw)
        return cls((heap.ordered() for heap in heaps), new_shelf())

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[Digest]:
        if self._shelf is None:
            for heap in self._near:
                yield from hex_digests(heap)
            return
        for first in range(0, len(self), ROWS):
            rows = min(ROWS, len(self) - first)
            yield from hex_digests(self._shelf.read(self._begin + first * DIGEST_BYTES, rows * DIGEST_BYTES))

    @overload
    def __getitem__(self, index: int) -> Digest: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Digest]: ...

    def __getitem__(self, index: int | slice) -> Digest | Sequence[Digest]:
        return tuple(self)[index]

    def __contains__(self, digest: object) -> bool:
        if not isinstance(digest, str):
            return False
        wanted = bytes.fromhex(digest)
        low, high = self._starts[wanted[0]], self._starts[wanted[0] + 1]
        while low < high:
            middle = (low + high) // 2
            found = self._raw(wanted[0], middle)
            if found == wanted:
                return True
            low, high = (middle + 1, high) if found < wanted else (low, middle)
        return False

    def _raw(self, heap: int, number: int) -> bytes:
        if self._shelf is not None:
            return self._shelf.read(self._begin + number * DIGEST_BYTES, DIGEST_BYTES)
        at = (number - self._starts[heap]) * DIGEST_BYTES
        return self._near[heap][at : at + DIGEST_BYTES]

    def __eq__(self, other: object) -> bool:
        """Compare the digests, also with a tuple or a list of them."""
        if not isinstance(other, (SortedDigests, tuple, list)) or len(self) != len(other):
            return False
        return all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self._starts))


class _Heap:
    """Digests with one first byte, in no order yet: all but the last few on a shelf if there is one."""

    def __init__(self, shelf: Shelf | None) -> None:
        self._shelf = shelf
        self._near = bytearray()
        self._far: list[tuple[int, int]] = []

    def add(self, raw: bytes) -> None:
        self._near += raw
        if self._shelf is not None and len(self._near) >= _HEAP_NEAR:
            self._far.append((self._shelf.append(bytes(self._near)), len(self._near)))
            self._near.clear()

    def ordered(self) -> bytes:
        """Return each once, in order."""
        far = (self._shelf.read(*part) for part in self._far) if self._shelf is not None else ()
        heap = b"".join((*far, self._near))
        self._near.clear()
        return b"".join(sorted({heap[at : at + DIGEST_BYTES] for at in range(0, len(heap), DIGEST_BYTES)}))


def sorted_digests(digests: Iterable[Digest]) -> Sequence[Digest]:
    """Return distinct digests in their order; many of them in one value."""
    kept = list(islice(digests := iter(digests), FEW))
    if len(kept) < FEW:
        return tuple(sorted(kept))
    return SortedDigests.of(chain(kept, digests))


def to_look_in(digests: Sequence[Digest]) -> Collection[Digest]:
    """Return digests as what is quick to look in."""
    return digests if isinstance(digests, SortedDigests) else frozenset(digests)
