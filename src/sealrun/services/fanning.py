"""Small requests side by side: one bounded pool for the length of one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
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
