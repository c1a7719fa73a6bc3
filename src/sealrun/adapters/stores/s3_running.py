"""Coroutines on fsspec's loop, started, awaited and cancelled from ordinary threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Running(Generic[T]):
    """A coroutine on a loop that belongs to another thread.

    Unlike a future from `asyncio.run_coroutine_threadsafe` it is done only when the coroutine has really ended, even
    after a cancellation: nothing goes on behind the back of whoever waited.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        """Start `coroutine` on `loop`."""
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        self._outcome: Future[T] = Future()
        loop.call_soon_threadsafe(self._begin, coroutine)

    def cancel(self) -> None:
        """Ask it to end; harmless when it has."""
        self._loop.call_soon_threadsafe(self._cancel)  # comes after `_begin`: callbacks run in order

    def when_done(self, call: Callable[[Future[T]], object]) -> None:
        """Call back with the outcome, on the loop's thread, or at once if it is known."""
        self._outcome.add_done_callback(call)

    def settle(self) -> None:
        """Wait until it has ended, however."""
        wait([self._outcome])

    def result(self) -> T:
        """Return what the coroutine returns or raise what it raises. An interrupted wait ends it first."""
        try:
            return self._outcome.result()
        except BaseException:
            if not self._outcome.done():
                self.cancel()
                self.settle()
            raise

    def _begin(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._task = self._loop.create_task(coroutine)
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._outcome.set_exception(asyncio.CancelledError())
        elif error := task.exception():
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(task.result())
