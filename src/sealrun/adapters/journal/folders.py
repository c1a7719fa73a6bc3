"""Room of the journal: what intake knows of each candidate."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence

import msgspec

from sealrun.adapters.journal.file import JournalFile
from sealrun.domain.ready import ready
from sealrun.ports import FolderRecord, FolderState

_COLUMNS = FolderRecord.__struct_fields__
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM folders"  # noqa: S608 - names of our own columns
_INSERT = f"INSERT OR REPLACE INTO folders ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - names of our own columns


class FolderRoom:
    """`ports.Folders`."""

    def __init__(self, file: JournalFile) -> None:
        """Keep records in `file`."""
        self._file = file

    def get(self, watch: str, path: str) -> FolderRecord | None:
        """What is known of a candidate; see the port."""
        rows = self._file.rows(f"{_SELECT} WHERE watch = ? AND path = ?", (watch, path))
        return _record(rows[0]) if rows else None

    def set(self, record: FolderRecord) -> None:
        """Remember; see the port. After a power cut a folder that was settling settles again."""
        with self._file.write(lasting=record.state != "settling") as connection:
            write_folder(connection, record)

    def all(self, watch: str | None = None) -> Sequence[FolderRecord]:
        """Everything known, by watch and path; see the port."""
        if watch is None:
            rows = self._file.rows(f"{_SELECT} ORDER BY watch, path")
        else:
            rows = self._file.rows(f"{_SELECT} WHERE watch = ? ORDER BY path", (watch,))
        return [_record(row) for row in rows]

    def counts(self, watch: str) -> Mapping[str, int]:
        """How many are in which state; see the port. Reads the index only."""
        rows = self._file.rows("SELECT state, count(*) FROM folders WHERE watch = ? GROUP BY state", (watch,))
        return dict(rows)

    def page(
        self, watch: str, states: Collection[FolderState], offset: int = 0, limit: int | None = None
    ) -> Sequence[FolderRecord]:
        """Some of those in one of these states; see the port."""
        marks = ", ".join("?" * len(states))
        rows = self._file.rows(
            f"{_SELECT} WHERE watch = ? AND state IN ({marks}) ORDER BY since DESC, path LIMIT ? OFFSET ?",
            (watch, *sorted(states), -1 if limit is None else limit, offset),
        )
        return [_record(row) for row in rows]


def write_folder(connection: sqlite3.Connection, record: FolderRecord) -> None:
    """Write a record inside a transaction that is somebody else's."""
    connection.execute(_INSERT, msgspec.structs.astuple(record))


def _record(row: Sequence[object]) -> FolderRecord:
    return msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), ready(FolderRecord))
