from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.watches.cadence import KEPT, Expectation, History, due_by, learned_limit, missing, with_run

HOUR, DAY = 3600.0, 86400.0


def history(*times: float) -> History:
    known = History(times[0] if times else 0.0)
    for at in times:
        known = with_run(known, at)
    return known


def after(gaps: list[float]) -> tuple[float, ...]:
    return history(*accumulate(gaps, initial=10 * DAY)).times


def test_a_declared_run_is_missing_after_its_time_and_the_grace() -> None:
    daily = Expectation(every_s=DAY, grace_s=HOUR)
    seen = history(10 * DAY)
    assert missing(daily, seen, 11 * DAY + HOUR, 0) is None
    reason = missing(daily, seen, 11 * DAY + HOUR + 1, 0)
    assert reason is not None
    assert "ago" in reason


def test_without_a_declared_grace_it_is_a_tenth() -> None:
    daily = Expectation(every_s=DAY)
    assert missing(daily, history(0.0), 1.1 * DAY - 1, -DAY) is None
    assert missing(daily, history(0.0), 1.1 * DAY + 1, -DAY) is not None


def test_the_time_without_a_run_counts_through_downtime_but_a_daemon_that_starts_looks_around_first() -> None:
    daily = Expectation(every_s=DAY)
    started = 20 * DAY
    assert missing(daily, history(10 * DAY), started + 599, started) is None
    assert missing(daily, history(10 * DAY), started + 601, started) is not None


def test_where_no_run_ever_came_the_time_counts_from_when_somebody_looked() -> None:
    daily = Expectation(every_s=DAY)
    assert missing(daily, History(5 * DAY), 6.05 * DAY, 0) is None
    reason = missing(daily, History(5 * DAY), 6.2 * DAY, 0)
    assert reason is not None
    assert "none came" in reason


@pytest.mark.parametrize(
    ("gaps", "least", "most"),
    [
        ([DAY] * 5, 2 * DAY, 4 * DAY),
        ([DAY] * 60, 2 * DAY, 4 * DAY),
        (([DAY] * 4 + [3 * DAY]) * 6, 3.1 * DAY, 5 * DAY),  # no runs on weekends
        (([30.0] * 50 + [DAY]) * 8, 2 * DAY, 4 * DAY),  # a burst of runs every day
        ([DAY] * 30 + [14 * DAY] + [DAY] * 5, 2 * DAY, 5 * DAY),  # a holiday
        ([HOUR] * 80, 2 * HOUR, 4 * HOUR),
        ([HOUR, 3 * HOUR] * 20, 3.1 * HOUR, 10 * HOUR),
    ],
)
def test_what_is_learned_is_longer_than_any_usual_gap_and_not_much_longer(
    gaps: list[float], least: float, most: float
) -> None:
    limit = learned_limit(after(gaps))
    assert limit is not None
    assert least <= limit <= most


@pytest.mark.parametrize(
    "gaps",
    [
        [],
        [DAY] * 3,  # four runs
        [60.0] * 500,  # one batch, within a day
        [60.0] * 50 + [2 * DAY],  # a batch, and one more run
        [60.0] * 30 + [DAY] + [60.0] * 30 + [DAY],  # three batches
    ],
)
def test_nothing_is_learned_from_little(gaps: list[float]) -> None:
    assert learned_limit(after(gaps)) is None
    assert missing(Expectation(), History(0.0, after(gaps)), 1000 * DAY, 0) is None


def test_a_learned_run_is_missing_once_the_gap_is_unusual() -> None:
    seen = History(0.0, after([DAY] * 20))
    assert missing(Expectation(), seen, seen.times[-1] + 2 * DAY, 0) is None
    reason = missing(Expectation(), seen, seen.times[-1] + 3.1 * DAY, 0)
    assert reason is not None
    assert "as often as before" in reason


@given(st.lists(st.floats(min_value=1.0, max_value=30 * DAY), min_size=1, max_size=300))
def test_no_regular_gap_is_an_alarm_and_memory_is_bounded(gaps: list[float]) -> None:
    times = after(gaps)
    assert len(times) <= KEPT
    assert list(times) == sorted(set(times))
    limit = learned_limit(times)
    if limit is not None:
        kept = sorted(later - earlier for earlier, later in pairwise(times))
        assert limit >= 1.5 * kept[len(kept) // 2]


def test_until_when_a_run_has_to_come_is_when_it_begins_to_be_missing() -> None:
    for expectation, seen in [
        (Expectation(every_s=DAY, grace_s=HOUR), history(10 * DAY)),
        (Expectation(every_s=DAY), History(10 * DAY)),
        (Expectation(grace_s=HOUR), History(0.0, after([DAY] * 20))),
    ]:
        due = due_by(expectation, seen)
        assert due is not None
        assert missing(expectation, seen, due, 0) is None
        assert missing(expectation, seen, due + 1, 0) is not None
    assert due_by(Expectation(), History(0.0)) is None


def test_the_last_run_is_remembered_exactly_and_an_old_one_changes_nothing() -> None:
    known = history(10 * DAY, 10 * DAY + 5, 10 * DAY + 9)
    assert known.times[-1] == 10 * DAY + 9
    assert with_run(known, 3.0) == known
