"""Pointers: the only mutable names. Each is a dense log of write-once generations; the newest one counts."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from sealrun.domain.address import AttemptId, Digest, RunId
from sealrun.domain.records import JsonObject, Record

LATEST = "latest"


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sealed run, or one file of it, that a pointer stands on."""

    experiment: str
    run_id: RunId
    attempt: AttemptId
    root_sha256: Digest
    finished_at: str
    path: str | None = None

    @property
    def order(self) -> tuple[str, str]:
        """What automatic pointers move forward in."""
        return (self.finished_at, self.run_id)


class Generation(Record, frozen=True, kw_only=True):
    """One move of a pointer. `previous_sha256` is the digest of the generation before it (none for the first).

    `evidence`: which checks had passed, and when, where some were required before it moved.
    """

    KIND: ClassVar[str] = "pointer"
    pointer: str
    generation: int
    target: Target
    previous_sha256: Digest | None = None
    moved_at: str
    by: str
    why: str
    nonce: str
    evidence: JsonObject | None = None


def should_advance(current: Target | None, candidate: Target) -> bool:
    """Tell whether an automatic pointer moves: only forward, so late or replayed publishers cannot move it back."""
    return current is None or candidate.order > current.order
