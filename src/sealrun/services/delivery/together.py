"""Deliveries of many runs side by side, where a command has no line: what must keep its order does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from sealrun.services.threads.fanning import fan_through

T = TypeVar("T")


def in_lanes(numbers: Sequence[int], shares: Callable[[int], Collection[str]]) -> list[list[int]]:
    """Share numbers out: those that have anything of ``shares(number)`` in common are in one lane, in order."""
    lane_of: dict[str, list[int]] = {}
    lanes: dict[int, list[int]] = {}
    for number in sorted(numbers):
        names = shares(number)
        joined = {id(lane): lane for name in names if (lane := lane_of.get(name)) is not None}
        lane = sorted((number, *(earlier for each in joined.values() for earlier in each)))
        for name, other in lane_of.items():
            if id(other) in joined:
                lane_of[name] = lane
        lane_of.update(dict.fromkeys(names, lane))
        lanes = {first: each for first, each in lanes.items() if id(each) not in joined} | {lane[0]: lane}
    return list(lanes.values())


def deliver_together(
    numbers: Sequence[int], shares: Callable[[int], Collection[str]], deliver: Callable[[int], T], width: int
) -> list[tuple[int, T]]:
    """Call ``deliver(number)`` for all, `width` at a time; return each number with its answer.

    What must not be delivered at the same time, nor in another order, shares a name. The first error stops the rest.
    """
    lanes = in_lanes(numbers, shares)

    def one_after_the_other(lane: list[int]) -> list[tuple[int, T]]:
        return [(number, deliver(number)) for number in lane]

    done = fan_through(one_after_the_other, lanes, min(width, len(lanes)), waiting_at_most=len(lanes))
    return [answer for lane in done for answer in lane]
