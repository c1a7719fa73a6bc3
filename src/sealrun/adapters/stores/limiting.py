"""How fast bytes go to a registry: one limiter for all that goes there from this process, whatever kind of store it is.

What is limited is an average: pieces leave at full speed, with pauses between them. Records count, and never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from sealrun.adapters.stores.surrounding import SurroundingStore, is_taken_over
from sealrun.domain.address import Key
from sealrun.domain.oversight.hearing import HeardSource
from sealrun.domain.pieces import Body
from sealrun.ports import Clock, Creation, Source, Stage, Store

_BURST_S = 0.25
_SLICE_S = 0.5
_SHORTEST_S = 0.001
"""Less is not worth waiting for, and a clock may not even show it."""


class Limiter:
    """Lets so many bytes a second pass, in the order in which they ask. Any thread."""

    def __init__(self, clock: Clock, rate: int | None) -> None:
        """Let `rate` bytes a second pass; None is any number."""
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = rate
        self._asked = 0.0
        self._allowed = 0.0
        self._at = clock.monotonic()

    @property
    def rate(self) -> int | None:
        """Bytes a second; None is any number."""
        return self._rate

    def change(self, rate: int | None) -> None:
        """Let so many pass from now on; who waits already feels it within half a second."""
        with self._lock:
            self._settle()
            self._rate = rate

    def charge(self, size: int) -> None:
        """So many bytes pass without waiting; the next ones wait longer."""
        with self._lock:
            self._settle()
            self._asked += size

    def take(self, size: int, waiting: Callable[[], None]) -> None:
        """Wait until `size` bytes may pass; `waiting` is called now and then meanwhile."""
        if not size:
            return
        with self._lock:
            self._settle()
            self._asked += size
            mine = self._asked
        while (pause := self._left(mine)) > _SHORTEST_S:
            waiting()
            self._clock.sleep(min(pause, _SLICE_S))

    def _left(self, mine: float) -> float:
        with self._lock:
            self._settle()
            return 0.0 if self._rate is None else max(0.0, mine - self._allowed) / self._rate

    def _settle(self) -> None:
        """Allow what the time since the last time allows; what nobody asks for is not saved up for long."""
        now = self._clock.monotonic()
        passed, self._at = now - self._at, now
        if self._rate is None:
            self._allowed = self._asked
        else:
            self._allowed = min(self._allowed + passed * self._rate, self._asked + _BURST_S * self._rate)


class LimitedStore(SurroundingStore):
    """`ports.Store` into which bytes pass at the limiter's rate.

    It has no stage: what is copied while it is hashed would hold up sealing.
    """

    def __init__(self, inner: Store, limiter: Limiter, waiting: Callable[[], None] | None = None) -> None:
        """Have everything that is stored pass the limiter. `waiting` is called now and then while it waits."""
        super().__init__(inner)
        self._limiter = limiter
        self._waiting = waiting or _say_nothing

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key`; see the port."""
        self._charge(body)
        return self.inner.create(key, body)

    def put(self, key: Key, body: bytes) -> None:
        """Write an owned record; see the port."""
        self._charge(body)
        self.inner.put(key, body)

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store many; see the port. What waits in a stage of the store was copied before there was a limit."""

        def passed(size: int) -> None:
            self._limiter.take(size, self._waiting)

        self.inner.put_many(
            ((key, source if is_taken_over(source) else HeardSource(source, passed)) for key, source in items),
            on_stored,
        )

    def stage(self) -> Stage | None:
        """None."""
        return None

    def _charge(self, body: Body) -> None:
        if isinstance(body, bytes):
            self._limiter.charge(len(body))


def _say_nothing() -> None:
    return None
