"""Many things a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_groups(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yield `items` in lists of at most `most`."""
    rest = iter(items)
    while group := list(islice(rest, most)):
        yield group


def in_portions(
    items: Iterable[T], weight_of: Callable[[T], int], enough: int, most: int | None = None
) -> Iterator[list[T]]:
    """Yield `items` in lists: each ends with the item by which it weighs `enough`, or when it has `most`."""
    portion: list[T] = []
    weight = 0
    for item in items:
        portion.append(item)
        weight += weight_of(item)
        if weight >= enough or len(portion) == most:
            yield portion
            portion, weight = [], 0
    if portion:
        yield portion
