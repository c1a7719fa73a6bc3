"""Bulk work over an engine: few tasks in flight, answers as they come, the first error stops the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from itertools import islice
from typing import TypeVar

from sealrun.domain.errors import UnavailableError

A = TypeVar("A")
B = TypeVar("B")


def spread(
    engine: Executor, call: Callable[[A], B], items: Iterable[A], width: int, urgent: deque[A] | None = None
) -> Iterator[tuple[A, B]]:
    """Yield each item with ``call(item)``, in the order in which they are done, at most `width` in flight.

    `call` and the items go to other processes: a function of a module, and values that can be pickled. An engine may
    run one twice (its worker was lost), so it has to be harmless to repeat. What is put into `urgent` while answers
    come goes before the rest of `items`. The first error is raised as it comes, and what has not begun is cancelled;
    `UnavailableError` if the engine itself broke.
    """
    rest = iter(items)
    waiting: deque[A] = deque() if urgent is None else urgent
    running: dict[Future[B], A] = {}
    try:
        while True:
            while waiting and len(running) < width:
                item = waiting.popleft()
                running[engine.submit(call, item)] = item
            for item in islice(rest, width - len(running)):
                running[engine.submit(call, item)] = item
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    except BrokenExecutor as error:
        raise _broken(error) from error
    finally:
        for future in running:
            future.cancel()


def spread_in_order(engine: Executor, call: Callable[[A], B], items: Iterable[A], width: int) -> Iterator[B]:
    """Yield ``call(item)`` for every item, in order, at most `width` in flight. Otherwise as `spread`."""
    running: deque[Future[B]] = deque()
    try:
        for item in items:
            running.append(engine.submit(call, item))
            if len(running) >= width:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BrokenExecutor as error:
        raise _broken(error) from error
    finally:
        for future in running:
            future.cancel()


def _broken(error: BrokenExecutor) -> UnavailableError:
    return UnavailableError(
        f"the engine lost a worker and cannot go on ({error}); look whether it ran out of memory, and repeat"
    )
