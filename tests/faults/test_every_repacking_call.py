"""Every store call of a repacking is hurt in every way; afterwards everything holds, and the packs go."""

from __future__ import annotations

import os
import random

import pytest
from tests.faults.lives import Mode, cases, good_calls, live_through
from tests.faults.repacking import Repacking

_HARDER = 10 ** int(os.environ.get("SEALRUN_TEST_HARDER", "0"))
_DEATHS = (Mode.OUTAGE, Mode.CRASH, Mode.CRASH_AFTER, Mode.LATE)
_TRIED = 200


def _survive(*lives: tuple[int, Mode]) -> None:
    try:
        live_through(Repacking(), [{number: mode} for number, mode in lives])
    except BaseException as error:
        error.add_note(f"repacking hurt by {lives}")
        raise


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.name)
def test_no_single_fault_at_any_call_of_a_repacking_breaks_an_invariant_or_loses_a_byte(mode: Mode) -> None:
    calls = good_calls(Repacking())
    assert any(call.op == "put_many" for call in calls), "nothing was repacked"
    for case in cases(calls, [mode]):
        _survive(case)


def test_no_fault_in_the_life_after_a_death_breaks_an_invariant_or_loses_a_byte() -> None:
    """The first life dies at a write: what it leaves by dying elsewhere is the same."""
    pairs, calls = [], good_calls(Repacking())
    for first in [first for first in cases(calls, _DEATHS) if calls[first[0]].writes]:
        lives = live_through(Repacking(), [dict([first])])
        pairs += [(first, second) for second in cases(lives[1] if len(lives) > 1 else [])]
    seed = 20260117
    chosen = random.Random(seed).sample(pairs, min(len(pairs), _TRIED * _HARDER))
    print(f"{len(chosen)} of {len(pairs)} pairs, seed {seed}")  # noqa: T201 - shown when the test fails
    for pair in chosen:
        _survive(*pair)
