"""Every store call of every kind of work is hurt in every way; afterwards everything holds, and the work gets done."""

from __future__ import annotations

import os
import random

import pytest
from tests.faults.collecting import COLLECTIONS, CancellingOthers, Collecting, FinishingOthers
from tests.faults.lives import Mode, Scenario, cases, good_calls, live_through
from tests.faults.packing import PACKED, HintsSinceDeath, SmallPacked
from tests.faults.scenarios import ALL, SmallPublish

_HARDER = 10 ** int(os.environ.get("SEALRUN_TEST_HARDER", "0"))
_DEATHS = (Mode.OUTAGE, Mode.CRASH, Mode.CRASH_AFTER, Mode.LATE)


def _survive(scenario: Scenario, *lives: tuple[int, Mode]) -> None:
    try:
        live_through(scenario, [{number: mode} for number, mode in lives])
    except BaseException as error:
        error.add_note(f"{type(scenario).__name__} hurt by {lives}")
        raise


@pytest.mark.parametrize("scenario", [*ALL, *COLLECTIONS, *PACKED], ids=lambda kind: kind.__name__)
def test_no_single_fault_at_any_call_breaks_an_invariant_or_loses_work(scenario: type[Scenario]) -> None:
    calls = good_calls(scenario())
    assert calls
    for case in cases(calls):
        _survive(scenario(), case)


@pytest.mark.parametrize(
    ("scenario", "tried"),
    [
        (SmallPublish, 1500),
        (Collecting, 300),
        (FinishingOthers, 250),
        (CancellingOthers, 250),
        (SmallPacked, 600),
        (HintsSinceDeath, 300),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_no_fault_in_the_life_after_a_death_breaks_an_invariant_or_loses_work(
    scenario: type[Scenario], tried: int
) -> None:
    """The first life dies at a write: what it leaves by dying elsewhere is the same."""
    pairs, calls = [], good_calls(scenario())
    for first in [first for first in cases(calls, _DEATHS) if calls[first[0]].writes]:
        lives = live_through(scenario(), [dict([first])])
        pairs += [(first, second) for second in cases(lives[1] if len(lives) > 1 else [])]
    seed = 20260117
    chosen = random.Random(seed).sample(pairs, min(len(pairs), tried * _HARDER))
    print(f"{len(chosen)} of {len(pairs)} pairs, seed {seed}")  # noqa: T201 - shown when the test fails
    for pair in chosen:
        _survive(scenario(), *pair)
