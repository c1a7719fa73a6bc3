"""The index of an experiment: one row per sealed attempt. Derived; every row can be rebuilt from the records."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import ClassVar

from sealrun.domain.address import AttemptId, Digest, RunId
from sealrun.domain.records import Record, json_line
from sealrun.domain.runs.run import Envelope


class Row(Record, frozen=True, kw_only=True):
    """What a listing shows of a run."""

    KIND: ClassVar[str] = "row"
    run_id: RunId
    experiment: str
    attempt: AttemptId
    name: str
    status: str
    finished_at: str
    sealed_at: str
    files: int
    size: int
    tree_digest: Digest
    urn: str
    root_sha256: Digest
    tags: tuple[str, ...] = ()
    supersedes: str | None = None

    @property
    def order(self) -> tuple[str, str, str]:
        """Rows are listed oldest first."""
        return (self.finished_at, self.run_id, self.attempt)

    def line(self) -> bytes:
        """Return the row as a line of ``manifest.jsonl``."""
        return json_line(self.to_json())

    @classmethod
    def of(cls, envelope: Envelope, attempt: AttemptId, root: Digest, sealed_at: str) -> Row:
        """Build the row of a sealed run."""
        return cls(
            run_id=envelope.run_id,
            experiment=envelope.experiment,
            attempt=attempt,
            name=envelope.name,
            status=envelope.status,
            finished_at=envelope.finished_at,
            sealed_at=sealed_at,
            files=envelope.files,
            size=envelope.size,
            tree_digest=envelope.tree_digest,
            urn=envelope.urn,
            root_sha256=root,
            tags=envelope.tags,
            supersedes=envelope.supersedes,
        )


class Dropped(Record, frozen=True, kw_only=True):
    """Lies beside the pending rows: the attempt was retired, so its row is left out, wherever it stands.

    `by` is the state folder that wrote it; who retired the run and why is in the attempt's ``retired.json``.
    """

    KIND: ClassVar[str] = "dropped"
    experiment: str
    run_id: RunId
    attempt: AttemptId
    retired_at: str
    by: str


def merge_rows(base: Iterable[Row], pending: Iterable[Row], dropped: Container[AttemptId] = frozenset()) -> list[Row]:
    """Union by attempt without the `dropped`, oldest first: what the next base holds, and what a reader sees."""
    rows = {row.attempt: row for row in (*base, *pending) if row.attempt not in dropped}
    return sorted(rows.values(), key=lambda row: row.order)


def runs_of(rows: Iterable[Row]) -> list[Row]:
    """One row per run: where a run was sealed by several attempts, the last of them."""
    latest = {row.run_id: row for row in sorted(rows, key=lambda row: row.attempt)}
    return sorted(latest.values(), key=lambda row: row.order)
