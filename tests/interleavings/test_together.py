"""However their store calls interleave, nobody loses or shows what they should not."""

from __future__ import annotations

import pytest
from tests.interleavings import plays
from tests.interleavings.baton import Play, explore, sample

EXHAUSTIVE: list[tuple[type[Play], int]] = [
    (plays.SameRunTwice, 2),
    (plays.SameNameTwice, 2),
    (plays.SharedBytes, 2),
    (plays.VoidedAnyTime, 2),
    (plays.VoidedOnReturn, 2),
    (plays.ReplayedTwice, 2),
    (plays.TwoMovers, 2),
    (plays.MoverAndPublishers, 1),
    (plays.Listed, 2),
    (plays.TwoCompactors, 1),
    (plays.Collected, 2),
    (plays.CollectedVoid, 1),
    (plays.MovedWhileRetired, 2),
]


@pytest.mark.parametrize(("play", "preemptions"), EXHAUSTIVE, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_schedule_with_few_preemptions_keeps_the_invariants(play: type[Play], preemptions: int) -> None:
    played = explore(play, preemptions)
    assert played > 1


@pytest.mark.parametrize("play", [play for play, _ in EXHAUSTIVE], ids=lambda play: play.__name__)
@pytest.mark.parametrize("page", [None, 1], ids=["whole-listings", "listings-key-by-key"])
def test_random_schedules_keep_the_invariants(play: type[Play], page: int | None) -> None:
    def make() -> Play:
        made = play()
        made.page = page
        return made

    sample(make, seed=20260117, times=60)
