from __future__ import annotations

from typing import Literal

import pytest

from sealrun.domain.curation.building import BuildStep, Move, Watched, plan_move
from sealrun.domain.errors import UnsupportedFormatError

LEASE = 60.0


def step(state: Literal["claimed", "built", "failed"], nonce: str = "n") -> BuildStep:
    return BuildStep(step=1, state=state, by="me", at="2026-01-17T15:00:00Z", nonce=nonce)


def test_whoever_asks_first_claims() -> None:
    assert plan_move(None, None, 0.0, LEASE) is Move.CLAIM


def test_what_is_built_is_taken_also_by_those_who_waited() -> None:
    assert plan_move(step("built"), None, 0.0, LEASE) is Move.TAKE
    assert plan_move(step("built"), Watched("n", 3, 0.0), 900.0, LEASE) is Move.TAKE


def test_a_builder_is_overtaken_only_after_a_whole_lease_without_a_sign_of_life() -> None:
    assert plan_move(step("claimed"), None, 900.0, LEASE) is Move.WAIT
    assert plan_move(step("claimed"), Watched("n", 3, 100.0), 160.0, LEASE) is Move.WAIT
    assert plan_move(step("claimed"), Watched("n", 3, 100.0), 160.1, LEASE) is Move.TAKE_OVER


def test_the_silence_of_an_earlier_builder_does_not_count_against_the_next() -> None:
    assert plan_move(step("claimed", "second"), Watched("first", 3, 0.0), 900.0, LEASE) is Move.WAIT


def test_a_failure_is_told_to_whoever_waited_for_it_and_tried_again_for_others() -> None:
    assert plan_move(step("failed"), Watched("n", 3, 0.0), 1.0, LEASE) is Move.GIVE_UP
    assert plan_move(step("failed"), Watched("earlier", 3, 0.0), 1.0, LEASE) is Move.CLAIM
    assert plan_move(step("failed"), None, 1.0, LEASE) is Move.CLAIM


def test_a_step_survives_being_written_and_read() -> None:
    built = BuildStep(
        step=2, state="built", by="me", at="2026-01-17T15:00:00Z", nonce="n", experiment="e", run_id="r", urn="u"
    )
    assert BuildStep.decode(built.encode(), "key") == built
    assert built.run == ("e", "r", "u")


def test_a_built_step_has_to_say_what_was_built() -> None:
    with pytest.raises(UnsupportedFormatError, match="does not name"):
        _ = step("built").run
