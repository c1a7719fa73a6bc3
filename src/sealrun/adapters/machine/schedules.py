"""When something is due: again and again, or at the times that a crontab line names.

APScheduler counts weekdays from Monday, crontab(5) from Sunday; so weekdays are spelled out by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import msgspec

from sealrun.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

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
