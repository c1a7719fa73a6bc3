"""Room of the journal: when things happened first or last, for whoever watches the daemon."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from sealrun.adapters.journal.file import JournalFile


class MomentRoom:
    """`ports.Moments`."""

    def __init__(self, file: JournalFile) -> None:
        """Look into `file`."""
        self._file = file

    def accepted(self, sealed: int) -> float | None:
        """When a run was accepted; see the port."""
        rows = self._file.rows("SELECT accepted FROM sealed_runs WHERE id = ?", (sealed,))
        return float(rows[0][0]) if rows else None

    def oldest_queued(self) -> Mapping[str, float]:
        """By registry, when the oldest run that is queued was accepted; see the port."""
        return self._moments(
            """SELECT registry, min(accepted) FROM deliveries JOIN sealed_runs ON sealed_runs.id = deliveries.sealed
               WHERE state = 'queued' GROUP BY registry"""
        )

    def last_published(self) -> Mapping[str, float]:
        """By registry, when a run was last published; see the port."""
        # From name to name and to the end of each in the index, however many rows there are.
        return self._moments(
            """WITH RECURSIVE names (name) AS (
                 SELECT min(registry) FROM deliveries UNION ALL
                 SELECT (SELECT min(registry) FROM deliveries WHERE registry > name) FROM names WHERE name IS NOT NULL)
               SELECT name, (SELECT max(published_at) FROM deliveries WHERE registry = name) FROM names
               WHERE name IS NOT NULL"""
        )

    def last_sealed(self) -> Mapping[str, float]:
        """By watch, when the newest run that one of its folders was sealed as was accepted; see the port."""
        return self._moments(
            """SELECT watch, accepted FROM sealed_runs JOIN
                 (SELECT watch, max(sealed) AS newest FROM folders WHERE sealed IS NOT NULL GROUP BY watch)
               ON id = newest"""
        )

    def size(self) -> int:
        """Bytes of the file with its write-ahead log; see the port."""
        total = 0
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):  # the log comes and goes
                total += os.stat(f"{self._file.path}{suffix}").st_size  # noqa: PTH116 - the path is a text
        return total

    def _moments(self, statement: str) -> dict[str, float]:
        return {name: float(at) for name, at in self._file.rows(statement) if at is not None}
