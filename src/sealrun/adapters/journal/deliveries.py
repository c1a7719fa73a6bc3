"""Room of the journal: sealed runs on their way to registries."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from sealrun.adapters.journal.claims import Claims
from sealrun.adapters.journal.file import JournalFile
from sealrun.adapters.journal.folders import write_folder
from sealrun.adapters.journal.sealed_runs import compressed, identity_of, store_run, unpacked
from sealrun.domain.address import AttemptId
from sealrun.domain.errors import NotFoundError
from sealrun.domain.ready import ready
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import Clock, Delivery, DeliveryState, FolderRecord, QueueCount

_COLUMNS = tuple(name for name in Delivery.__struct_fields__ if name != "published")
_SELECT = f"SELECT {', '.join(_COLUMNS)}, published FROM deliveries"  # noqa: S608 - names of our own columns
_PAGE = 50
_KEEP_BODIES_S = 30 * 24 * 3600.0


class DeliveryRoom:
    """`ports.Deliveries`."""

    def __init__(self, file: JournalFile, claims: Claims, clock: Clock) -> None:
        """Keep the queue in `file`."""
        self._file = file
        self._claims = claims
        self._clock = clock

    def accept(self, run: SealedRun, registries: Sequence[str], folder: FolderRecord | None = None) -> int:
        """Queue a sealed run; see the port.

        Parked deliveries of the same bytes are queued again: the folder has them. Parked deliveries of what the folder
        was before are dropped where no registry holds those bytes: nobody has them any more.
        """
        now = self._clock.now().timestamp()
        identity = identity_of(run)
        bodies = compressed(run.run_json), compressed(run.manifest_json)
        with self._file.write() as connection:
            sealed = store_run(connection, identity, run, now, *bodies)
            connection.executemany(
                """INSERT INTO deliveries (sealed, registry, state, tries, due) VALUES (?, ?, 'queued', 0, ?)
                   ON CONFLICT (sealed, registry) DO UPDATE SET state = 'queued', due = excluded.due
                   WHERE state = 'parked'""",
                [(sealed, registry, now) for registry in registries],
            )
            _drop_superseded(connection, sealed, run.folder)
            if folder is not None:
                write_folder(connection, msgspec.structs.replace(folder, sealed=sealed))
        return sealed

    def run(self, sealed: int) -> SealedRun:
        """The sealed run with that id; `NotFoundError` once it was dropped, long after every registry had it."""
        rows = self._file.rows("SELECT folder, run_json, manifest_json FROM sealed_runs WHERE id = ?", (sealed,))
        if not rows or rows[0][1] is None:
            msg = f"{self._file.path}: holds the records of sealed run {sealed} no more; every registry has them"
            raise NotFoundError(msg)
        folder, run_json, manifest_json = rows[0]
        manifest = unpacked(manifest_json, self._manifest_pieces(sealed))
        return SealedRun(folder=folder, run_json=zlib.decompress(run_json), manifest_json=manifest)

    def _manifest_pieces(self, sealed: int) -> Iterator[bytes]:
        number = 0
        query = "SELECT body FROM manifest_pieces WHERE sealed = ? AND number = ?"
        while rows := self._file.rows(query, (sealed, number)):
            yield rows[0][0]
            number += 1

    def claim(self, registry: str, now: float, sealed: int | None = None) -> Delivery | None:
        """Take the next due delivery for this process; see the port. A power cut ends the process, and so the claim."""
        number: int | None = None
        try:
            with self._file.write(lasting=False) as connection:
                # The whole row is read last: most calls find nothing, and claims of others are passed over by number.
                due = connection.execute(
                    """SELECT id, claim FROM deliveries
                       WHERE registry = ?1 AND state = 'queued' AND due <= ?2 AND (?3 IS NULL OR sealed = ?3)
                       ORDER BY due, id""",
                    (registry, now, sealed),
                )
                number = next((found for found, claim in due if self._claims.is_free(found, claim)), None)
                if number is None:
                    return None
                self._claims.take(number)
                connection.execute("UPDATE deliveries SET claim = ? WHERE id = ?", (self._claims.name(), number))
                row = connection.execute(f"{_SELECT} WHERE id = ?", (number,)).fetchone()
        except BaseException:
            if number is not None:
                self._claims.drop(number)
            raise
        return _delivery(row)

    def begin(self, delivery: int, attempt: AttemptId, nonce: str, created_at: str) -> None:
        """Make an attempt's identity durable; see the port."""
        with self._file.write() as connection:
            connection.execute(
                "UPDATE deliveries SET attempt = ?, nonce = ?, attempt_created_at = ? WHERE id = ?",
                (attempt, nonce, created_at, delivery),
            )

    def finish(self, delivery: int, published: Published) -> None:
        """The run is sealed there; see the port."""
        with self._ending(delivery) as connection:
            connection.execute(
                """UPDATE deliveries SET state = 'published', error = NULL, claim = NULL, published = ?,
                     published_at = ? WHERE id = ?""",
                (msgspec.json.encode(published).decode(), self._clock.now().timestamp(), delivery),
            )

    def postpone(self, delivery: int, due: float, error: str, *, new_attempt: bool = False) -> None:
        """Try again at `due`; see the port."""
        with self._ending(delivery) as connection:
            connection.execute(
                "UPDATE deliveries SET tries = tries + 1, due = ?, error = ?, claim = NULL WHERE id = ?",
                (due, _text(error), delivery),
            )
            if new_attempt:
                connection.execute(
                    "UPDATE deliveries SET attempt = NULL, nonce = NULL, attempt_created_at = NULL WHERE id = ?",
                    (delivery,),
                )

    def park(self, delivery: int, error: str) -> None:
        """Give up until released; see the port."""
        with self._ending(delivery) as connection:
            connection.execute(
                "UPDATE deliveries SET state = 'parked', tries = tries + 1, error = ?, claim = NULL WHERE id = ?",
                (_text(error), delivery),
            )

    def release(self, registry: str | None = None) -> int:
        """Queue parked deliveries again and make postponed ones due now; see the port."""
        now = self._clock.now().timestamp()
        with self._file.write() as connection:
            changed = connection.execute(
                """UPDATE deliveries SET state = 'queued', due = ?1
                   WHERE (?2 IS NULL OR registry = ?2) AND (state = 'parked' OR (state = 'queued' AND due > ?1))""",
                (now, registry),
            )
            return changed.rowcount

    def repeat(self, sealed: int, registries: Collection[str]) -> None:
        """Queue again what was published; see the port."""
        now = self._clock.now().timestamp()
        with self._file.write() as connection:
            connection.executemany(
                """UPDATE deliveries SET state = 'queued', tries = 0, due = ?, error = NULL, claim = NULL,
                     attempt = NULL, nonce = NULL, attempt_created_at = NULL
                   WHERE sealed = ? AND registry = ? AND state = 'published'""",
                [(now, sealed, registry) for registry in registries],
            )

    def all(self, *, registry: str | None = None, state: DeliveryState | None = None) -> Sequence[Delivery]:
        """Deliveries, newest first; see the port."""
        rows = self._file.rows(
            f"{_SELECT} WHERE (?1 IS NULL OR registry = ?1) AND (?2 IS NULL OR state = ?2) ORDER BY id DESC",
            (registry, state),
        )
        return [_delivery(row) for row in rows]

    def counts(self) -> Sequence[QueueCount]:
        """What there is in every queue; see the port. Of what is published only the index is read."""
        rows = self._file.rows("SELECT registry, state, count(*) FROM deliveries GROUP BY registry, state")
        return [
            QueueCount(registry=registry, state=state, count=count, size=self._size(registry, state))
            for registry, state, count in rows
        ]

    def _size(self, registry: str, state: DeliveryState) -> int:
        if state == "published":
            return 0
        rows = self._file.rows(
            """SELECT coalesce(sum(size), 0) FROM deliveries JOIN sealed_runs ON sealed_runs.id = deliveries.sealed
               WHERE registry = ? AND state = ?""",
            (registry, state),
        )
        return int(rows[0][0])

    def waiting(self, registry: str, offset: int = 0, limit: int = 100) -> Sequence[Delivery]:
        """Those that are not published; see the port."""
        rows = self._file.rows(
            f"""{_SELECT} WHERE registry = ? AND state IN ('queued', 'parked')
                ORDER BY state = 'parked', due, id LIMIT ? OFFSET ?""",
            (registry, limit, offset),
        )
        return [_delivery(row) for row in rows]

    def last_error(self, registry: str) -> str | None:
        """What went wrong with the newest one that waits; see the port."""
        rows = self._file.rows(
            """SELECT error FROM deliveries WHERE registry = ? AND state IN ('queued', 'parked')
                 AND error IS NOT NULL ORDER BY id DESC LIMIT 1""",
            (registry,),
        )
        return None if not rows else str(rows[0][0])

    def of(self, sealed: int) -> Sequence[Delivery]:
        """The deliveries of one sealed run; see the port."""
        rows = self._file.rows(f"{_SELECT} WHERE sealed = ? ORDER BY registry", (sealed,))
        return [_delivery(row) for row in rows]

    def queued_of(self, sealed: Collection[int]) -> Collection[int]:
        """Those of some sealed runs that a registry has yet to get; see the port."""
        rows = self._file.rows(
            """SELECT DISTINCT sealed FROM deliveries
               WHERE sealed IN (SELECT value FROM json_each(?)) AND state = 'queued'""",
            (msgspec.json.encode([*sealed]).decode(),),
        )
        return {int(number) for (number,) in rows}

    def next_due(self, registry: str) -> float | None:
        """When the next unclaimed delivery of a registry is due; see the port."""
        passed = 0
        while True:
            # A few at a time: the queue may be long, and hardly any of its deliveries is claimed.
            rows = self._file.rows(
                """SELECT due, id, claim FROM deliveries WHERE registry = ? AND state = 'queued'
                   ORDER BY due, id LIMIT ? OFFSET ?""",
                (registry, _PAGE, passed),
            )
            for due, number, claim in rows:
                if self._claims.is_free(number, claim):
                    return float(due)
            if len(rows) < _PAGE:
                return None
            passed += _PAGE

    def prune(self) -> int:
        """Drop the records of runs that every registry has had for a month; return how many."""
        before = self._clock.now().timestamp() - _KEEP_BODIES_S
        with self._file.write() as connection:
            changed = connection.execute(
                """UPDATE sealed_runs SET run_json = NULL, manifest_json = NULL
                   WHERE accepted < ? AND run_json IS NOT NULL AND NOT EXISTS (
                     SELECT 1 FROM deliveries WHERE sealed = sealed_runs.id AND state <> 'published')""",
                (before,),
            )
            connection.execute(
                "DELETE FROM manifest_pieces WHERE sealed IN (SELECT id FROM sealed_runs WHERE run_json IS NULL)"
            )
            return changed.rowcount

    @contextmanager
    def _ending(self, delivery: int) -> Iterator[sqlite3.Connection]:
        """End a claim, even if the journal cannot be told (its disk is full): the delivery can be claimed again."""
        over = False
        try:
            with self._file.write() as connection:
                yield connection
                # Before anybody can see that it is free: whoever claims it next must not lose it to us.
                self._claims.drop(delivery)
                over = True
        finally:
            if not over:
                self._claims.drop(delivery)


def _drop_superseded(connection: sqlite3.Connection, sealed: int, folder: str) -> None:
    connection.execute(
        """DELETE FROM deliveries WHERE state = 'parked'
             AND sealed IN (SELECT id FROM sealed_runs WHERE folder = ?1 AND id <> ?2)
             AND NOT EXISTS (SELECT 1 FROM deliveries AS there
                             WHERE there.sealed = deliveries.sealed AND there.state = 'published')""",
        (folder, sealed),
    )


def _delivery(row: Sequence[object]) -> Delivery:
    *values, published = row
    fields = dict(zip(_COLUMNS, values, strict=True))
    if isinstance(published, str):
        fields["published"] = msgspec.json.decode(published)
    return msgspec.convert(fields, ready(Delivery))


def _text(error: str) -> str:
    """A message that names a path which is not UTF-8, as SQLite can hold it."""
    return error.encode("utf-8", "backslashreplace").decode("utf-8")
