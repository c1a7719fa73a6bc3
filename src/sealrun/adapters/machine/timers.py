"""Work that is due by the clock: APScheduler fires it, our journal remembers when it last ran.

Measured traps that shape this module: APScheduler skips what is a second late, enumerates every missed run of an
overdue interval, counts weekdays from Monday, stalls when the clock is set back. So each timer is a one-shot whose next
time is computed here, in UTC, from the last run; and `Timers.rearm` computes all of them again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from sealrun.adapters.machine.schedules import Schedule, cron, every
from sealrun.domain.errors import SealrunError
from sealrun.domain.moments import rfc3339
from sealrun.domain.oversight.board import TimerBoard
from sealrun.domain.oversight.metering import TIMER_RUNS
from sealrun.ports import UNMETERED, Clock, Entropy, Facts, Meters

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

__all__ = ["Schedule", "SystemTimers", "cron", "every"]

_log = logging.getLogger("sealrun.timers")

_RETRY_S = 600.0
_SOONEST_RETRY_S = 30.0
_SPREAD = 0.1
_LONGEST_SPREAD_S = 60.0


class _Timer(msgspec.Struct):
    name: str
    schedule: Schedule
    work: Callable[[], None]
    retry_at: datetime | None = None
    running: bool = False
    next_at: datetime | None = None
    problem: str | None = None
    worked: Callable[[float], object] = lambda _amount: None
    failed: Callable[[float], object] = lambda _amount: None


class SystemTimers:
    """Timers of one daemon. `add` all, then `start`. Missed runs are caught up once, soon after the start."""

    def __init__(self, facts: Facts, clock: Clock, entropy: Entropy, meters: Meters = UNMETERED) -> None:
        """Remember last runs in `facts`; `meters` count them."""
        self._meters = meters
        self._facts = facts
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._timers: dict[str, _Timer] = {}
        self._scheduler: BackgroundScheduler | None = None

    def add(self, name: str, schedule: Schedule, work: Callable[[], None]) -> None:
        """Have `work` done by `schedule`. Its last run is remembered under `name`; it never overlaps itself."""
        timer = _Timer(name, schedule, work)
        timer.worked = self._meters.counter(TIMER_RUNS, timer=name, outcome="ok")
        timer.failed = self._meters.counter(TIMER_RUNS, timer=name, outcome="failed")
        with self._lock:
            self._timers[name] = timer

    def start(self) -> None:
        """Begin, with what was missed while nothing ran."""
        from apscheduler.schedulers.background import BackgroundScheduler  # noqa: PLC0415 - heavy; only a daemon has timers

        logging.getLogger("apscheduler").setLevel(logging.WARNING)  # its news are told by whoever does the work
        with self._lock:
            self._scheduler = scheduler = BackgroundScheduler(timezone=UTC)
            scheduler.start()
        self.rearm()

    def rearm(self) -> None:
        """Compute all due times again."""
        with self._lock:
            timers = list(self._timers.values())
        for timer in timers:
            self._arm(timer)

    def due(self, name: str) -> datetime:
        """When a timer is due next, before it is spread; in the past if it was missed."""
        return self._due(self._timers[name])

    def describe(self) -> Sequence[TimerBoard]:
        """Say of each timer when it last ran, when it is due, and what its last run failed with in this process."""
        found = []
        for timer in list(self._timers.values()):
            last = self._facts.fact(_fact(timer.name))
            ran = _shown(datetime.fromtimestamp(last, UTC)) if isinstance(last, (int, float)) else None
            due = None if timer.next_at is None else _shown(timer.next_at)
            found.append(TimerBoard(name=timer.name, last_at=ran, next_at=due, problem=timer.problem))
        return found

    def close(self) -> None:
        """Fire no more. Does not wait for what runs. Harmless twice."""
        with self._lock:
            scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.shutdown(wait=False)

    def _due(self, timer: _Timer) -> datetime:
        if timer.retry_at is not None:
            return timer.retry_at
        now = self._clock.now()
        fact = self._facts.fact(_fact(timer.name))
        last = datetime.fromtimestamp(float(fact), UTC) if isinstance(fact, (int, float)) else None
        if last is None:
            if timer.schedule.at_start:
                return now
            self._facts.set_fact(_fact(timer.name), now.timestamp())  # so that what is missed from now on is noticed
            last = now
        # A last run in the future was written by a clock that was wrong: it counts as now.
        return timer.schedule.next_after(min(last, now))

    def _arm(self, timer: _Timer) -> None:
        now, due = self._clock.now(), self._due(timer)
        # Many machines share one registry: they should not all collect at the same second.
        wait_s = max(0.0, (due - now).total_seconds())
        period_s = (timer.schedule.next_after(due) - due).total_seconds()
        spread_s = self._entropy.uniform(0.0, min(_LONGEST_SPREAD_S, _SPREAD * period_s))
        self._fire_at(timer, now + timedelta(seconds=wait_s + spread_s))

    def _fire_at(self, timer: _Timer, when: datetime) -> None:
        with self._lock:
            if self._scheduler is None:
                return
            timer.next_at = when
            self._scheduler.add_job(
                self._fire,
                "date",
                run_date=when,
                args=(timer,),
                id=timer.name,
                replace_existing=True,
                misfire_grace_time=None,
                coalesce=True,
                max_instances=1,
            )

    def _fire(self, timer: _Timer) -> None:
        """Have the work done in a thread that no end of the process waits for: every work may be cut short."""
        with self._lock:
            if timer.running:
                return  # it is armed again when it is done
            timer.running = True
        threading.Thread(target=self._work, args=(timer,), name=f"sealrun-{timer.name}", daemon=True).start()

    def _work(self, timer: _Timer) -> None:
        """Do the work; a run that fails is tried again soon, and does not count as the last one."""
        began = self._clock.now()
        try:
            timer.work()
            self._facts.set_fact(_fact(timer.name), began.timestamp())
            timer.retry_at = timer.problem = None
            timer.worked(1)
        except Exception as error:  # noqa: BLE001 - the others go on; the log says what failed
            known = isinstance(error, SealrunError)
            _log.warning("%s failed, and is tried again: %s", timer.name, error, exc_info=None if known else error)
            period_s = (timer.schedule.next_after(began) - began).total_seconds()
            timer.retry_at = self._clock.now() + timedelta(seconds=min(_RETRY_S, max(_SOONEST_RETRY_S, period_s)))
            timer.failed(1)
            timer.problem = str(error) if known else f"unexpected {type(error).__name__}; the log has the details"
        with self._lock:
            timer.running = False
            if self._scheduler is None:
                return
        try:
            self._arm(timer)
        except SealrunError as error:  # the journal failed, so the last run is not known
            _log.warning("%s: due time not known: %s", timer.name, error)
            self._fire_at(timer, self._clock.now() + timedelta(seconds=_RETRY_S))


def _shown(when: datetime) -> str:
    return rfc3339(when)


def _fact(name: str) -> str:
    return f"timer:{name}"
