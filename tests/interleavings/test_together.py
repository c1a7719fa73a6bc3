"""However their store calls interleave, nobody loses or shows what they should not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.interleavings.baton import Play, explore, sample
from tests.interleavings.searches import EXHAUSTIVE, HARDER, PROVEN

import sealrun.services.publication.reusing
import sealrun.services.publication.supplying

A = TypeVar("A")
B = TypeVar("B")


@pytest.mark.parametrize(("play", "preemptions"), EXHAUSTIVE, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_schedule_with_few_preemptions_keeps_the_invariants(play: type[Play], preemptions: int) -> None:
    played = explore(play, preemptions + HARDER)
    assert played > 1


@pytest.mark.parametrize("play", [play for play, _ in EXHAUSTIVE], ids=lambda play: play.__name__)
@pytest.mark.parametrize("page", [None, 1], ids=["whole-listings", "listings-key-by-key"])
def test_random_schedules_keep_the_invariants(play: type[Play], page: int | None) -> None:
    def make() -> Play:
        made = play()
        made.page = page
        return made

    sample(make, seed=20260117 + HARDER, times=40 * 10**HARDER)


@pytest.mark.parametrize(("play", "preemptions"), PROVEN, ids=lambda value: getattr(value, "__name__", str(value)))
def test_attempts_that_stand_are_trusted_in_every_schedule_with_few_preemptions(
    play: type[Play], preemptions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealrun.services.publication.reusing, "_ASKED_PER_ATTEMPT", 0)
    assert explore(play, preemptions + HARDER) > 1
    sample(play, seed=20260117 + HARDER, times=40 * 10**HARDER)


@pytest.mark.parametrize(("play", "preemptions"), PROVEN, ids=lambda value: getattr(value, "__name__", str(value)))
@pytest.mark.parametrize("asked", [0, 3], ids=["attempts-that-stand", "keys-that-are-there"])
def test_what_is_asked_at_once_may_be_answered_in_the_other_order(
    play: type[Play], preemptions: int, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is it retired, what did it seal, how did it end; quarantine, condemned; new bytes before what is looked at."""

    def other_way_round(first: Callable[[], A], second: Callable[[], B], _width: int) -> tuple[A, B]:
        done = second()
        return first(), done

    for room in (sealrun.services.publication.reusing, sealrun.services.publication.supplying):
        monkeypatch.setattr(room, "both", other_way_round)
    monkeypatch.setattr(sealrun.services.publication.reusing, "_ASKED_PER_ATTEMPT", asked)
    assert explore(play, preemptions + HARDER) > 1
    sample(play, seed=20260117 + HARDER, times=40 * 10**HARDER)
