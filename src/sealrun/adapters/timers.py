"""Work that is due by the clock: APScheduler fires it, our journal remembers when it last ran.

Measured traps that shape this module: APScheduler skips what is a second late, enumerates every missed run of an
overdue interval, counts weekdays from Monday, stalls when the clock is set back. So each timer is a one-shot whose next
time is computed here, in UTC, from the last run; and `Timers.rearm` computes all of them again.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import msgspec

from sealrun.domain.errors import ConfigurationError, SealrunError
from sealrun.ports import Clock, Entropy, Facts

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.cron import CronTrigger

_log = logging.getLogger("sealrun.timers")

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * sun",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS = len(_WEEKDAYS)
_WEEKDAY_ITEM = re.compile(r"(?:(\*)|([0-7a-z]+)(?:-([0-7a-z]+))?)(?:/([1-9]))?\Z")
_FIELDS = 5
_RETRY_S = 600.0
_SPREAD = 0.1
_LONGEST_SPREAD_S = 60.0


class Schedule(Protocol):
    """When something is due."""

    def next_after(self, last: datetime) -> datetime:
        """Return the first time after `last`, both in UTC."""
        ...

    @property
    def at_start(self) -> bool:
        """Whether it is due at once where it never ran."""
        ...


class Every(msgspec.Struct, frozen=True):
    """Again and again, so many seconds after the last run began."""

    seconds: float

    def next_after(self, last: datetime) -> datetime:
        """Return the first time after `last`."""
        return last + timedelta(seconds=self.seconds)

    @property
    def at_start(self) -> bool:
        """Due at once where it never ran."""
        return True


class Cron:
    """At the times that a crontab line names, in UTC (local time has hours that come twice)."""

    def __init__(self, line: str) -> None:
        """Read ``minute hour day month weekday`` or an alias (``@daily``); `ConfigurationError` if it is wrong."""
        self.line = line
        text = line.strip().lower()
        fields = _ALIASES.get(text, text).split()
        if len(fields) != _FIELDS:
            aliases = ", ".join(_ALIASES)
            raise ConfigurationError(
                f"schedule {line!r}: five fields (minute hour day month weekday) or one of {aliases}"
            )
        self._triggers = _triggers(line, fields)
        self.next_after(datetime(2000, 1, 1, tzinfo=UTC))  # is there any such day?

    @property
    def at_start(self) -> bool:
        """Where it never ran it waits for its time."""
        return False

    def next_after(self, last: datetime) -> datetime:
        """Return the first time after `last`; `ConfigurationError` if there is none (30 February)."""
        found = [trigger.get_next_fire_time(None, last + timedelta(seconds=1)) for trigger in self._triggers]
        times = [time for time in found if time is not None]
        if not times:
            raise ConfigurationError(f"schedule {self.line!r}: there is no such day")
        earliest: datetime = min(times)
        return earliest


def every(seconds: float) -> Every:
    """Again and again, `seconds` after the last run began."""
    return Every(seconds)


def cron(line: str) -> Cron:
    """At the times of a crontab line (UTC): 0 and 7 are Sunday, day and weekday are alternatives, ``@weekly`` works."""
    return Cron(line)


class _Timer(msgspec.Struct):
    name: str
    schedule: Schedule
    work: Callable[[], None]
    retry_at: datetime | None = None
    running: bool = False


class SystemTimers:
    """Timers of one daemon. `add` all, then `start`. Missed runs are caught up once, soon after the start."""

    def __init__(self, facts: Facts, clock: Clock, entropy: Entropy) -> None:
        """Remember last runs in `facts`."""
        self._facts = facts
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._timers: dict[str, _Timer] = {}
        self._scheduler: BackgroundScheduler | None = None

    def add(self, name: str, schedule: Schedule, work: Callable[[], None]) -> None:
        """Have `work` done by `schedule`. Its last run is remembered under `name`; it never overlaps itself."""
        with self._lock:
            self._timers[name] = _Timer(name, schedule, work)

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
            timer.retry_at = None
        except Exception as error:  # noqa: BLE001 - the others go on; the log says what failed
            known = isinstance(error, SealrunError)
            _log.warning("%s failed, and is tried again: %s", timer.name, error, exc_info=None if known else error)
            timer.retry_at = self._clock.now() + timedelta(seconds=_RETRY_S)
        with self._lock:
            timer.running = False
            if self._scheduler is None:
                return
        try:
            self._arm(timer)
        except SealrunError as error:  # the journal failed, so the last run is not known
            _log.warning("%s: due time not known: %s", timer.name, error)
            self._fire_at(timer, self._clock.now() + timedelta(seconds=_RETRY_S))


def _fact(name: str) -> str:
    return f"timer:{name}"


def _triggers(line: str, fields: list[str]) -> list[CronTrigger]:
    """One trigger, or two where both day and weekday are restricted: either suffices (crontab(5))."""
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - heavy; only a daemon has timers

    minute, hour, day, month, weekday = fields
    both = not day.startswith("*") and not weekday.startswith("*")
    days = [(day, "*"), ("*", _weekdays(line, weekday))] if both else [(day, _weekdays(line, weekday))]
    try:
        return [
            CronTrigger(minute=minute, hour=hour, day=d, month=month, day_of_week=w, second=0, timezone=UTC)
            for d, w in days
        ]
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"schedule {line!r}: {error}") from error


def _weekdays(line: str, field: str) -> str:
    """Spell weekdays out by name: the scheduler counts them from Monday, crontab(5) from Sunday."""
    if field == "*":
        return field
    chosen = {number % _DAYS for item in field.split(",") for number in _weekday_item(line, item)}
    return ",".join(_WEEKDAYS[number] for number in sorted(chosen))


def _weekday_item(line: str, item: str) -> Iterable[int]:
    match = _WEEKDAY_ITEM.match(item)
    if match is None:
        raise ConfigurationError(f"schedule {line!r}: not a weekday: {item!r} (0-7 or sun, mon, …)")
    star, first, last, step = match.groups()
    if star:
        return range(0, _DAYS, int(step or 1))
    begin = _weekday(line, first)
    end = _weekday(line, last) if last else (_DAYS - 1 if step else begin)
    if end < begin:
        end += _DAYS
    return range(begin, end + 1, int(step or 1))


def _weekday(line: str, text: str) -> int:
    if text.isdigit() and int(text) <= _DAYS:
        return int(text)
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    raise ConfigurationError(f"schedule {line!r}: not a weekday: {text!r} (0-7 or sun, mon, …)")
