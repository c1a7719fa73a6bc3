"""Small requests side by side: one bounded pool for the length of one call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def fan_out(call: Callable[[A], B], items: Iterable[A], width: int) -> list[B]:
    """Return ``[call(item) for item in items]``, `width` at a time; the first error stops the rest and is raised.

    With a width of one nothing leaves the calling thread, which tests of interleavings rely on.
    """
    ordered = list(items)
    width = min(width, len(ordered))
    if width <= 1:
        return [call(item) for item in ordered]
    with ThreadPoolExecutor(width, thread_name_prefix="fan-out") as pool:
        futures = [pool.submit(call, item) for item in ordered]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def in_groups(items: Iterable[A], most: int) -> Iterator[list[A]]:
    """Yield `items` in lists of at most `most`."""
    rest = iter(items)
    while group := list(islice(rest, most)):
        yield group


def fan_through(call: Callable[[A], B], items: Iterable[A], width: int) -> Iterator[B]:
    """Yield ``call(item)`` for every item, in order, `width` at a time; neither items nor answers pile up.

    The first error is raised where its answer would come. With a width of one nothing leaves the calling thread.
    """
    if width <= 1:
        yield from map(call, items)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(width, thread_name_prefix="fan-through") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(call, item))
                if len(waiting) >= 2 * width:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
