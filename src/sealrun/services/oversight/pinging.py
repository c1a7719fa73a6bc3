"""Say again and again that all is well, so that silence is an alarm elsewhere: a dead man's switch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from sealrun.domain.oversight.alarming import advice, matters
from sealrun.domain.oversight.board import Alarm, Severity
from sealrun.domain.oversight.notifying import next_try, one_line
from sealrun.domain.ready import ready
from sealrun.ports import Clock, Journal
from sealrun.services.oversight.alarming import standing

_LATE_S = 600.0


class PingTarget(msgspec.Struct, frozen=True):
    """Whom to tell how it is: `send` is told whether all is well, and what is not; None: it was taken.

    `severity`: only alarms that are at least so bad count.
    """

    name: str
    interval_s: float
    send: Callable[[bool, str], str | None]
    severity: Severity | None = None


class Pinged(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a target was told last, how it was then, and what was in the way since."""

    at: float = 0.0
    well: bool = True
    tries: int = 0
    next_at: float = 0.0
    problem: str | None = None


class Pinger:
    """Pings in the name of one journal. One for each daemon: it begins to judge the alarms' age with its own start."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        """Begin now."""
        self._journal = journal
        self._clock = clock
        self._started = clock.now().timestamp()

    def round(self, targets: Sequence[PingTarget], advance: Callable[[int], object] | None = None) -> None:
        """Ping whom it is time for: every `interval_s`, at once when how it is changes, later where it failed."""
        for target in targets:
            well, text = self._how_it_is(target)
            known, now = self.known(target), self._clock.now().timestamp()
            last = Pinged(well=not well) if known is None else known
            due = last.at + target.interval_s
            if last.well != well and not last.tries:
                due = now
            if now < due and not last.tries and last.at <= now:
                continue
            if last.next_at > now:
                continue
            if advance is not None:
                advance(0)
            self._ping(target, last, well=well, text=text)

    def test(self, target: PingTarget) -> str | None:
        """Say how it is now; return None if it was taken, else why not."""
        well, text = self._how_it_is(target)
        return target.send(well, text)

    def known(self, target: PingTarget) -> Pinged | None:
        """When a target was told last; None if never."""
        fact = self._journal.facts.fact(_fact(target))
        return None if fact is None else msgspec.convert(fact, ready(Pinged))

    def _ping(self, target: PingTarget, last: Pinged, *, well: bool, text: str) -> None:
        problem, now = target.send(well, text), self._clock.now().timestamp()
        if problem is None:
            pinged = Pinged(now, well)
        else:
            tries = last.tries + 1
            pinged = Pinged(last.at, last.well, tries, now + min(next_try(tries), target.interval_s), problem)
        self._journal.facts.set_fact(_fact(target), msgspec.to_builtins(pinged))

    def _how_it_is(self, target: PingTarget) -> tuple[bool, str]:
        alarms = [alarm for alarm in standing(self._journal) if matters(alarm.severity, target.severity)]
        judged = self._journal.facts.fact("timer:alarms")
        last = max(self._started, float(judged) if isinstance(judged, int | float) else 0.0)
        late = self._clock.now().timestamp() - last > _LATE_S
        lines = [_line(alarm) for alarm in alarms] + (["nobody looked for alarms lately"] if late else [])
        return not lines, "\n".join(lines)


def _line(alarm: Alarm) -> str:
    return one_line(f"{alarm.severity} {alarm.kind} {alarm.subject}: {alarm.reason}; do: {advice(alarm.kind)}")


def _fact(target: PingTarget) -> str:
    return f"ping:{target.name}"
