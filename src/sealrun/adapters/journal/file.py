"""The SQLite file under the journal's rooms: opened, migrated, shared between threads, its errors translated.

Threads share one connection under a lock, processes share the file through its write-ahead log. A transaction is
durable when it ends (``synchronous = FULL``); a crash inside one leaves nothing of it behind.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sealrun.adapters.journal.schema import APPLICATION_ID, MIGRATIONS, VERSION
from sealrun.domain.errors import (
    ConfigurationError,
    NoSpaceError,
    SealrunError,
    UnavailableError,
    UnsupportedFormatError,
)

_BUSY_S = 30.0
_PAUSE_S = 0.02
_LOG_LIMIT_BYTES = 64 << 20
_PRIMARY_CODE = 0xFF

Row = tuple[Any, ...]


class JournalFile:
    """Transactions and queries on one file. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it and its folder if need be, and bring its tables up to date.

        `UnsupportedFormatError`: damaged, foreign or of a newer version. `ConfigurationError`: the place is no good.
        """
        self.path = path
        self._lock = threading.RLock()
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{path.parent}: the state folder cannot be made ({error.strerror}); check the setting `state`"
            raise ConfigurationError(msg) from error
        with self._translated():
            # Autocommit: transactions begin and end where they are written, nowhere else.
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with self._translated():
                self._configure()
                self._migrate()
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction: durable when the block ends, without a trace if it raises."""
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return the rows of one query."""
        with self._lock, self._translated():
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file. Harmless twice."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def _configure(self) -> None:
        run = self._connection.execute
        run("PRAGMA foreign_keys = ON")
        run("PRAGMA synchronous = FULL")
        if self._number("application_id") not in {0, APPLICATION_ID}:
            raise UnsupportedFormatError(f"{self.path}: a database of another program; {_ADVICE}")
        self._use_write_ahead_log()
        run(f"PRAGMA journal_size_limit = {_LOG_LIMIT_BYTES}")

    def _use_write_ahead_log(self) -> None:
        """Switch the log on, where it is not: once in the life of a file. SQLite does not wait for others here."""
        deadline = time.monotonic() + _BUSY_S
        while self._connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if _primary(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)

    def _migrate(self) -> None:
        if self._number("user_version") == VERSION:
            return
        with self.write() as connection:
            found = self._number("user_version")  # once more: another process may have been faster
            if found > VERSION:
                msg = f"{self.path}: written by a newer sealrun (journal version {found}, this one reads {VERSION})"
                raise UnsupportedFormatError(f"{msg}; upgrade sealrun, or {_ADVICE}")
            if found == 0 and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
                raise UnsupportedFormatError(f"{self.path}: a database of another program; {_ADVICE}")
            for statements in MIGRATIONS[found:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _number(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self._closed:
                raise UnavailableError(f"{self.path}: the journal is closed") from error
            raise _translate(error, self.path) from error


_ADVICE = (
    "stop sealrun and move the file away: a new one is made, which costs hashing the watched folders again "
    "and loses no published data"
)


def _primary(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY_CODE


def _translate(error: sqlite3.Error, path: Path) -> SealrunError:
    match _primary(error):
        case sqlite3.SQLITE_FULL:
            return NoSpaceError(f"{path}: no space left for the journal; make room on the disk of the state folder")
        case sqlite3.SQLITE_READONLY:
            return NoSpaceError(f"{path}: the journal cannot be written ({error}); is the disk mounted read-only?")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return UnsupportedFormatError(f"{path}: the journal is damaged ({error}); {_ADVICE}")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return ConfigurationError(f"{path}: the journal cannot be opened ({error}); check the setting `state`")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return UnavailableError(f"{path}: another process has kept the journal busy for {_BUSY_S:.0f} s; try again")
        case _:
            return UnavailableError(f"{path}: the journal cannot be used ({error}); check the disk of the state folder")
