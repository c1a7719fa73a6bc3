"""Quiet hours by the clocks of people, which are set forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.oversight.quiet_hours import QuietHours, never_ends, parse_quiet_hours, quiet_until

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
"""Clocks there are set by half an hour."""
WORK = (parse_quiet_hours("Mon-Fri 08:00-18:00"),)
NIGHT = (parse_quiet_hours("22:00-06:00"),)


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "days", "begin", "end"),
    [
        ("Mon-Fri 08:00-18:00", range(5), 480, 1080),
        ("sat,SUN 00:00-24:00", (5, 6), 0, 1440),
        ("22:00-06:00", range(7), 1320, 1800),
        ("Fri-Mon 23:59-00:00", (4, 5, 6, 0), 1439, 1440),
        ("Mon,Wed-Thu 12:30-12:31", (0, 2, 3), 750, 751),
    ],
)
def test_hours_are_read_as_people_write_them(text: str, days: range, begin: int, end: int) -> None:
    assert parse_quiet_hours(text) == QuietHours(frozenset(days), begin, end)


@pytest.mark.parametrize(
    "text",
    [
        *("", "always", "8-18", "08:00", "08:00-08:00", "24:00-06:00", "08:60-09:00", "08:00-24:01", "-1:00-02:00"),
        *("Foo 08:00-09:00", "Mon-Foo 08:00-09:00", "Mon 08:00-09:00 Tue", "Mon;Tue 08:00-09:00"),
        "08:00-09:00\n10:00-11:00",
    ],
)
def test_what_are_no_hours_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_quiet_hours(text)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-01-05T07:59:59", None),  # a Monday, in winter
        ("2026-01-05T08:00:00", "2026-01-05T17:00:00"),
        ("2026-01-05T17:59:59", "2026-01-05T17:00:00"),
        ("2026-01-05T18:00:00", None),
        ("2026-07-06T12:00:00", "2026-07-06T16:00:00"),  # in summer
        ("2026-01-10T12:00:00", None),  # a Saturday
    ],
)
def test_work_hours_are_by_the_clock_on_the_wall(now: str, until: str | None) -> None:
    assert quiet_until(WORK, berlin(now), BERLIN) == (None if until is None else utc(until))


def test_hours_that_cross_midnight_belong_to_the_day_on_which_they_begin() -> None:
    friday = (parse_quiet_hours("Fri 22:00-06:00"),)
    assert quiet_until(friday, berlin("2026-01-09T23:00"), BERLIN) == utc("2026-01-10T05:00")
    assert quiet_until(friday, berlin("2026-01-10T05:59"), BERLIN) == utc("2026-01-10T05:00")
    assert quiet_until(friday, berlin("2026-01-09T05:59"), BERLIN) is None
    assert quiet_until(friday, berlin("2026-01-10T23:00"), BERLIN) is None


def test_hours_that_follow_each_other_without_a_gap_are_one() -> None:
    weekend = (parse_quiet_hours("Fri 18:00-24:00"), parse_quiet_hours("Sat,Sun 00:00-24:00"))
    assert quiet_until(weekend, berlin("2026-01-09T19:00"), BERLIN) == utc("2026-01-11T23:00")
    overlapping = (parse_quiet_hours("08:00-12:00"), parse_quiet_hours("09:00-10:00"), parse_quiet_hours("11:00-13:00"))
    assert quiet_until(overlapping, berlin("2026-01-09T08:00"), BERLIN) == utc("2026-01-09T12:00")


def test_a_night_is_an_hour_shorter_when_clocks_are_set_forward_and_longer_when_back() -> None:
    def length(begin: str) -> timedelta:
        end = quiet_until(NIGHT, berlin(begin), BERLIN)
        assert end is not None
        return end - berlin(begin).astimezone(UTC)

    assert length("2026-01-10T22:00") == timedelta(hours=8)
    assert length("2026-03-28T22:00") == timedelta(hours=7)
    assert length("2026-10-24T22:00") == timedelta(hours=9)


def test_what_would_begin_or_end_at_a_time_that_does_not_exist_does_so_at_the_change() -> None:
    begins = (parse_quiet_hours("02:30-05:00"),)  # clocks jump from 02:00 to 03:00 at 01:00 UTC
    assert quiet_until(begins, utc("2026-03-29T00:59:59"), BERLIN) is None
    assert quiet_until(begins, utc("2026-03-29T01:00:00"), BERLIN) == utc("2026-03-29T03:00")
    ends = (parse_quiet_hours("01:00-02:30"),)
    assert quiet_until(ends, utc("2026-03-29T00:30"), BERLIN) == utc("2026-03-29T01:00")
    assert quiet_until(ends, utc("2026-03-29T01:00"), BERLIN) is None
    inside = (parse_quiet_hours("02:10-02:50"),)
    assert [quiet_until(inside, utc(f"2026-03-29T00:{minute}"), BERLIN) for minute in ("30", "59")] == [None, None]


def test_of_a_time_that_comes_twice_hours_begin_at_the_first_and_end_at_the_second() -> None:
    begins = (parse_quiet_hours("02:30-05:00"),)  # clocks go from 03:00 back to 02:00 at 01:00 UTC
    assert quiet_until(begins, utc("2026-10-25T00:30"), BERLIN) == utc("2026-10-25T04:00")
    ends = (parse_quiet_hours("01:00-02:30"),)
    assert quiet_until(ends, utc("2026-10-25T00:00"), BERLIN) == utc("2026-10-25T01:30")


def test_clocks_may_be_set_by_half_an_hour() -> None:
    hours = (parse_quiet_hours("02:15-04:00"),)  # 02:00 becomes 02:30 at 15:30 UTC the day before
    assert quiet_until(hours, utc("2026-10-03T15:29:59"), LORD_HOWE) is None
    assert quiet_until(hours, utc("2026-10-03T15:30"), LORD_HOWE) == utc("2026-10-03T17:00")


def test_without_hours_nothing_is_ever_quiet_and_hours_without_an_end_are_recognised() -> None:
    assert quiet_until((), utc("2026-01-05T12:00"), UTC) is None
    assert not never_ends(())
    assert not never_ends([parse_quiet_hours("00:00-23:59")])
    assert never_ends([parse_quiet_hours("00:00-24:00")])
    assert never_ends([parse_quiet_hours("06:00-18:00"), parse_quiet_hours("18:00-06:00")])
    assert not never_ends([parse_quiet_hours("Mon-Sat 00:00-24:00"), parse_quiet_hours("Sun 00:01-24:00")])


def test_the_clock_of_this_machine_counts_where_no_zone_is_named() -> None:
    shown = datetime(2026, 1, 5, 12).astimezone()
    assert quiet_until((parse_quiet_hours("11:59-12:01"),), shown, None) == shown + timedelta(minutes=1)
    assert quiet_until((parse_quiet_hours("12:01-12:02"),), shown, None) is None


_minutes = st.integers(0, 1439)
_hours = st.builds(
    lambda days, begin, length: QuietHours(frozenset(days), begin, begin + length),
    st.sets(st.integers(0, 6), min_size=1),
    _minutes,
    st.integers(1, 1440),
)
_moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


@given(st.lists(_hours, max_size=3), _moments, st.sampled_from([UTC, BERLIN, LORD_HOWE]))
def test_quiet_hours_end_later_and_are_over_then(hours: list[QuietHours], now: datetime, zone: ZoneInfo) -> None:
    until = quiet_until(hours, now, zone)
    if never_ends(hours):
        return
    if until is None:
        assert not _shown_inside(hours, now, zone)
    else:
        assert now < until
        assert quiet_until(hours, until, zone) is None


def _shown_inside(hours: list[QuietHours], now: datetime, zone: ZoneInfo) -> bool:
    """Whether the clock shows a time inside: what is said twice or skipped apart, that is what quiet means."""
    local = now.astimezone(zone)
    minute = local.hour * 60 + local.minute
    days = [(local.weekday(), minute), ((local.weekday() - 1) % 7, minute + 1440)]
    return any(day in each.days and each.begin <= at < each.end for each in hours for day, at in days)
