"""The files of a run in columns: of a million entries, some seventy bytes each instead of five hundred.

Rows are kept in order of their paths, a thousand to a block: paths joined by NUL, which no path holds, sizes and
digests as numbers and bytes. Going through a block makes its rows anew, in a few calls for all of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from operator import lt
from typing import overload

import msgspec

from sealrun.domain.address import Digest, parse_digest
from sealrun.domain.errors import UnsupportedFormatError, UsageError
from sealrun.domain.grouping import in_groups
from sealrun.domain.shelves import Blocks, numbers, pack_columns, unpack_columns

ROWS = 1024
"""How many rows a block holds; the last one fewer."""
DIGEST_BYTES = 32
_NOT = False


class Entry(msgspec.Struct, frozen=True, order=True, omit_defaults=True, gc=False):
    """One file of a run: its path (relative, ``/``), size in bytes, content, and that it is executable if it is."""

    path: str
    size: int
    sha256: Digest
    executable: bool = False


def join_paths(paths: Iterable[str]) -> bytes:
    """Return paths as one value; what is no UTF-8 stays what it is."""
    return "\0".join(paths).encode("utf-8", "surrogatepass")


def split_paths(joined: bytes) -> list[str]:
    """Return the paths that were joined, of which there is at least one."""
    return joined.decode("utf-8", "surrogatepass").split("\0")


def hex_digests(raw: bytes | bytearray | memoryview) -> list[Digest]:
    """Return digests that stand one behind the other as what they are called."""
    return raw.hex(" ", DIGEST_BYTES).split(" ") if raw else []  # type: ignore[return-value] # Digest is a new type of str


class EntryBlock(msgspec.Struct, frozen=True, gc=False):
    """Up to `ROWS` entries. `executable` holds a byte for each, or is empty where none is."""

    paths: bytes
    sizes: array[int]
    digests: bytes | bytearray
    executable: bytes = b""

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> EntryBlock | None:
        """Return entries as a block, or None if they do not fit into one: what they say cannot be true."""
        try:
            digests = bytes.fromhex("".join([entry.sha256 for entry in entries]))
            sizes = array("q", [entry.size for entry in entries])
        except (ValueError, OverflowError):
            return None
        paths = [entry.path for entry in entries]
        if hex_digests(digests) != [entry.sha256 for entry in entries] or any("\0" in path for path in paths):
            return None
        executable = bytes([entry.executable for entry in entries])
        return cls(join_paths(paths), sizes, digests, executable if any(executable) else b"")

    @property
    def rows_in(self) -> int:
        """How many rows there are."""
        return len(self.sizes)

    def pack(self) -> bytes:
        """Return all columns as bytes."""
        return pack_columns(self.paths, self.sizes.tobytes(), self.digests, self.executable)

    @classmethod
    def unpack(cls, body: bytes) -> EntryBlock:
        """Return the block of such bytes."""
        paths, sizes, digests, executable = unpack_columns(body, 4)
        return cls(paths, numbers("q", sizes), digests, executable)

    def names(self) -> list[str]:
        """Every path, in order."""
        return split_paths(self.paths)

    def sums(self) -> list[Digest]:
        """Every digest, in order of the paths."""
        return hex_digests(self.digests)

    def entries(self) -> Iterator[Entry]:
        """Yield the rows."""
        flags: Iterable[bool] = map(bool, self.executable) if self.executable else repeat(_NOT)
        return map(Entry, self.names(), self.sizes, self.sums(), flags)


class Entries(Sequence[Entry]):
    """Entries as they are given, in columns. Never changes, so any number of threads may read it.

    One by one costs about a microsecond each, in order; by position, or by path where they are sorted, a block.
    """

    __slots__ = ("_blocks", "_firsts", "_length")

    def __init__(self, blocks: Sequence[EntryBlock]) -> None:
        """Hold `blocks`, of which each but the last has `ROWS` rows."""
        self._blocks: Blocks[EntryBlock] = blocks if isinstance(blocks, Blocks) else Blocks(blocks)
        self._length = self._blocks.rows
        self._firsts: list[str] | None = None

    @property
    def blocks(self) -> Sequence[EntryBlock]:
        """The columns."""
        return self._blocks

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        return chain.from_iterable(block.entries() for block in self._blocks)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return tuple(self)[index]
        at = index + self._length if index < 0 else index
        if not 0 <= at < self._length:
            raise IndexError(index)
        block, row = self._blocks[at // ROWS], at % ROWS
        return next(entry for number, entry in enumerate(block.entries()) if number == row)

    def find(self, path: str) -> Entry | None:
        """Return the entry at `path`, of entries in order of their paths, or None."""
        if self._firsts is None:
            self._firsts = [split_paths(block.paths.partition(b"\0")[0])[0] for block in self._blocks]
        at = bisect_right(self._firsts, path) - 1
        if at < 0:
            return None
        return next((entry for entry in self._blocks[at].entries() if entry.path == path), None)

    def __eq__(self, other: object) -> bool:
        """Compare the entries, also with a tuple or a list of them."""
        if isinstance(other, Entries):
            return self._blocks == other._blocks
        if isinstance(other, (tuple, list)):
            return len(other) == self._length and all(map(Entry.__eq__, self, other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment] # as large as a run, and compared only

    def __repr__(self) -> str:
        """Show every entry."""
        return f"Entries({list(self)!r})"

    def __reduce__(self) -> tuple[type[Entries], tuple[tuple[EntryBlock, ...]]]:
        return Entries, (tuple(self._blocks),)


def in_columns(entries: Iterable[Entry]) -> Sequence[Entry]:
    """Return entries in columns, in their order; one after the other where one says what no column holds."""
    if isinstance(entries, Entries):
        return entries
    blocks = Blocks[EntryBlock]()
    rest = in_groups(entries, ROWS)
    for rows in rest:
        block = EntryBlock.of(rows)
        if block is None:
            before = chain.from_iterable(known.entries() for known in blocks)
            return tuple(chain(before, rows, chain.from_iterable(rest)))
        blocks.add(block)
    return Entries(blocks)


def rows_of(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Yield entries some at a time."""
    if isinstance(entries, Entries):
        return (list(block.entries()) for block in entries.blocks)
    return in_groups(entries, ROWS)


def columns_of(entries: Iterable[Entry]) -> Iterator[tuple[list[str], list[Digest]]]:
    """Yield paths and digests, some at a time."""
    if isinstance(entries, Entries):
        return ((block.names(), block.sums()) for block in entries.blocks)
    return (([entry.path for entry in rows], [entry.sha256 for entry in rows]) for rows in in_groups(entries, ROWS))


def sizes_of(entries: Sequence[Entry]) -> Iterator[Sequence[int]]:
    """Yield sizes, as many at a time as `columns_of`."""
    if isinstance(entries, Entries):
        return (block.sizes for block in entries.blocks)
    return ([entry.size for entry in rows] for rows in in_groups(entries, ROWS))


def ascend(entries: Sequence[Entry]) -> bool:
    """Tell whether every path comes after the one before it."""
    last: list[str] = []
    for names, _ in columns_of(entries):
        line = last + names
        if not all(map(lt, line, islice(line, 1, None))):
            return False
        last = names[-1:]
    return True


def add_parents(folders: set[str], paths: Iterable[str]) -> None:
    """Add every folder that a path lies in."""
    last = ""
    for path in paths:
        parent = path.rpartition("/")[0]
        if parent == last:
            continue
        last = parent
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]


def check_digests(entries: Iterable[Entry], where: str) -> None:
    """Raise `UnsupportedFormatError` for a digest that is none."""
    for entry in entries:
        try:
            parse_digest(entry.sha256)
        except UsageError as error:
            msg = f"{where}: {entry.path!r}: {error}"
            raise UnsupportedFormatError(msg) from error
