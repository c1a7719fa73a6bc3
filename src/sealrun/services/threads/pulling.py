"""Jobs of very different length side by side: each worker takes the next as soon as it is free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event, Lock
from typing import Generic, Self, TypeVar

A = TypeVar("A")
Job = Callable[[], None]


class StoppedError(Exception):
    """Raised by a long job that finds `stop` set: somebody else has failed, or the user wants an end."""


class Shared(Generic[A]):
    """An iterator that many workers take from."""

    def __init__(self, items: Iterable[A]) -> None:
        """Hand out `items`, each to one of them; nothing is taken before it is asked for."""
        self._items = iter(items)
        self._lock = Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> A:
        with self._lock:
            return next(self._items)


def work_off(feeds: Sequence[Iterable[Job]], stop: Event) -> None:
    """Do all jobs; each feed is what one worker does, one after the other. Return when all is done.

    The first error sets `stop`, which ends every worker after its present job, and is raised. An interruption does so,
    too. With one feed nothing leaves the calling thread, which tests of interleavings rely on.
    """
    errors: list[BaseException] = []

    def work(feed: Iterable[Job]) -> None:
        try:
            for job in feed:
                if stop.is_set():
                    return
                job()
        except BaseException as error:  # noqa: BLE001 - it is raised below, in the caller's thread
            errors.append(error)
            stop.set()

    if len(feeds) == 1:
        work(feeds[0])
    else:
        with ThreadPoolExecutor(max(len(feeds), 1), thread_name_prefix="work-off") as pool:
            working = [pool.submit(work, feed) for feed in feeds]
            try:
                wait(working)
            except BaseException:
                stop.set()
                raise
    if errors:
        raise errors[0]
