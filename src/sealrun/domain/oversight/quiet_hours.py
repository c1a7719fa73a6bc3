"""Quiet hours: times of the week, by somebody's clock, in which no delivery begins. Pure arithmetic.

``"Mon-Fri 08:00-18:00"``, ``"Sat,Sun 00:00-24:00"``, ``"22:00-06:00"`` (every day). Hours that end before they begin
end on the next day; their day is that on which they begin.

When clocks are set forward, hours that begin or end at a time that does not exist do so at the moment of the change.
When clocks are set back, what begins at a time that comes twice begins the first time, and ends the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo

import msgspec

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(
    r"(?:([A-Za-z]{3}(?:-[A-Za-z]{3})?(?:,[A-Za-z]{3}(?:-[A-Za-z]{3})?)*)\s+)?(\d{2}):(\d{2})-(\d{2}):(\d{2})\Z"
)
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_LOOK_BACK = 2
_LOOK_AHEAD = 9
"""Days around now whose hours are looked at: what is quiet now began, and ends, among them."""


class QuietHours(msgspec.Struct, frozen=True):
    """On these `days` (Monday is 0) from `begin` to `end`, in minutes after midnight; `end` may be after the day's."""

    days: frozenset[int]
    begin: int
    end: int


class Quiet(msgspec.Struct, frozen=True):
    """Quiet hours by the clock of `zone`, or with None by that of this machine."""

    hours: tuple[QuietHours, ...]
    zone: tzinfo | None = None

    def until(self, now: datetime) -> datetime | None:
        """When the quiet hours end in which `now` lies, in UTC; None if it lies in none."""
        return quiet_until(self.hours, now, self.zone)


def parse_quiet_hours(text: str) -> QuietHours:
    """Read one line; `ValueError` says what is expected."""
    match = _FORM.match(text.strip())
    days = None if match is None else _days(match[1])
    if match is None or days is None:
        expected = 'expected hours such as "Mon-Fri 08:00-18:00", "Sat,Sun 00:00-24:00" or "22:00-06:00"'
        raise ValueError(f"{expected}, got {text!r}")
    begin, end = int(match[2]) * 60 + int(match[3]), int(match[4]) * 60 + int(match[5])
    if int(match[3]) > 59 or int(match[5]) > 59 or begin >= _DAY_MINUTES or end > _DAY_MINUTES or begin == end:  # noqa: PLR2004 - minutes
        raise ValueError(f"expected two different times from 00:00 to 24:00, got {text!r}")
    return QuietHours(days, begin, end if end > begin else end + _DAY_MINUTES)


def never_ends(hours: Sequence[QuietHours]) -> bool:
    """Tell whether they leave no time of the week: then nothing would ever begin."""
    quiet = [False] * _WEEK_MINUTES
    for each in hours:
        for day in each.days:
            for minute in range(each.begin, each.end):
                quiet[(day * _DAY_MINUTES + minute) % _WEEK_MINUTES] = True
    return all(quiet)


def quiet_until(hours: Sequence[QuietHours], now: datetime, zone: tzinfo | None) -> datetime | None:
    """When the quiet hours end in which `now` lies, in UTC; None if it lies in none.

    The hours are by the clock of `zone`, or with None by that of this machine. What follows without a gap counts as
    one. The answer is right as long as `never_ends` says that there is an end.
    """
    until: datetime | None = None
    moment = now.astimezone(UTC)
    for begin, end in sorted(_around(hours, moment.astimezone(zone).date(), zone)):
        at = until or moment
        if begin <= at < end or (until is not None and begin <= at):
            until = max(end, at)
    return until


def _around(hours: Sequence[QuietHours], today: date, zone: tzinfo | None) -> Iterator[tuple[datetime, datetime]]:
    for offset in range(-_LOOK_BACK, _LOOK_AHEAD):
        day = today + timedelta(days=offset)
        for each in hours:
            if day.weekday() in each.days:
                yield _moment(day, each.begin, zone, last=False), _moment(day, each.end, zone, last=True)


def _moment(day: date, minutes: int, zone: tzinfo | None, *, last: bool) -> datetime:
    """When a clock in `zone` shows that time: of two such moments the `last` or the first, of none the change."""
    shown = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)  # noqa: DTZ001 - what a clock shows
    first, second = (_utc(shown.replace(fold=fold), zone) for fold in (0, 1))
    if second < first:  # that time is skipped: the change lies between the two
        return _change(second, first, zone)
    return second if last else first


def _utc(shown: datetime, zone: tzinfo | None) -> datetime:
    return (shown if zone is None else shown.replace(tzinfo=zone)).astimezone(UTC)


def _change(before: datetime, after: datetime, zone: tzinfo | None) -> datetime:
    """The second in which clocks are set, between the two."""
    old = before.astimezone(zone).utcoffset()
    seconds = round((after - before).total_seconds())
    low, high = 0, seconds
    while low < high:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == old:
            low = middle + 1
        else:
            high = middle
    return before + timedelta(seconds=low)


def _days(text: str | None) -> frozenset[int] | None:
    if text is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last and last not in _DAYS):
            return None
        begin = _DAYS.index(first)
        length = (_DAYS.index(last) - begin) % 7 if last else 0
        found.update((begin + offset) % 7 for offset in range(length + 1))
    return frozenset(found)
