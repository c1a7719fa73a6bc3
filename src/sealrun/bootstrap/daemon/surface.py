"""What a running daemon shows of itself to whatever serves it, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from sealrun.bootstrap.board.composed import DaemonBoard
from sealrun.domain.errors import SealrunError
from sealrun.domain.oversight.alarming import KINDS
from sealrun.domain.oversight.progress import hanging
from sealrun.ports import Clock, Journal
from sealrun.services.daemon.lifecycle import Daemon
from sealrun.services.daemon.running import Parts
from sealrun.services.oversight.alarming import clear_alarm, raise_alarm, standing

_ALARM: Final = "http-unavailable"


class Served(Protocol):
    """Something that serves a surface until the daemon ends. Called from the daemon's main thread."""

    def renew(self) -> None:
        """The settings that were described last are in force now. Raises nothing, and waits a few seconds at most."""
        ...

    def stop(self) -> None:
        """End within a few seconds. Harmless twice."""
        ...


class Surface:
    """Outlives every change of settings. Any thread."""

    def __init__(
        self,
        board: DaemonBoard,
        daemon: Daemon,
        journal: Journal,
        clock: Clock,
        metrics: Callable[[str], tuple[bytes, str]],
    ) -> None:
        """Show `daemon`; `metrics` writes them in the format that an ``Accept`` header asks for."""
        self.board = board
        self.journal = journal
        self.clock = clock
        self.metrics = metrics
        self._daemon = daemon

    @property
    def running(self) -> Parts:
        """The parts that run now."""
        return self._daemon.parts

    def unhealthy(self) -> Sequence[str]:
        """Threads that ended though nobody asked them to, and work that has shown no progress for too long."""
        hung = hanging(self.running.works.seen(), self.clock.monotonic())
        return [*(f"{name} has ended" for name in self._daemon.gone()), *(f"{work.name} hangs" for work in hung)]

    def unready(self) -> Sequence[str]:
        """What the daemon has not begun yet; a registry that is down was tried, and its page says why it is."""
        if not self._daemon.started:
            return ["starting"]
        try:
            self.journal.facts.fact("ready")
        except SealrunError:
            return ["the journal cannot be read; the daemon's log says why"]
        lines = self.running.lines
        waiting = [f"registry {line.registry} was not tried yet" for line in lines if not line.tried]
        return [*self.unhealthy(), *waiting]

    def report(self, place: str, reason: str | None) -> None:
        """Raise the alarm that nobody can listen at `place`, or with None clear it; that of any other place is over."""
        for alarm in standing(self.journal):
            if alarm.kind == _ALARM and alarm.subject != place:
                clear_alarm(self.journal, self.clock, _ALARM, alarm.subject)
        if reason is None:
            clear_alarm(self.journal, self.clock, _ALARM, place)
        else:
            raise_alarm(self.journal, self.clock, _ALARM, place, KINDS[_ALARM].severity, reason)
