"""Pointers: the only mutable names. Each is a dense log of write-once generations; the newest one counts."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from sealrun.domain.address import (
    AttemptId,
    Digest,
    Key,
    RunId,
    name_log,
    parse_artifact_name,
    parse_name,
    pointer_log,
    pointer_projection,
)
from sealrun.domain.records import JsonObject, Record

LATEST = "latest"


class PointerName(msgspec.Struct, frozen=True):
    """Which log is meant, and what the pointer is called in messages."""

    log: str
    label: str
    projection: Key | None = None

    @classmethod
    def of_experiment(cls, experiment: str, name: str) -> PointerName:
        """Name pointer `name` of an experiment, such as ``train@latest``."""
        parse_name(experiment, "experiment")
        parse_name(name, "pointer")
        return cls(pointer_log(experiment, name), f"{experiment}@{name}", pointer_projection(experiment, name))

    @classmethod
    def of_label(cls, label: str) -> PointerName:
        """Name the log that a generation's record speaks of: ``EXPERIMENT@POINTER``, or a published name."""
        experiment, at, name = label.partition("@")
        return cls.of_experiment(experiment, name) if at else cls.of_artifact(label)

    @classmethod
    def of_artifact(cls, name: str) -> PointerName:
        """Name the log of the artifacts published under `name`."""
        return cls(name_log(parse_artifact_name(name)), name)


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
