"""The files of a folder in columns: of a million, some sixty bytes each instead of four hundred.

Rows are in order of their paths, as `domain.runs.entries` keeps what becomes of them, and share the paths with those.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from itertools import chain

import msgspec

from sealrun.domain.grouping import in_groups
from sealrun.domain.runs.entries import ROWS, join_paths, split_paths
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
        return cls._in_columns(
            paths,
            [found.inode for found in facts],
            [found.size for found in facts],
            [found.mtime_ns for found in facts],
            [found.ctime_ns for found in facts],
            [found.executable for found in facts],
        )

    @classmethod
    def of_statuses(cls, paths: Sequence[str], statuses: Sequence[os.stat_result]) -> FileBlock:
        """Return the same of what the system says of each file, without an object for each in between."""
        return cls._in_columns(
            paths,
            [status.st_ino for status in statuses],
            [status.st_size for status in statuses],
            [status.st_mtime_ns for status in statuses],
            [status.st_ctime_ns for status in statuses],
            [status.st_mode & stat.S_IXUSR != 0 for status in statuses],
        )

    @classmethod
    def _in_columns(
        cls,
        paths: Sequence[str],
        inodes: list[int],
        sizes: list[int],
        written: list[int],
        changed: list[int],
        executable: list[bool],
    ) -> FileBlock:
        times = array("q", written)
        others = times if written == changed else array("q", changed)
        return cls(join_paths(paths), array("Q", inodes), array("q", sizes), times, others, bytes(executable))

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
        groups = in_groups(sorted(files.items()), ROWS)
        return cls([FileBlock.of([path for path, _ in rows], [facts for _, facts in rows]) for rows in groups])

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
        for block, path, row in self._found(positions):
            executable = block.executable[row] == 1
            times = block.written[row], block.changed[row]
            yield path, FileFacts(block.inodes[row], block.sizes[row], *times, executable)

    def pick_columns(self, numbers: Iterable[int]) -> Iterator[tuple[str, int, int, int, int]]:
        """Yield path, inode, size and both times, written and changed, of these numbers, which ascend."""
        for block, path, row in self._found(numbers):
            yield path, block.inodes[row], block.sizes[row], block.written[row], block.changed[row]

    def _found(self, positions: Iterable[int]) -> Iterator[tuple[FileBlock, str, int]]:
        """Yield the block, the path and the row in the block of each position; they ascend."""
        known, paths, block = -1, list[str](), None
        for number in positions:
            at, row = divmod(number, ROWS)
            if block is None or at != known:
                known, block = at, self.blocks[at]
                paths = split_paths(block.paths)
            yield block, paths[row], row


class _Items(ItemsView[str, FileFacts]):
    _mapping: FileTable

    def __iter__(self) -> Iterator[Row]:
        return self._mapping.rows()


class _Values(ValuesView[FileFacts]):
    _mapping: FileTable

    def __iter__(self) -> Iterator[FileFacts]:
        return self._mapping.facts()


class Listing:
    """Files on their way into blocks, as they are found: in order of their paths. Belongs to one thread."""

    def __init__(self, done: Callable[[FileBlock], object]) -> None:
        """Give each block to `done`, the last one at `close`."""
        self._done = done
        self._paths: list[str] = []
        self._statuses: list[os.stat_result] = []

    def add(self, path: str, status: os.stat_result) -> None:
        """Append a regular file."""
        self._paths.append(path)
        self._statuses.append(status)
        if len(self._paths) == ROWS:
            self.close()

    def close(self) -> None:
        """Make a block of what has come since the last one."""
        if self._paths:
            block = FileBlock.of_statuses(self._paths, self._statuses)
            self._paths.clear()
            self._statuses.clear()
            self._done(block)
