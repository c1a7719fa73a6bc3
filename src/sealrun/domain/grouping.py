"""Many things a few at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_groups(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yield `items` in lists of at most `most`."""
    rest = iter(items)
    while group := list(islice(rest, most)):
        yield group
