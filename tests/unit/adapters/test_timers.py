from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.journal import FakeFacts

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.machine.timers import Schedule, SystemTimers, cron, every
from sealrun.domain.errors import ConfigurationError, UnavailableError

A_SATURDAY = datetime(2026, 1, 17, 15, 0, tzinfo=UTC)
PATIENCE_S = 60.0


def days(schedule: Schedule, count: int = 7, start: datetime = A_SATURDAY) -> list[str]:
    """The next times of a schedule, as weekday, day and time."""
    found = []
    for _ in range(count):
        start = schedule.next_after(start)
        found.append(start.strftime("%a %d %H:%M"))
    return found


@pytest.mark.parametrize("line", ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "@weekly", " @WEEKLY "])
def test_a_week_begins_on_sunday(line: str) -> None:
    assert days(cron(line), 2) == ["Sun 18 00:00", "Sun 25 00:00"]


@pytest.mark.parametrize(
    ("weekday", "expected"),
    [
        ("1-5", ["Mon", "Tue", "Wed", "Thu", "Fri"]),
        ("5-7", ["Sun", "Fri", "Sat"]),
        ("sat-mon", ["Sun", "Mon", "Sat"]),
        ("0,3", ["Sun", "Wed"]),
        ("*/2", ["Sun", "Tue", "Thu", "Sat"]),
        ("1-5/2", ["Mon", "Wed", "Fri"]),
        ("5/1", ["Fri", "Sat"]),
        ("*", ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]),
    ],
)
def test_weekdays_mean_what_crontab_says(weekday: str, expected: list[str]) -> None:
    week = days(cron(f"30 3 * * {weekday}"), len(expected))
    assert [day.split()[0] for day in week] == expected
    assert all(day.endswith("03:30") for day in week)


def test_day_and_weekday_are_alternatives() -> None:
    assert days(cron("0 0 20 * 1"), 3) == ["Mon 19 00:00", "Tue 20 00:00", "Mon 26 00:00"]


@pytest.mark.parametrize(
    ("line", "expected"), [("@hourly", "Sat 17 16:00"), ("@daily", "Sun 18 00:00"), ("*/20 * * * *", "Sat 17 15:20")]
)
def test_aliases_and_steps(line: str, expected: str) -> None:
    assert days(cron(line), 1) == [expected]


@pytest.mark.parametrize("line", ["", "* * * *", "0 0 * * 8", "61 * * * *", "@often", "0 0 30 2 *", "0 0 * * x-y"])
def test_a_wrong_schedule_is_named(line: str) -> None:
    with pytest.raises(ConfigurationError, match="schedule"):
        cron(line)


# ---------------------------------------------------------------- last runs


def timers(facts: FakeFacts, clock: FakeClock) -> SystemTimers:
    return SystemTimers(facts, clock, FakeEntropy())


def nothing() -> None:
    return None


def release(fired: threading.Semaphore) -> Callable[[], None]:
    """Work that counts how often it is done."""

    def work() -> None:
        fired.release()

    return work


def test_an_interval_that_never_ran_is_due_at_once_and_a_calendar_waits_for_its_day() -> None:
    clock = FakeClock()
    some = timers(FakeFacts(), clock)
    some.add("rescan", every(300), nothing)
    some.add("scrub", cron("@weekly"), nothing)
    assert some.due("rescan") == clock.now()
    assert some.due("scrub") == datetime(2026, 1, 18, tzinfo=UTC)


def test_what_was_missed_while_nothing_ran_is_due_in_the_past() -> None:
    clock, facts = FakeClock(), FakeFacts()
    before = timers(facts, clock)
    before.add("scrub", cron("@weekly"), nothing)
    before.due("scrub")
    clock.advance(30 * 24 * 3600)
    after = timers(facts, clock)
    after.add("scrub", cron("@weekly"), nothing)
    assert after.due("scrub") == datetime(2026, 1, 18, tzinfo=UTC)


def test_a_last_run_in_the_future_does_not_stop_a_timer() -> None:
    clock, facts = FakeClock(), FakeFacts()
    facts.set_fact("timer:rescan", (clock.now() + timedelta(days=365)).timestamp())
    some = timers(facts, clock)
    some.add("rescan", every(300), nothing)
    assert some.due("rescan") == clock.now() + timedelta(seconds=300)


# ---------------------------------------------------------------- the real thing


@pytest.fixture
def running() -> Iterator[SystemTimers]:
    some = SystemTimers(FakeFacts(), SystemClock(), SystemEntropy())
    yield some
    some.close()
    some.close()


def test_timers_fire_again_and_again_and_remember_when(running: SystemTimers) -> None:
    fired = threading.Semaphore(0)
    running.add("often", every(0.02), release(fired))
    running.start()
    for _ in range(3):
        assert fired.acquire(timeout=PATIENCE_S)
    assert running._facts.fact("timer:often") is not None


def test_a_timer_that_fails_is_tried_again_and_keeps_the_others_going(running: SystemTimers) -> None:
    failed, fired = threading.Event(), threading.Semaphore(0)

    def fail() -> None:
        failed.set()
        raise UnavailableError("down")

    running.add("failing", every(0.02), fail)
    running.add("often", every(0.02), release(fired))
    before = datetime.now(UTC)
    running.start()
    assert failed.wait(PATIENCE_S)
    for _ in range(3):
        assert fired.acquire(timeout=PATIENCE_S)
    while running._timers["failing"].retry_at is None:
        threading.Event().wait(0.01)
    assert running.due("failing") >= before + timedelta(seconds=30)
    assert running._facts.fact("timer:failing") is None


def test_timers_that_are_computed_again_still_fire(running: SystemTimers) -> None:
    fired = threading.Semaphore(0)
    running.add("often", every(0.02), release(fired))
    running.start()
    assert fired.acquire(timeout=PATIENCE_S)
    running.rearm()
    for _ in range(3):
        assert fired.acquire(timeout=PATIENCE_S)


def test_closed_timers_fire_no_more(running: SystemTimers) -> None:
    running.add("later", every(3600), nothing)
    running.start()
    assert running._scheduler is not None
    scheduler = running._scheduler
    running.close()
    running.rearm()
    assert not scheduler.running
    assert scheduler.get_jobs() == []


def test_work_that_takes_long_is_not_begun_a_second_time_and_keeps_no_process_alive(running: SystemTimers) -> None:
    began, go_on, other = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)
    at_once: list[bool] = []

    def work() -> None:
        at_once.append(threading.current_thread().daemon)
        began.release()
        go_on.wait(PATIENCE_S)

    running.add("long", every(0.01), work)
    running.add("other", every(0.01), release(other))
    running.start()
    assert began.acquire(timeout=PATIENCE_S)
    for _ in range(3):
        running.rearm()
        assert other.acquire(timeout=PATIENCE_S)
        assert other.acquire(timeout=PATIENCE_S)
    assert at_once == [True], "begun once, in a thread that nobody waits for"
    go_on.set()
    assert began.acquire(timeout=PATIENCE_S)


def test_a_timer_says_when_it_ran_when_it_is_due_and_what_was_wrong() -> None:
    clock, facts = SystemClock(), FakeFacts()
    timers = SystemTimers(facts, clock, FakeEntropy())
    worked, failed = threading.Event(), threading.Event()

    def fail() -> None:
        failed.set()
        msg = "the registry is down"
        raise UnavailableError(msg)

    timers.add("works", every(1.0), worked.set)
    timers.add("fails", every(1.0), fail)
    assert [(each.name, each.last_at, each.next_at, each.problem) for each in timers.describe()] == [
        ("works", None, None, None),
        ("fails", None, None, None),
    ]
    timers.start()
    try:
        assert worked.wait(PATIENCE_S)
        assert failed.wait(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            works, fails = timers.describe()
            if works.last_at is not None and fails.problem is not None:
                break
            time.sleep(0.01)
    finally:
        timers.close()
    assert (works.problem, fails.problem, fails.last_at) == (None, "the registry is down", None)
    assert works.last_at is not None
    assert works.next_at is not None
    assert fails.next_at is not None
