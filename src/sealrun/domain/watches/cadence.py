"""When the next run is due: as declared, or as learned from the times of those before. Pure.

Learning: a moment is picked at random, and the gap between two runs that it falls into is looked at. Half of all
moments fall into gaps that are no longer than the *usual* one, three quarters into gaps that are no longer than a
*long* one. So runs that come in bursts count for little: they take little time. For the long one the longest tenth of
the gaps is left out: holidays. A run is missing when none came for three times the usual gap, and half as long again as
a long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

LEAST_RUNS = 5
KEPT = 100
"""So many times are remembered, at most one of each `BIN_S`: a burst is a few of them."""
BIN_S = 600.0
_LEAST_SPAN_S = 24 * 3600.0
_LEAST_LIMIT_S = 1800.0
_APART = 0.25
_USUAL, _LONG = 0.5, 0.75
_USUAL_TIMES, _LONG_TIMES = 3.0, 1.5
_START_GRACE_S = 600.0
_DEFAULT_GRACE = 0.1


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """How often runs are expected: every so many seconds, or as often as before (`every_s` None).

    `grace_s`: how late one may be; None is a tenth of what is declared, and nothing where it is learned.
    """

    every_s: float | None = None
    grace_s: float | None = None


class History(msgspec.Struct, frozen=True):
    """When runs came, oldest first, in POSIX seconds; `since` is when somebody began to look."""

    since: float
    times: tuple[float, ...] = ()


def with_run(history: History, at: float) -> History:
    """Add a run. Of those that came close to each other only the last one is remembered."""
    times = history.times
    if times and at <= times[-1]:
        return history
    if times and int(at // BIN_S) == int(times[-1] // BIN_S):
        times = times[:-1]
    return History(history.since, (*times, at)[-KEPT:])


def learned_limit(times: Sequence[float]) -> float | None:
    """Return after how many seconds without a run one is missing; None as long as too little was seen.

    That is as long as the times do not span a day, or fewer than five runs came clearly apart from each other.
    """
    gaps = sorted(later - earlier for earlier, later in pairwise(times) if later > earlier)
    if not gaps or sum(gaps) < _LEAST_SPAN_S:
        return None
    usual = _reached(gaps, _USUAL)
    apart = sum(gap >= _APART * usual for gap in gaps)
    if apart < LEAST_RUNS - 1:
        return None
    ordinary = gaps[: len(gaps) - apart // 10]
    return max(_USUAL_TIMES * usual, _LONG_TIMES * _reached(ordinary, _LONG), _LEAST_LIMIT_S)


def due_by(expectation: Expectation, history: History) -> float | None:
    """Return until when a run has to come, in POSIX seconds; None as long as nothing is learned."""
    every, grace = expectation.every_s, expectation.grace_s
    limit = (
        learned_limit(history.times) if every is None else every + (_DEFAULT_GRACE * every if grace is None else 0.0)
    )
    return None if limit is None else _last(history) + limit + (grace or 0.0)


def missing(expectation: Expectation, history: History, now: float, started: float) -> str | None:
    """Say why a run is missing at `now`, or None. `started` is when this daemon did: it first has to look around."""
    due, last, every = due_by(expectation, history), _last(history), expectation.every_s
    if due is None or now <= due or now - started <= min(_START_GRACE_S, due - last):
        return None
    limit = due - last
    if every is None:
        expected = f"as often as before, that is within {_span(limit)}"
    else:
        expected = f"every {_span(every)} (and {_span(limit - every)} of grace)"
    came = f"the last one came {_span(now - last)} ago" if history.times else f"none came in {_span(now - last)}"
    return f"runs are expected {expected}; {came}"


def _last(history: History) -> float:
    return history.times[-1] if history.times else history.since


def _reached(gaps: Sequence[float], share: float) -> float:
    """The gap, of the sorted ones, below which that share of all the time lies."""
    wanted, passed = share * sum(gaps), 0.0
    for gap in gaps:
        passed += gap
        if passed >= wanted:
            return gap
    return gaps[-1]


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
