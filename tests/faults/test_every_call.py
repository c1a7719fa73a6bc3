"""Every store call of every kind of work is hurt in every way; afterwards everything holds, and the work gets done."""

from __future__ import annotations

import random

import pytest
from tests.faults.lives import Mode, Scenario, cases, good_calls, live_through
from tests.faults.scenarios import ALL, SmallPublish

_DEATHS = (Mode.OUTAGE, Mode.CRASH, Mode.CRASH_AFTER, Mode.LATE)


def _survive(scenario: Scenario, *lives: tuple[int, Mode]) -> None:
    try:
        live_through(scenario, [{number: mode} for number, mode in lives])
    except BaseException as error:
        error.add_note(f"{type(scenario).__name__} hurt by {lives}")
        raise


@pytest.mark.parametrize("scenario", ALL, ids=lambda kind: kind.__name__)
def test_no_single_fault_at_any_call_breaks_an_invariant_or_loses_work(scenario: type[Scenario]) -> None:
    calls = good_calls(scenario())
    assert calls
    for case in cases(calls):
        _survive(scenario(), case)


def test_no_fault_in_the_life_after_a_death_breaks_an_invariant_or_loses_work() -> None:
    pairs = []
    for first in cases(good_calls(SmallPublish()), _DEATHS):
        lives = live_through(SmallPublish(), [dict([first])])
        pairs += [(first, second) for second in cases(lives[1] if len(lives) > 1 else [])]
    seed = 20260117
    chosen = random.Random(seed).sample(pairs, min(len(pairs), 2500))
    print(f"{len(chosen)} of {len(pairs)} pairs, seed {seed}")  # noqa: T201 - shown when the test fails
    for pair in chosen:
        _survive(SmallPublish(), *pair)
