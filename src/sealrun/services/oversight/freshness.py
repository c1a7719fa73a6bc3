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
_SOON_S = 3.0
_AGAIN_S = 10.0


class Fresh(Generic[T]):
    """One value, read again when it is asked for and is older than ten times what reading it took.

    At least two seconds and at most a minute. Whoever comes while somebody reads waits for that, `patience_s` at most,
    so that what takes long does not take every thread; an error is remembered by nobody. Any thread.

    A `lasting` value is given as it was read last where it cannot be read now, or that takes somebody long: `problem`
    then says why it is old.
    """

    def __init__(
        self,
        read: Callable[[], T],
        clock: Clock,
        least_s: float = _LEAST_S,
        patience_s: float = _PATIENCE_S,
        *,
        lasting: bool = False,
    ) -> None:
        """Read nothing yet."""
        self._read = read
        self._clock = clock
        self._least_s = least_s
        self._patience_s = patience_s
        self._lasting = lasting
        self._lock = threading.Lock()
        self._value: T | None = None
        self._until = -1.0
        self.problem: str | None = None

    def get(self) -> T:
        """Return the value; what reading it raises, or `UnavailableError` where somebody is still reading it."""
        known = self._value if self._lasting else None
        if not self._lock.acquire(timeout=self._patience_s if known is None else min(_SOON_S, self._patience_s)):
            if known is not None:
                self.problem = "it takes long to answer"
                return known
            raise UnavailableError("this is being read for somebody else, which takes long; try again in a moment")
        try:
            began = self._clock.monotonic()
            if self._value is None or began >= self._until:
                self._value = self._read_or_known(began)
            return self._value
        finally:
            self._lock.release()

    def _read_or_known(self, began: float) -> T:
        try:
            value = self._read()
        except UnavailableError as error:
            if not self._lasting or self._value is None:
                raise
            self.problem, self._until = str(error), self._clock.monotonic() + _AGAIN_S
            return self._value
        now = self._clock.monotonic()
        self.problem, self._until = None, now + max(self._least_s, min(_MOST_S, _COST_FACTOR * (now - began)))
        return value
