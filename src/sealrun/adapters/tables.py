"""The files of a folder in columns: of a million, some sixty bytes each instead of four hundred.

Rows are in order of their paths, as `domain.entries` keeps what becomes of them, and share the paths with those.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from itertools import chain

import msgspec

from sealrun.domain.entries import ROWS, join_paths, split_paths
from sealrun.domain.shelves import Blocks, numbers, pack_columns, unpack_columns
from sealrun.ports import FileFacts

Row = tuple[str, FileFacts]


class FileBlock(msgspec.Struct, frozen=True, gc=False):
    """Up to `ROWS` files: their paths joined by NUL, and a column for each fact. `executable` holds a byte for each."""

    paths: bytes
    inodes: array[int]
    sizes: array[int]
    written: array[int]
    changed: array[int]
    executable: bytes

    @classmethod
    def of(cls, paths: Sequence[str], facts: Sequence[FileFacts]) -> FileBlock:
        """Return files, sorted by their paths, as a block."""
        written = array("q", [found.mtime_ns for found in facts])
        changed = array("q", [found.ctime_ns for found in facts])
        return cls(
            join_paths(paths),
            array("Q", [found.inode for found in facts]),
            array("q", [found.size for found in facts]),
            written,
            written if written == changed else changed,
            bytes([found.executable for found in facts]),
        )

    @property
    def rows_in(self) -> int:
        """How many rows there are."""
        return len(self.sizes)

    def pack(self) -> bytes:
        """Return all columns as bytes."""
        facts = self.inodes.tobytes(), self.sizes.tobytes(), self.written.tobytes()
        changed = b"" if self.changed is self.written else self.changed.tobytes()
        return pack_columns(self.paths, *facts, changed, self.executable)

    @classmethod
    def unpack(cls, body: bytes) -> FileBlock:
        """Return the block of such bytes."""
        paths, inodes, sizes, times, changed, executable = unpack_columns(body, 6)
        written = numbers("q", times)
        others = numbers("q", changed) if changed else written
        return cls(paths, numbers("Q", inodes), numbers("q", sizes), written, others, executable)

    def rows(self) -> Iterator[Row]:
        """Yield the rows."""
        return zip(split_paths(self.paths), self.facts(), strict=True)

    def facts(self) -> Iterator[FileFacts]:
        """Yield the facts of each row."""
        return map(FileFacts, self.inodes, self.sizes, self.written, self.changed, map(bool, self.executable))


class FileTable(Mapping[str, FileFacts]):
    """`ports.Tree.files` in columns, in order of the paths. Never changes, so any number of threads may read it.

    Going through it costs about a microsecond for each file, as does looking for neighbours; for others, a block.
    """

    def __init__(self, blocks: Sequence[FileBlock]) -> None:
        """Hold `blocks`, of which each but the last has `ROWS` rows."""
        self.blocks = blocks if isinstance(blocks, Blocks) else Blocks(blocks)
        self._length = self.blocks.rows
        self._firsts = [block.paths.partition(b"\0")[0].decode("utf-8", "surrogatepass") for block in self.blocks]
        self._unpacked: tuple[int, dict[str, FileFacts]] = (-1, {})

    @classmethod
    def of(cls, files: Mapping[str, FileFacts]) -> FileTable:
        """Return files as a table."""
        if isinstance(files, FileTable):
            return files
        builder = TableBuilder()
        for path, facts in sorted(files.items()):
            builder.add(path, facts)
        return builder.table()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(split_paths(block.paths) for block in self.blocks)

    def __getitem__(self, path: str) -> FileFacts:
        at = bisect_right(self._firsts, path) - 1
        number, rows = self._unpacked
        if number != at:
            rows = dict(self.blocks[at].rows()) if at >= 0 else {}
            self._unpacked = at, rows  # one assignment: another thread sees the old pair or the new one
        return rows[path]

    def items(self) -> ItemsView[str, FileFacts]:
        """Return path and facts of every file."""
        return _Items(self)

    def values(self) -> ValuesView[FileFacts]:
        """Return the facts of every file."""
        return _Values(self)

    def rows(self) -> Iterator[Row]:
        """Yield path and facts of every file."""
        return chain.from_iterable(block.rows() for block in self.blocks)

    def facts(self) -> Iterator[FileFacts]:
        """Yield the facts of every file."""
        return chain.from_iterable(block.facts() for block in self.blocks)

    def pick(self, positions: Iterable[int]) -> Iterator[Row]:
        """Yield the rows at these positions, which ascend."""
        known, paths, block = -1, list[str](), None
        for number in positions:
            at, row = divmod(number, ROWS)
            if block is None or at != known:
                known, block = at, self.blocks[at]
                paths = split_paths(block.paths)
            facts = FileFacts(
                block.inodes[row],
                block.sizes[row],
                block.written[row],
                block.changed[row],
                block.executable[row] == 1,
            )
            yield paths[row], facts


class _Items(ItemsView[str, FileFacts]):
    _mapping: FileTable

    def __iter__(self) -> Iterator[Row]:
        return self._mapping.rows()


class _Values(ValuesView[FileFacts]):
    _mapping: FileTable

    def __iter__(self) -> Iterator[FileFacts]:
        return self._mapping.facts()


class TableBuilder:
    """Makes a table of files that come in order of their paths. Belongs to one thread."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._blocks = Blocks[FileBlock]()
        self._paths: list[str] = []
        self._facts: list[FileFacts] = []

    def add(self, path: str, facts: FileFacts) -> None:
        """Append a file."""
        self._paths.append(path)
        self._facts.append(facts)
        if len(self._paths) == ROWS:
            self._close()

    def table(self) -> FileTable:
        """Return the table of all that came."""
        if self._paths:
            self._close()
        return FileTable(self._blocks)

    def _close(self) -> None:
        self._blocks.add(FileBlock.of(self._paths, self._facts))
        self._paths, self._facts = [], []
