"""However the calls of a repacking interleave with those of others, nobody loses or shows what they should not."""

from __future__ import annotations

import pytest
from tests.interleavings import repacked
from tests.interleavings.baton import Play, explore, sample
from tests.interleavings.searches import HARDER

_PLAYS = [
    (repacked.Repacked, 1),
    (repacked.RepackedTwice, 1),
    (repacked.ReferencedWhileRepacked, 1),
    (repacked.MovedWhileRepacked, 1),
    (repacked.RetiredWhileRepacked, 2),
]


@pytest.mark.parametrize(("play", "preemptions"), _PLAYS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_schedule_of_a_repacking_with_few_preemptions_keeps_the_invariants(
    play: type[Play], preemptions: int
) -> None:
    assert explore(play, preemptions + HARDER) > 1


@pytest.mark.parametrize("play", [play for play, _ in _PLAYS], ids=lambda play: play.__name__)
def test_random_schedules_of_a_repacking_keep_the_invariants(play: type[Play]) -> None:
    sample(play, seed=20260117 + HARDER, times=40 * 10**HARDER)
