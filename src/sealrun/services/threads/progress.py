"""What is under way in this process, and when it last got on: what a watchdog judges by.

Whoever works says so (`Works.under_way`); whatever gets on below, in the same thread or in others, calls the pulse of
that work. A thread finds the pulse of the work it does with `moving`; who hands work to other threads takes it along.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sealrun.domain.oversight.progress import Work

Moved = Callable[[], None]
_here = threading.local()


class Pulse:
    """When something last got on. Called from any thread, often."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """It has not yet."""
        self._monotonic = monotonic
        self.last = -math.inf

    def __call__(self) -> None:
        """It got on: bytes were read or written, a request was answered, a step was done."""
        self.last = self._monotonic()


class Works:
    """Everything under way in one process. Safe to use from many threads."""

    def __init__(self, monotonic: Callable[[], float] = lambda: 0.0) -> None:
        """Nothing is. The default clock is for works that nobody judges."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._under_way: dict[object, tuple[str, float, Pulse, int]] = {}

    def pulse(self) -> Pulse:
        """Return a pulse that several pieces of work may share: what moves one of them counts for all."""
        return Pulse(self._monotonic)

    @contextmanager
    def under_way(self, name: str, pulse: Pulse | None = None) -> Iterator[None]:
        """Do the work called `name` in this thread while the block runs. Without a `pulse` it has one of its own."""
        mine, work = pulse or self.pulse(), object()
        before: Pulse | None = getattr(_here, "pulse", None)
        with self._lock:
            self._under_way[work] = (name, self._monotonic(), mine, threading.get_ident())
        _here.pulse = mine
        try:
            yield
        finally:
            _here.pulse = before
            with self._lock:
                del self._under_way[work]

    def seen(self) -> tuple[Work, ...]:
        """Describe what is under way now."""
        with self._lock:
            found = tuple(self._under_way.values())
        return tuple(Work(name, began, pulse.last, thread) for name, began, pulse, thread in found)


def moving() -> Moved | None:
    """Return the pulse of the work that this thread does, to be called from any thread; None if it does none."""
    pulse: Pulse | None = getattr(_here, "pulse", None)
    return pulse


def moved() -> None:
    """Say that the work of this thread, if it does any that is known, got on."""
    if (pulse := moving()) is not None:
        pulse()
