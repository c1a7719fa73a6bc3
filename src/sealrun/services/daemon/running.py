"""What one set of settings makes of a daemon: the parts that run, and what timers may ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from sealrun.domain.oversight.board import TimerBoard
from sealrun.ports import Journal, Watcher
from sealrun.services.daemon.looking import WatchedIntake
from sealrun.services.delivery.delivering import DeliveryLine
from sealrun.services.threads.looping import SealPool
from sealrun.services.threads.progress import Works


class Timers(Protocol):
    """Work that is due by the clock. See `adapters.machine.timers`."""

    def start(self) -> None:
        """Begin, with what was missed while nothing ran."""
        ...

    def rearm(self) -> None:
        """Compute all due times again: the clock has jumped."""
        ...

    def describe(self) -> Sequence[TimerBoard]:
        """Say of each when it last ran, when it is due, and what was wrong the last time."""
        ...

    def close(self) -> None:
        """Fire no more. Does not wait for what runs. Harmless twice."""
        ...


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a daemon. Settings that are reloaded make others; the journal is shared by all of them.

    `pool` is the one whose ``launch`` the intakes were given. What timers do is in the methods here, so that one line
    registers each. `works` is what all of them are seen working in; other settings' parts share it.
    """

    journal: Journal
    watcher: Watcher
    intakes: Sequence[WatchedIntake]
    lines: Sequence[DeliveryLine]
    pool: SealPool
    timers: Timers | None = None
    works: Works = msgspec.field(default_factory=Works)

    def rescan(self) -> None:
        """Have every watch looked at, hints or not."""
        for intake in self.intakes:
            intake.mark(None)

    def recover(self) -> None:
        """Have every registry searched for wrecked attempts."""
        for line in self.lines:
            line.ask_to_recover()

    def compact(self) -> None:
        """Have every registry's index shortened."""
        for line in self.lines:
            line.ask_to_compact()
