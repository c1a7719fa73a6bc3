"""Small requests side by side: one bounded pool for the length of one call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def fan_out(call: Callable[[A], B], items: Iterable[A], width: int) -> list[B]:
    """Return ``[call(item) for item in items]``, `width` at a time; the first error stops the rest and is raised.

    The caller takes the last item: two need one thread. With a width of one nothing leaves the calling thread, which
    tests of interleavings rely on.
    """
    ordered = list(items)
    width = min(width, len(ordered))
    if width <= 1:
        return [call(item) for item in ordered]
    with ThreadPoolExecutor(width - 1, thread_name_prefix="fan-out") as pool:
        futures = [pool.submit(call, item) for item in ordered[:-1]]
        try:
            last = call(ordered[-1])
            return [*(future.result() for future in futures), last]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def both(first: Callable[[], A], second: Callable[[], B], width: int) -> tuple[A, B]:
    """Return what the two calls return, side by side unless `width` is one; the first error is raised."""
    if width <= 1:
        return first(), second()
    with ThreadPoolExecutor(1, thread_name_prefix="fan-out") as pool:
        begun = pool.submit(first)
        done = second()
        return begun.result(), done


def fan_through(
    call: Callable[[A], B],
    items: Iterable[A],
    width: int,
    waiting_at_most: int | None = None,
    one_more: Callable[[], bool] = lambda: False,
) -> Iterator[B]:
    """Yield ``call(item)`` for every item, in order, `width` at a time; neither items nor answers pile up.

    Twice as many are begun or wait to be taken, or as many as may, and from then on `one_more` whenever that says so.
    The first error is raised where its answer would come. With a width of one nothing leaves the calling thread.
    """
    if width <= 1:
        yield from map(call, items)
        return
    most = 2 * width if waiting_at_most is None else waiting_at_most
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(width, thread_name_prefix="fan-through") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(call, item))
                if len(waiting) < most:
                    continue
                if one_more():
                    most += 1
                else:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
