"""Rooms of the journal: what happened, for people; and small durable facts by key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sealrun.adapters.journal.file import JournalFile
from sealrun.ports import Clock

KEPT_EVENTS = 10_000


class EventRoom:
    """`ports.Events`."""

    def __init__(self, file: JournalFile, clock: Clock, keep: int = KEPT_EVENTS) -> None:
        """Keep the last `keep` events in `file`."""
        self._file = file
        self._clock = clock
        self._keep = keep

    def record(self, kind: str, subject: str, /, **fields: object) -> None:
        """Append an event; see the port."""
        text = json.dumps(fields, sort_keys=True)
        with self._file.write(lasting=False) as connection:
            added = connection.execute(
                "INSERT INTO events (at, kind, subject, fields) VALUES (?, ?, ?, ?)",
                (self._clock.now().timestamp(), kind, _text(subject), text),
            )
            connection.execute("DELETE FROM events WHERE id <= ?", ((added.lastrowid or 0) - self._keep,))

    def recent(self, limit: int = 100, kind: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Newest first; see the port."""
        rows = self._file.rows(
            "SELECT at, kind, subject, fields FROM events WHERE ?1 IS NULL OR kind = ?1 ORDER BY id DESC LIMIT ?2",
            (kind, limit),
        )
        return [{**json.loads(fields), "at": at, "kind": k, "subject": subject} for at, k, subject, fields in rows]

    def after(self, number: int, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """Oldest first; see the port."""
        rows = self._file.rows(
            "SELECT id, at, kind, subject, fields FROM events WHERE id > ? ORDER BY id LIMIT ?", (number, limit)
        )
        return [
            {**json.loads(fields), "id": at_number, "at": at, "kind": kind, "subject": subject}
            for at_number, at, kind, subject, fields in rows
        ]

    def newest(self) -> int:
        """Number of the newest event; see the port."""
        return int(self._file.rows("SELECT coalesce(max(id), 0) FROM events", ())[0][0])


class FactRoom:
    """`ports.Facts`."""

    def __init__(self, file: JournalFile) -> None:
        """Keep facts in `file`."""
        self._file = file

    def fact(self, key: str) -> object:
        """The JSON value under `key`, or None; see the port."""
        rows = self._file.rows("SELECT value FROM facts WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else None

    def set_fact(self, key: str, value: object) -> None:
        """Remember a JSON value; see the port."""
        with self._file.write() as connection:
            connection.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)", (key, json.dumps(value)))

    def facts(self, prefix: str) -> Mapping[str, object]:
        """Every fact whose key begins with `prefix`; see the port."""
        rows = self._file.rows(
            "SELECT key, value FROM facts WHERE key >= ?1 AND substr(key, 1, length(?1)) = ?1 ORDER BY key", (prefix,)
        )
        return {key: json.loads(value) for key, value in rows}

    def drop_fact(self, key: str) -> None:
        """Forget a fact; see the port."""
        with self._file.write() as connection:
            connection.execute("DELETE FROM facts WHERE key = ?", (key,))


def _text(subject: str) -> str:
    """A path that is not UTF-8, as SQLite can hold it."""
    return subject.encode("utf-8", "backslashreplace").decode("utf-8")
