"""Blocks of columns that wait on a disk where there are too many for memory: of a million files, a few at a time.

Nothing here opens a file. A process that has a place for such bytes says so once, when it is put together; without one
they stay in memory, and everything works the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol, Self, TypeVar, overload

_NEAR = 32
"""So many blocks stay in memory in any case."""
_NEAR_BYTES = 4 << 20
"""So many bytes of a long value stay there."""


class Shelf(Protocol):
    """Bytes out of the way, for as long as somebody holds it. Any number of threads may read at once."""

    def append(self, body: bytes) -> int:
        """Keep bytes behind those that are there; return where they begin. One thread at a time."""
        ...

    def read(self, begin: int, size: int) -> bytes:
        """Return bytes that were kept."""
        ...


class Block(Protocol):
    """A few rows in columns, as one value and back."""

    @property
    def rows_in(self) -> int:
        """How many rows it has."""
        ...

    def pack(self) -> bytes:
        """Return all columns as bytes."""
        ...

    @classmethod
    def unpack(cls, body: bytes) -> Self:
        """Return the block of such bytes."""
        ...


B = TypeVar("B", bound=Block)


class _Place:
    """Where this process makes its shelves."""

    make: Callable[[], Shelf] | None = None


def use_shelves(make: Callable[[], Shelf] | None) -> None:
    """From now on keep what is too long on shelves that `make` makes; None: in memory."""
    _Place.make = make


def new_shelf() -> Shelf | None:
    """Return a shelf, or None where this process has no place for one."""
    return None if _Place.make is None else _Place.make()


class Blocks(Sequence[B]):
    """Blocks in their order, all but the first few on a shelf if there is one.

    The one that was read last is kept, since most are gone through in order. Once all were added any number of threads
    may read.
    """

    def __init__(self, blocks: Iterable[B] = ()) -> None:
        """Hold `blocks`."""
        self._near: list[B] = []
        self._shelf: Shelf | None = None
        self._kind: type[B] | None = None
        self._begins, self._sizes = array("Q"), array("Q")
        self._last: tuple[int, B] | None = None
        self.rows = 0
        """How many rows all of them have."""
        for block in blocks:
            self.add(block)

    def add(self, block: B) -> None:
        """Append a block."""
        self.rows += block.rows_in
        if self._shelf is None and len(self._near) == _NEAR:
            self._shelf = new_shelf()
        if self._shelf is None:
            self._near.append(block)
            return
        body = block.pack()
        self._kind = type(block)
        self._begins.append(self._shelf.append(body))
        self._sizes.append(len(body))

    def __len__(self) -> int:
        return len(self._near) + len(self._begins)

    @overload
    def __getitem__(self, index: int) -> B: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[B]: ...

    def __getitem__(self, index: int | slice) -> B | Sequence[B]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        if 0 <= index < len(self._near):
            return self._near[index]
        return self._far(range(len(self))[index] - len(self._near)) if self._begins else self._near[index]

    def __iter__(self) -> Iterator[B]:
        return chain(self._near, map(self._far, range(len(self._begins))))

    def __eq__(self, other: object) -> bool:
        """Compare the blocks."""
        if not isinstance(other, Blocks):
            return NotImplemented
        return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash((len(self), self.rows))

    def __reduce__(self) -> tuple[type[Blocks[B]], tuple[tuple[B, ...]]]:
        return Blocks, (tuple(self),)

    def _far(self, number: int) -> B:
        last = self._last
        if last is not None and last[0] == number:
            return last[1]
        if self._shelf is None or self._kind is None:
            raise IndexError(number)
        block = self._kind.unpack(self._shelf.read(self._begins[number], self._sizes[number]))
        self._last = number, block  # one assignment: another thread sees the old pair or the new one
        return block


class Pile:
    """Pieces of a long value one after the other, all but the first few on a shelf if there is one."""

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        """Hold `pieces`."""
        self._near: list[bytes] = []
        self._shelf: Shelf | None = None
        self._sizes = array("Q")
        self.size = 0
        """How many bytes they are."""
        for piece in pieces:
            self.add(piece)

    def add(self, piece: bytes) -> None:
        """Append a piece."""
        if self._shelf is None and self.size + len(piece) > _NEAR_BYTES:
            self._shelf = new_shelf()
        self.size += len(piece)
        if self._shelf is None:
            self._near.append(piece)
            return
        self._shelf.append(piece)
        self._sizes.append(len(piece))

    def __iter__(self) -> Iterator[bytes]:
        yield from self._near
        begin = 0
        for size in self._sizes:
            if self._shelf is not None:
                yield self._shelf.read(begin, size)
            begin += size


def pack_columns(*columns: bytes | bytearray) -> bytes:
    """Return columns as one value."""
    return b"".join((array("Q", map(len, columns)).tobytes(), *columns))


def unpack_columns(body: bytes, count: int) -> list[bytes]:
    """Return the `count` columns of such a value."""
    begin = 8 * count
    found: list[bytes] = []
    for size in array("Q", body[:begin]):
        found.append(body[begin : begin + size])
        begin += size
    return found


def numbers(code: str, column: bytes) -> array[int]:
    """Return a column of numbers."""
    found: array[int] = array(code)
    found.frombytes(column)
    return found
