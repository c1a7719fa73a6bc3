"""Runs that a command delivers side by side: what shares anything keeps its order, the rest need not wait."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.services.delivery.together import deliver_together, in_lanes

SHARED = st.lists(st.frozensets(st.sampled_from("abcdef"), max_size=3), max_size=12)


@given(SHARED)
def test_every_number_is_in_one_lane_and_what_shares_a_name_is_in_the_same(shared: list[frozenset[str]]) -> None:
    lanes = in_lanes(range(len(shared)), shared.__getitem__)
    assert sorted(number for lane in lanes for number in lane) == list(range(len(shared)))
    lane_of = {number: at for at, lane in enumerate(lanes) for number in lane}
    for lane in lanes:
        assert lane == sorted(lane)
    for one in range(len(shared)):
        for other in range(one):
            if shared[one] & shared[other]:
                assert lane_of[one] == lane_of[other]


def test_strangers_have_lanes_of_their_own() -> None:
    names = {1: "a", 2: "b", 3: "a", 4: ""}
    assert sorted(in_lanes([4, 3, 2, 1], lambda number: names[number])) == [[1, 3], [2], [4]]


def test_as_many_as_may_are_delivered_at_a_time_and_each_answer_is_told_with_its_number() -> None:
    meeting = threading.Barrier(3, timeout=30)

    def deliver(number: int) -> str:
        meeting.wait()  # breaks unless three are at it together
        return f"number {number}"

    answers = deliver_together(range(6), lambda _: (), deliver, 3)
    assert sorted(answers) == [(number, f"number {number}") for number in range(6)]


def test_the_first_error_is_raised() -> None:
    with pytest.raises(RuntimeError, match="2"):
        deliver_together([1, 2], lambda _: ("same",), _fail_at_two, 4)


def _fail_at_two(number: int) -> None:
    if number == 2:
        raise RuntimeError(number)
