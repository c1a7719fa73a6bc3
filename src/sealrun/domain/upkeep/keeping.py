"""Reasons to keep a run that people give, and damage that was found: records beside the runs they speak of."""

from __future__ import annotations

from typing import ClassVar

from sealrun.domain.address import AttemptId, Key, RunId
from sealrun.domain.records import Record


class Pin(Record, frozen=True, kw_only=True):
    """Keeps a run from being retired by a policy, until it expires or is lifted.

    A `hold` never expires, and only a command that says so lifts it. `pin` is shaped like an attempt id.
    """

    KIND: ClassVar[str] = "pin"
    pin: AttemptId
    experiment: str
    run_id: RunId
    hold: bool
    why: str
    by: str
    pinned_at: str
    expires_at: str | None = None

    def counts(self, now: str) -> bool:
        """Tell whether it still counts at `now` (UTC, ISO 8601 with a final ``Z``), if nobody lifted it."""
        return self.hold or self.expires_at is None or now < self.expires_at


class Lifted(Record, frozen=True, kw_only=True):
    """Ends a pin or a hold."""

    KIND: ClassVar[str] = "lifted"
    pin: AttemptId
    lifted_at: str
    by: str
    why: str


class Quarantined(Record, frozen=True, kw_only=True):
    """An object whose bytes are missing or wrong: no publisher references it again, and no collector deletes it."""

    KIND: ClassVar[str] = "quarantined"
    key: Key
    ref: str
    path: str
    found_at: str
    by: str
    detail: str
