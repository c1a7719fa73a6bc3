"""What is stored, in columns: some forty bytes for each content, and of a million most of them on a shelf."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Self, TypeVar

from sealrun.domain.address import Digest
from sealrun.domain.runs.entries import DIGEST_BYTES, ROWS, hex_digests
from sealrun.domain.shelves import Shelf, new_shelf, numbers

C = TypeVar("C", bound="DigestColumns")

_NEAR_ROWS = 60_000
_WIDTHS = {code: array(code).itemsize for code in "IqQ"}


class DigestColumns:
    """Digests one behind the other, and columns of numbers that belong to them, in one order or another.

    What they say never changes. Any number of threads may read.
    """

    __slots__ = ("_away", "_count", "_near")

    def __init__(self, digests: bytes, *columns: array[int]) -> None:
        """Take the columns as they are."""
        self._count = len(digests) // DIGEST_BYTES
        self._near: tuple[bytes, tuple[array[int], ...]] | None = (digests, columns)
        self._away: tuple[Shelf, tuple[int, ...], tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def digests(self) -> bytes:
        """Every digest; read anew each time if they are on a shelf."""
        return self._digests(0, self._count)

    def digest(self, row: int) -> bytes:
        """Return one digest."""
        return self._digests(row, row + 1)

    def part(self, begin: int, end: int) -> Self:
        """Return those from one row to before another, in memory."""
        some = (self._numbers(which, begin, end) for which in self._which())
        return type(self)(self._digests(begin, end), *some)

    def picked(self, rows: Sequence[int]) -> Self:
        """Return some of them, by their positions and in that order; in memory."""
        digests = self.digests
        some = b"".join([digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES] for at in rows])
        columns = (self._numbers(which, 0, self._count) for which in self._which())
        return type(self)(some, *(array(column.typecode, [column[at] for at in rows]) for column in columns))

    def in_order(self) -> Self:
        """Return all in order of their digests; on a shelf if these are."""
        digests = self.digests

        def digest(row: int) -> bytes:
            return digests[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]

        ordered = self.picked(array("I", sorted(range(self._count), key=digest)))
        if self._away is not None:
            ordered.put_away(self._away[0])
        return ordered

    def put_away(self, shelf: Shelf) -> None:
        """Keep the columns on `shelf` instead of in memory. Before other threads read. Harmless twice."""
        if self._near is None:
            return
        digests, columns = self._near
        begins = (shelf.append(digests), *(shelf.append(column.tobytes()) for column in columns))
        self._away = shelf, begins, tuple(column.typecode for column in columns)
        self._near = None

    def __eq__(self, other: object) -> bool:
        """Compare what they say."""
        return type(other) is type(self) and self._columns() == other._columns()

    def __hash__(self) -> int:
        return hash(self.digests)

    def __reduce__(self) -> tuple[type[Self], tuple[bytes | array[int], ...]]:
        return type(self), self._columns()

    def _columns(self) -> tuple[bytes | array[int], ...]:
        return self.digests, *(self._numbers(which, 0, self._count) for which in self._which())

    def _blocks(self) -> Iterator[tuple[bytes, list[array[int]]]]:
        for begin in range(0, self._count, ROWS):
            end = min(begin + ROWS, self._count)
            yield self._digests(begin, end), [self._numbers(which, begin, end) for which in self._which()]

    def _which(self) -> range:
        return range(len(self._near[1] if self._near is not None else self._on_shelf()[2]))

    def _digests(self, begin: int, end: int) -> bytes:
        if self._near is not None:
            return self._near[0][begin * DIGEST_BYTES : end * DIGEST_BYTES]
        shelf, begins, _ = self._on_shelf()
        return shelf.read(begins[0] + begin * DIGEST_BYTES, (end - begin) * DIGEST_BYTES)

    def _numbers(self, which: int, begin: int, end: int) -> array[int]:
        if self._near is not None:
            column = self._near[1][which]
            return column if end - begin == self._count else column[begin:end]
        shelf, begins, codes = self._on_shelf()
        width = _WIDTHS[codes[which]]
        return numbers(codes[which], shelf.read(begins[which + 1] + begin * width, (end - begin) * width))

    def _number(self, which: int, row: int) -> int:
        return self._numbers(which, row, row + 1)[0] if self._near is None else self._near[1][which][row]

    def _on_shelf(self) -> tuple[Shelf, tuple[int, ...], tuple[str, ...]]:
        if self._away is None:
            raise AssertionError
        return self._away


class ObjectColumns(DigestColumns):
    """Digests and sizes of what lies in objects of their own."""

    __slots__ = ()

    def __init__(self, digests: bytes, sizes: array[int]) -> None:
        """Take the columns as they are."""
        super().__init__(digests, sizes)

    def size(self, row: int) -> int:
        """Return the size of one."""
        return self._number(0, row)

    def blocks(self) -> Iterator[tuple[bytes, array[int]]]:
        """Yield digests and sizes for some rows at a time."""
        for digests, (sizes,) in self._blocks():
            yield digests, sizes


class PackColumns(DigestColumns):
    """Digests, offsets and sizes of what lies in one pack."""

    __slots__ = ()

    def __init__(self, digests: bytes, offsets: array[int], sizes: array[int]) -> None:
        """Take the columns as they are."""
        super().__init__(digests, offsets, sizes)

    @classmethod
    def of(cls, members: Mapping[Digest, tuple[int, int]]) -> PackColumns | None:
        """Return members, given as digest: (offset, size); None if they say what cannot be true."""
        try:
            digests = bytes.fromhex("".join(members))
            offsets = narrow([offset for offset, _ in members.values()])
            sizes = narrow([size for _, size in members.values()])
        except (ValueError, OverflowError):
            return None
        return cls(digests, offsets, sizes) if hex_digests(digests) == list(members) else None

    @property
    def offsets(self) -> array[int]:
        """Every offset; read anew each time if they are on a shelf."""
        return self._numbers(0, 0, self._count)

    @property
    def sizes(self) -> array[int]:
        """Every size, likewise."""
        return self._numbers(1, 0, self._count)

    def range(self, row: int) -> tuple[int, int]:
        """Return the offset and the size of one."""
        return self._number(0, row), self._number(1, row)

    def among(self, rows: Sequence[int]) -> PackColumns:
        """Return some of them, by their positions; all of them are not copied."""
        return self if len(rows) == self._count else self.picked(rows)

    def as_they_lie(self) -> array[int]:
        """Return all positions, in the order of the offsets."""
        return array("I", sorted(range(self._count), key=self.offsets.__getitem__))

    def blocks(self) -> Iterator[tuple[bytes, array[int], array[int]]]:
        """Yield the same columns for some rows at a time."""
        for digests, (offsets, sizes) in self._blocks():
            yield digests, offsets, sizes


def narrow(numbers: Sequence[int]) -> array[int]:
    """Return numbers in four bytes each, or in eight if there are larger ones."""
    return array("I" if max(numbers, default=0) < 1 << 32 else "Q", numbers)


class Cupboard:
    """Puts away what comes when much came already. Used from many threads."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._lock = Lock()
        self._rows = 0
        self._shelf: Shelf | None = None

    def keep(self, columns: C) -> C:
        """Return the columns, which nobody else reads yet: on a shelf if there is one, and others came before."""
        with self._lock:
            self._rows += len(columns)
            if self._rows > _NEAR_ROWS:
                self._shelf = self._shelf or new_shelf()
                if self._shelf is not None:
                    columns.put_away(self._shelf)
        return columns
