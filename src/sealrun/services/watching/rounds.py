"""What one round of an intake did."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class IntakeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did. `missing`: why the watch root cannot be believed (None: it can)."""

    looked: int = 0
    settled: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    missing: str | None = None


class Round(msgspec.Struct):
    """What one round has done so far."""

    looked: int = 0
    settled: list[str] = msgspec.field(default_factory=list)
    rejected: list[str] = msgspec.field(default_factory=list)
    stale: list[str] = msgspec.field(default_factory=list)
    waiting: list[str] = msgspec.field(default_factory=list)

    def report(self, gone: Iterable[str] = ()) -> IntakeReport:
        """Close the round."""
        return IntakeReport(
            looked=self.looked,
            settled=tuple(self.settled),
            rejected=tuple(self.rejected),
            stale=tuple(self.stale),
            waiting=tuple(self.waiting),
            gone=tuple(gone),
        )
