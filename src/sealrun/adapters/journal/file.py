"""The SQLite file under the journal's rooms: opened, migrated, shared between threads, its errors translated.

Threads write through one connection, processes share the file through its write-ahead log. Blocks of several threads
that come at once are committed together: one sync for all of them. A block is durable when it ends (``synchronous =
FULL``) unless it says that it need not last; a crash inside one leaves nothing of it behind. Readers see only what is
committed: where the writers' connection is busy they take another.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
_BLOCKS = 64
"""So many blocks at most share a transaction."""
_PATIENCE_S = 0.05

Row = tuple[Any, ...]


class _Batch:
    """Blocks of several threads in one transaction, and how it ended."""

    def __init__(self) -> None:
        self.blocks = 0
        self._over = threading.Event()
        self._error: SealrunError | None = None

    def settle(self, error: SealrunError | None) -> None:
        """It is committed, or undone because of `error`."""
        self._error = error
        self._over.set()

    def result(self, commit: Callable[[_Batch], None]) -> None:
        """Wait for the end; raise what undid it. Whoever was to commit may have given up: then we do."""
        while not self._over.wait(_PATIENCE_S):
            commit(self)
        if self._error is not None:
            raise self._error


class JournalFile:
    """Transactions and queries on one file. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it and its folder if need be, and bring its tables up to date.

        `UnsupportedFormatError`: damaged, foreign or of a newer version. `ConfigurationError`: the place is no good.
        """
        self.path = path
        self._lock = threading.RLock()
        self._counting, self._coming = threading.Lock(), 0
        self._batch: _Batch | None = None
        self._level = "FULL"
        self._reading = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._closed = False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{path.parent}: the state folder cannot be made ({error.strerror}); check the setting `state`"
            raise ConfigurationError(msg) from error
        with self._translated():
            self._connection = self._connect()
        try:
            with self._translated():
                self._configure()
                self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: transactions begin and end where they are written, nowhere else.
        return sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    @contextmanager
    def write(self, *, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """Run a block: all of it is durable when it ends, or none of it is there if it raises.

        With `lasting` False it is there at once for everybody, but a power cut may undo it as long as no lasting block
        follows: for what costs only work if it is lost.
        """
        with self._translated():
            self._enter()
            batch = None
            try:
                batch = self._begin(lasting=lasting)
                yield self._connection
                self._connection.execute("RELEASE block")
            except BaseException as error:
                self._undo(batch, error)
                raise
            else:
                self._conclude(batch)
            finally:
                self._lock.release()
            batch.result(self._commit_if_open)  # an error here is that of the commit, of ours and of the others' blocks

    def _enter(self) -> None:
        with self._counting:
            self._coming += 1
        try:
            self._lock.acquire()
        finally:
            with self._counting:
                self._coming -= 1

    def _begin(self, *, lasting: bool) -> _Batch:
        """Begin a transaction, or go on with the one that others have left open for us."""
        batch = self._batch
        if batch is None:
            level = "FULL" if lasting or self._coming else "NORMAL"
            if level != self._level:
                self._connection.execute(f"PRAGMA synchronous = {level}")
                self._level = level
            self._connection.execute("BEGIN IMMEDIATE")
            batch = self._batch = _Batch()
        self._connection.execute("SAVEPOINT block")
        return batch

    def _undo(self, batch: _Batch | None, error: BaseException) -> None:
        """Take back what our block did; where that cannot be told from the rest, the rest as well."""
        if batch is not None and self._connection.in_transaction:  # some errors end all of it by themselves
            self._connection.execute("ROLLBACK TO block")
            self._connection.execute("RELEASE block")
            self._conclude(batch)
            return
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._fail(error)

    def _conclude(self, batch: _Batch) -> None:
        """Commit, unless somebody is coming who can do so for us."""
        batch.blocks += 1
        if self._coming == 0 or batch.blocks >= _BLOCKS or self._level == "NORMAL":
            self._commit_if_open(batch)

    def _commit_if_open(self, batch: _Batch) -> None:
        with self._lock:
            if batch is not self._batch:
                return
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._fail(error)
            else:
                self._batch = None
                batch.settle(None)

    def _fail(self, error: BaseException) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            known = error if isinstance(error, sqlite3.Error) else sqlite3.OperationalError(str(error))
            batch.settle(_translate(known, self.path))

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return the rows of one query, of what is committed: a block asks its own connection."""
        with self._translated():
            if self._lock.acquire(blocking=False):
                try:
                    if self._batch is None:
                        return self._connection.execute(statement, values).fetchall()
                finally:
                    self._lock.release()
            with self._reading:
                if self._reader is None:
                    self._reader = self._connect()
                return self._reader.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file. Harmless twice."""
        with self._lock, self._reading:
            if self._batch is not None:
                self._commit_if_open(self._batch)
            self._closed = True
            self._connection.close()
            if self._reader is not None:
                self._reader.close()

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
