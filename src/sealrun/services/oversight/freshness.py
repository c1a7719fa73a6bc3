"""What was read lately and may be shown again for a moment: the dearer it was to read, the longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from sealrun.domain.errors import UnavailableError
from sealrun.ports import Clock

T = TypeVar("T")

_LEAST_S = 2.0
_MOST_S = 60.0
_COST_FACTOR = 10.0
_PATIENCE_S = 20.0


class Fresh(Generic[T]):
    """One value, read again when it is asked for and is older than ten times what reading it took.

    At least two seconds and at most a minute. Whoever comes while somebody reads waits for that, `patience_s` at most,
    so that what takes long does not take every thread; an error is remembered by nobody. Any thread.
    """

    def __init__(
        self, read: Callable[[], T], clock: Clock, least_s: float = _LEAST_S, patience_s: float = _PATIENCE_S
    ) -> None:
        """Read nothing yet."""
        self._read = read
        self._clock = clock
        self._least_s = least_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._value: T | None = None
        self._until = -1.0

    def get(self) -> T:
        """Return the value; what reading it raises, or `UnavailableError` where somebody is still reading it."""
        if not self._lock.acquire(timeout=self._patience_s):
            raise UnavailableError("this is being read for somebody else, which takes long; try again in a moment")
        try:
            began = self._clock.monotonic()
            if self._value is None or began >= self._until:
                self._value = self._read()
                now = self._clock.monotonic()
                self._until = now + max(self._least_s, min(_MOST_S, _COST_FACTOR * (now - began)))
            return self._value
        finally:
            self._lock.release()
