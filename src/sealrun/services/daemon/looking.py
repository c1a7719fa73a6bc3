"""One watch of a daemon: its intake, driven by hints, by due looks and by a periodic rescan."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Protocol

from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Clock
from sealrun.services.delivery.pausing import Hold
from sealrun.services.watching.rounds import IntakeReport

_log = logging.getLogger("sealrun.intake")

RESCAN_S = 60.0
_COST_FACTOR = 10.0


class Looking(Protocol):
    """An intake as its loop needs it. See `services.watching.intake.Intake`."""

    watch: WatchSpec

    def mark(self, path: str | None) -> None:
        """Take a hint that `path` changed, or None for "anything may have"."""
        ...

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from any thread, when something becomes due between two looks."""
        ...

    def next_look(self) -> float:
        """When `look` has something to do, in monotonic seconds."""
        ...

    def look(self, now: float) -> IntakeReport:
        """Look at what is due or dirty."""
        ...

    def rescan(self, now: float) -> IntakeReport:
        """Glance at the candidates, and look at what asks for it or has its turn; the first time look at everything."""
        ...


class WatchedIntake:
    """Says when an intake looks. One thread calls `step`; `mark` may come from any.

    The first step rescans: that catches up on whatever happened while nothing ran. `rescan_s` later, or ten times as
    long as a rescan takes, comes the next, whatever the hints said.
    """

    def __init__(self, intake: Looking, clock: Clock, rescan_s: float = RESCAN_S, *, hold: Hold | None = None) -> None:
        """Drive `intake`, unless a pause holds it."""
        self.watch = intake.watch
        self.woken = threading.Event()
        self._intake = intake
        self._clock = clock
        self._rescan_s = rescan_s
        self._hold = hold
        self._next_rescan = -math.inf
        self._missing: str | None = None
        intake.wake_by(self.woken.set)

    @property
    def missing(self) -> str | None:
        """Why the last look could not believe what it saw of the watch's folder; None if it could."""
        return self._missing

    def mark(self, path: str | None) -> None:
        """Take a hint that `path` changed, or None for "anything may have"."""
        self._intake.mark(path)
        self.woken.set()

    def step(self) -> float:
        """Look if anything is due; return how many seconds to wait at most before the next step."""
        if self._hold is not None and (held := self._hold.left_s()) > 0:
            self._next_rescan = -math.inf  # what happens meanwhile is caught up on
            return held
        started = self._clock.monotonic()
        if started >= self._next_rescan:
            report = self._intake.rescan(started)
            now = self._clock.monotonic()
            self._next_rescan = now + max(self._rescan_s, _COST_FACTOR * (now - started))
            self._tell(report)
        elif self._intake.next_look() <= started:
            self._tell(self._intake.look(started))
        due = min(self._intake.next_look(), self._next_rescan) - self._clock.monotonic()
        return max(0.0, due)  # a hint, or a sealing that ends, wakes us

    def _tell(self, report: IntakeReport) -> None:
        name = self.watch.name
        if report.missing != self._missing:
            self._missing = report.missing
            if report.missing is None:
                _log.info("%s: %s is back", name, self.watch.path)
            else:
                _log.warning("%s: %s: %s", name, self.watch.path, report.missing)
        for path in report.settled:
            _log.info("%s: %r settled", name, path)
        for path in (*report.rejected, *report.stale):
            _log.warning("%s: %r is not taken; `sealrun status` says why", name, path)
        for path in report.gone:
            _log.info("%s: %r is gone", name, path)
