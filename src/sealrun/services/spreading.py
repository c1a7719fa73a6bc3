"""Bulk work over an engine: few tasks in flight, answers as they come, the first error stops the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def spread(engine: Executor, call: Callable[[A], B], items: Iterable[A], width: int) -> Iterator[tuple[A, B]]:
    """Yield each item with ``call(item)``, in the order in which they are done, at most `width` in flight.

    `call` and the items go to other processes: a function of a module, and values that can be pickled. An engine may
    run one twice (its worker was lost), so it has to be harmless to repeat. The first error is raised as it comes, and
    what has not begun is cancelled.
    """
    rest = iter(items)
    running: dict[Future[B], A] = {}
    try:
        while True:
            for item in islice(rest, width - len(running)):
                running[engine.submit(call, item)] = item
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()
