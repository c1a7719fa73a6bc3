"""Bulk work over an engine: few tasks in flight, answers as they come, the first error stops the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from itertools import islice
from typing import Generic, TypeVar

from sealrun.domain.errors import UnavailableError

A = TypeVar("A")
B = TypeVar("B")


class Waiting(Generic[A]):
    """What waits for its turn, first come, first served. Much of it is made when its turn has come."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._feeds: deque[Iterator[A]] = deque()

    def append(self, item: A) -> None:
        """Let one wait."""
        self.follow((item,))

    def follow(self, items: Iterable[A]) -> None:
        """Let all of `items` wait; none is taken before those that wait already."""
        self._feeds.append(iter(items))

    def take(self) -> list[A]:
        """Return the first that waits, alone in a list, or none."""
        while self._feeds:
            found = list(islice(self._feeds[0], 1))
            if found:
                return found
            self._feeds.popleft()
        return []


def spread(
    engine: Executor, call: Callable[[A], B], items: Iterable[A], width: int, urgent: Waiting[A] | None = None
) -> Iterator[tuple[A, B]]:
    """Yield each item with ``call(item)``, in the order in which they are done, at most `width` in flight.

    `call` and the items go to other processes: a function of a module, and values that can be pickled. An engine may
    run one twice (its worker was lost), so it has to be harmless to repeat. What is put into `urgent` while answers
    come goes before the rest of `items`. The first error is raised as it comes, and what has not begun is cancelled;
    `UnavailableError` if the engine itself broke.
    """
    rest = iter(items)
    waiting = Waiting[A]() if urgent is None else urgent
    running: dict[Future[B], A] = {}
    try:
        while True:
            while len(running) < width and (first := waiting.take()):
                running[engine.submit(call, first[0])] = first[0]
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
