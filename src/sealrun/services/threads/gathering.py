"""What several threads want of one thing at a time, done in one go: the first acts, those who come meanwhile wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Generic, TypeVar

W = TypeVar("W")
R = TypeVar("R")


class _Waiter(Generic[W, R]):
    def __init__(self, wanted: W) -> None:
        self.wanted = wanted
        self.woken = Event()
        self.answer: tuple[R] | None = None
        self.error: Exception | None = None

    @property
    def is_over(self) -> bool:
        return self.answer is not None or self.error is not None


class Gathering(Generic[W, R]):
    """Lets threads that want something of the same thing act one after the other, each for all who wait by then."""

    def __init__(self) -> None:
        """Nobody is at it."""
        self._lock = Lock()
        self._waiting: dict[str, list[_Waiter[W, R]]] = {}
        """Who waits, for each thing that somebody is at."""

    def is_busy(self, thing: str) -> bool:
        """Tell whether somebody is at `thing`, so that whoever asks now waits, and is answered with others."""
        with self._lock:
            return thing in self._waiting

    def ask(self, thing: str, wanted: W, act: Callable[[Sequence[W]], Sequence[R]]) -> R:
        """Return the answer to `wanted` out of ``act``, which is called with all that is wanted by then, ours among it.

        It answers all of them, in order, and is never at work for the same `thing` in two threads. The error that it
        raises is everybody's; where a thread is interrupted in it, the others ask again.
        """
        mine: _Waiter[W, R] = _Waiter(wanted)
        with self._lock:
            queue = self._waiting.get(thing)
            if queue is None:
                self._waiting[thing] = []
            else:
                queue.append(mine)
        if queue is not None:
            mine.woken.wait()
        if not mine.is_over:
            self._act(thing, mine, act)
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None  # noqa: S101 - whoever acted left one
        return mine.answer[0]

    def _act(self, thing: str, mine: _Waiter[W, R], act: Callable[[Sequence[W]], Sequence[R]]) -> None:
        with self._lock:
            together, self._waiting[thing] = [mine, *self._waiting[thing]], []
        try:
            for each, answer in zip(together, act([each.wanted for each in together]), strict=True):
                each.answer = (answer,)
        except Exception as error:  # noqa: BLE001 - it is raised where each of them asked
            for each in together:
                each.error = error
        finally:
            with self._lock:
                left = [each for each in together[1:] if not each.is_over] + self._waiting[thing]
                if left:
                    self._waiting[thing] = left[1:]
                else:
                    del self._waiting[thing]
            for each in together[1:]:
                if each.is_over:
                    each.woken.set()
            if left:
                left[0].woken.set()
