"""Deliveries of many runs side by side, where a command has no line: what must keep its order does."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from sealrun.services.threads.fanning import fan_through

T = TypeVar("T")


def in_lanes(numbers: Collection[int], shares: Callable[[int], Collection[str]]) -> list[list[int]]:
    """Share numbers out: those that have anything of ``shares(number)`` in common are in one lane, in order."""
    above: dict[int | str, int | str] = {}

    def top(node: int | str) -> int | str:
        while (up := above.setdefault(node, node)) != node:
            above[node] = above[up]
            node = up
        return node

    ordered = sorted(numbers)
    for number in ordered:
        for name in shares(number):
            above[top(number)] = top(name)
    lanes: dict[int | str, list[int]] = {}
    for number in ordered:
        lanes.setdefault(top(number), []).append(number)
    return list(lanes.values())


def deliver_together(
    numbers: Collection[int], shares: Callable[[int], Collection[str]], deliver: Callable[[int], T], width: int
) -> list[tuple[int, T]]:
    """Call ``deliver(number)`` for all, `width` at a time; return each number with its answer.

    What must not be delivered at the same time, nor in another order, shares a name. The first error stops the rest.
    """
    lanes = in_lanes(numbers, shares)

    def one_after_the_other(lane: list[int]) -> list[tuple[int, T]]:
        return [(number, deliver(number)) for number in lane]

    done = fan_through(one_after_the_other, lanes, min(width, len(lanes)), waiting_at_most=len(lanes))
    return [answer for lane in done for answer in lane]
