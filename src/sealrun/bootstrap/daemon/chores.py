"""Long work that timers start: it ends soon after the timers do, wherever it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from sealrun.adapters.machine.timers import Schedule, SystemTimers
from sealrun.domain.errors import SealrunError
from sealrun.domain.oversight.board import TimerBoard
from sealrun.services.threads.progress import Works, moved


class _StoppedError(Exception):
    """Raised inside the work; no kind of error that the work itself has an answer to."""


class InterruptedChoreError(SealrunError):
    """The daemon stops, or its settings are reloaded: the work is begun again, and goes on where it was."""


class Chores:
    """`services.daemon.running.Timers` that also stops what its timers started. Work calls `advance` now and then."""

    def __init__(self, timers: SystemTimers, works: Works | None = None) -> None:
        """Add to `timers`; what they do is under way in `works`."""
        self._timers = timers
        self._works = works or Works()
        self._stopping = threading.Event()

    def add(self, name: str, schedule: Schedule, work: Callable[[], None]) -> None:
        """Have `work` done by `schedule`; see `SystemTimers.add`."""

        def guarded() -> None:
            try:
                with self._works.under_way(name):
                    work()
            except _StoppedError as error:
                msg = "interrupted by a stop or a reload"
                raise InterruptedChoreError(msg) from error

        self._timers.add(name, schedule, guarded)

    def advance(self, _size: int = 0) -> None:
        """End the work that calls this, if the timers are closed by now; else it got on."""
        moved()
        if self._stopping.is_set():
            raise _StoppedError

    def start(self) -> None:
        """Begin, with what was missed while nothing ran."""
        self._timers.start()

    def rearm(self) -> None:
        """Compute all due times again: the clock has jumped."""
        self._timers.rearm()

    def describe(self) -> Sequence[TimerBoard]:
        """Say of each when it last ran, when it is due, and what was wrong the last time."""
        return self._timers.describe()

    def close(self) -> None:
        """Fire no more, and stop what runs at its next step. Harmless twice."""
        self._stopping.set()
        self._timers.close()
