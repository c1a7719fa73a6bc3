"""Which contents a run has: its distinct digests, found among a million without an object for each."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Container, ItemsView, Iterable, Iterator, Mapping, Sequence
from copy import copy

from sealrun.domain.address import Digest
from sealrun.domain.runs.entries import DIGEST_BYTES, ROWS, Entries, Entry, columns_of, sizes_of

FEW = 20_000
"""So many are kept as objects, which is quicker, and takes some MiB at most."""

_WORDS = DIGEST_BYTES // 8
_MARK = 8
_TAG = 32
_NUMBER = (1 << _TAG) - 1


class DigestIndex:
    """Finds the numbers of digests that are kept elsewhere, one behind the other.

    A table with open addressing, of which at most two thirds are taken: a digest's number, and four of its bytes, so
    that hardly any other one is ever read again to be compared.
    """

    def __init__(
        self, columns: Iterable[bytes | bytearray], count: int, raw: Callable[[int], bytes | bytearray]
    ) -> None:
        """Index the `count` digests in `columns`; `raw` returns one by its number."""
        self._raw = raw
        self._last = max(8, 1 << (count * 3 // 2).bit_length()) - 1
        self._table = array("Q", (0,)) * (self._last + 1)
        self.repeated = bytearray(count)
        """A one for each digest that was there before."""
        self._fill(columns)

    def find(self, raw: bytes) -> int:
        """Return the number of the first digest with these bytes, or -1."""
        table, last = self._table, self._last
        mark = int.from_bytes(raw[:_MARK], sys.byteorder)
        at, tag = mark & last, mark >> _TAG
        while slot := table[at]:
            if slot >> _TAG == tag and self._raw((slot & _NUMBER) - 1) == raw:
                return (slot & _NUMBER) - 1
            at = (at + 1) & last
        return -1

    def _fill(self, columns: Iterable[bytes | bytearray]) -> None:
        table, last, number = self._table, self._last, 0
        for column in columns:
            words = array("Q")
            words.frombytes(column)
            for row, mark in enumerate(words[::_WORDS]):
                number += 1
                at, tag = mark & last, mark >> _TAG
                while slot := table[at]:
                    if slot >> _TAG == tag and self._is(column, row, (slot & _NUMBER) - 1):
                        self.repeated[number - 1] = 1
                        break
                    at = (at + 1) & last
                else:
                    table[at] = tag << _TAG | number

    def _is(self, column: bytes | bytearray, row: int, number: int) -> bool:
        return column[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES] == self._raw(number)


class Contents(Mapping[Digest, int]):
    """The distinct contents of a run, each with its size in bytes. A content's row is that of its first entry."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Look at `entries`; of many, their columns are kept."""
        self._rows: dict[Digest, int] | None = None
        self._index: DigestIndex | None = None
        self._last: tuple[int, bytes | bytearray] = -1, b""
        self._blocks = entries.blocks if isinstance(entries, Entries) else ()
        self.span = len(entries)
        """Rows are below this number."""
        if isinstance(entries, Entries) and len(entries) > FEW:
            self._index = DigestIndex((block.digests for block in self._blocks), self.span, self._raw)
            self._length = self.span - sum(self._index.repeated)
            return
        self._rows = {}
        for digest in (digest for _, digests in columns_of(entries) for digest in digests):
            self._rows.setdefault(digest, len(self._rows))
        if len(self._rows) < len(entries):
            self._rows.clear()
            for row, digest in enumerate(digest for _, digests in columns_of(entries) for digest in digests):
                self._rows.setdefault(digest, row)
        self._sizes = [size for some in sizes_of(entries) for size in some]
        self._length = len(self._rows)

    def row(self, digest: Digest) -> int:
        """Return the row of a content, or -1 if the run does not have it."""
        if self._rows is not None:
            return self._rows.get(digest, -1)
        return -1 if self._index is None else self._index.find(bytes.fromhex(digest))

    def _raw(self, row: int) -> bytes | bytearray:
        number, at = row // ROWS, row % ROWS * DIGEST_BYTES
        last = self._last
        if last[0] != number:  # mostly asked for in order; one assignment, whatever other threads see
            last = self._last = number, self._blocks[number].digests
        return last[1][at : at + DIGEST_BYTES]

    def __getitem__(self, digest: Digest) -> int:
        row = self.row(digest)
        if row < 0:
            raise KeyError(digest)
        return self._sizes[row] if self._rows is not None else self._blocks[row // ROWS].sizes[row % ROWS]

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and self.row(Digest(digest)) >= 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._rows) if self._rows is not None else (digest for digest, _ in self._pairs())

    def items(self) -> ItemsView[Digest, int]:
        """Return every content with its size."""
        return _Items(self)

    def _pairs(self) -> Iterator[tuple[Digest, int]]:
        if self._rows is not None:
            for digest, row in self._rows.items():
                yield digest, self._sizes[row]
            return
        repeated = b"" if self._index is None else self._index.repeated
        for number, block in enumerate(self._blocks):
            again = repeated[number * ROWS : (number + 1) * ROWS]
            for digest, size, before in zip(block.sums(), block.sizes, again, strict=True):
                if not before:
                    yield digest, size


class _Items(ItemsView[Digest, int]):
    _mapping: Contents

    def __iter__(self) -> Iterator[tuple[Digest, int]]:
        return self._mapping._pairs()  # noqa: SLF001 - the view of this very class


class Rest(Mapping[Digest, int]):
    """The contents of a run without some of them. What is left out is counted once, and never looked at again."""

    def __init__(self, contents: Contents, without: Container[Digest]) -> None:
        """Leave out what is in `without`."""
        self._contents = contents
        self._left = Marked(contents)
        for digest in contents:
            if digest not in without:
                self._left.add(digest)
        self.row, self.span = contents.row, contents.span

    def __len__(self) -> int:
        return self._left.count

    def __iter__(self) -> Iterator[Digest]:
        return (digest for digest in self._contents if digest in self._left)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and Digest(digest) in self._left

    def __getitem__(self, digest: Digest) -> int:
        if digest not in self._left:
            raise KeyError(digest)
        return self._contents[digest]


class Marked:
    """Some of the contents of a run: a byte for each of its files. What the run does not have is never marked."""

    def __init__(self, contents: Mapping[Digest, int]) -> None:
        """Mark none of `contents`."""
        if isinstance(contents, Contents | Rest):
            self._row, span = contents.row, contents.span
        else:
            rows = {digest: row for row, digest in enumerate(contents)}
            self._row, span = (lambda digest: rows.get(digest, -1)), len(rows)
        self._marks = bytearray(span)
        self.count = 0

    def add(self, digest: Digest) -> None:
        """Mark a content. Harmless twice."""
        row = self._row(digest)
        if row >= 0 and not self._marks[row]:
            self._marks[row] = 1
            self.count += 1

    def discard(self, digest: Digest) -> None:
        """Mark a content no more. Harmless twice."""
        row = self._row(digest)
        if row >= 0 and self._marks[row]:
            self._marks[row] = 0
            self.count -= 1

    def positions(self, digests: Iterable[Digest]) -> array[int]:
        """Return the positions, among `digests`, of those that are marked."""
        marks = self._marks
        return array("I", [at for at, row in enumerate(map(self._row, digests)) if row >= 0 and marks[row]])

    def copy(self) -> Marked:
        """Return the same marks, apart."""
        other = copy(self)
        other._marks = bytearray(self._marks)  # noqa: SLF001 - of this very class
        return other

    def __contains__(self, digest: object) -> bool:
        row = self._row(Digest(digest)) if isinstance(digest, str) else -1
        return row >= 0 and self._marks[row] == 1


class Chosen(Iterable[Entry]):
    """The files of a run whose contents are marked or, unless `wanted`, those whose are not. None of them is held."""

    def __init__(self, entries: Iterable[Entry], contents: Contents, marked: Marked, *, wanted: bool = True) -> None:
        """Choose among `entries`, whose `contents` are those of which some are `marked`; nothing is marked later."""
        self._entries = entries
        self._contents = contents
        self._marked = marked
        self._wanted = wanted

    def __iter__(self) -> Iterator[Entry]:
        return (entry for entry in self._entries if (entry.sha256 in self._marked) is self._wanted)

    def __bool__(self) -> bool:
        return self._marked.count > 0 if self._wanted else self._marked.count < len(self._contents)

    @property
    def size(self) -> int:
        """Bytes of their contents, each counted once."""
        return sum(size for digest, size in self._contents.items() if (digest in self._marked) is self._wanted)


NOTHING = Chosen((), Contents(()), Marked({}))
"""No file of no run."""
