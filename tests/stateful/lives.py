"""Processes that can be suspended between any two calls of the store, go on hours later, or never."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from tests.builders.worlds import World
from tests.fakes.clock import FakeClock
from tests.fakes.gated import Call, GatedStore

from sealrun.ports import Store

T = TypeVar("T")


class SkewedClock(FakeClock):
    """A machine's own clock: it runs as the others do, and says something else."""

    def __init__(self, true: FakeClock, skew_s: float) -> None:
        super().__init__()
        self._true = true
        self._skew_s = skew_s

    def now(self) -> datetime:
        return self._true.now() + timedelta(seconds=self._skew_s)

    def monotonic(self) -> float:
        return self._true.monotonic()

    def sleep(self, seconds: float) -> None:
        self._true.sleep(seconds)

    def advance(self, seconds: float) -> None:
        self._true.advance(seconds)


class View(World):
    """A world as a machine with a wrong clock sees it; the store is the same, and has a clock of its own."""

    def __init__(self, true: World, skew_s: float) -> None:
        super().__init__(packs=true.packs)
        self.clock = SkewedClock(true.clock, skew_s)
        self.store = true.store


class Moment(NamedTuple):
    """Just before a process makes a call of this kind."""

    op: str
    key: str

    def has_come(self, call: Call) -> bool:
        """Tell whether `call` is one."""
        return call.op == self.op and self.key in call.key


HowFar = int | Moment | None
"""After so many calls, at that moment, or never."""


class KilledError(BaseException):
    """The process is gone."""


class Life:
    """One process. It makes calls of the store only while it is told to; what it raises is kept for whoever asks."""

    def __init__(self, store: Store, work: Callable[[Store], object]) -> None:
        self._store = store
        self._work = work
        self._until: HowFar = 0
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._killed = False
        self.ended = False
        self.result: object = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        self._back.acquire()  # it runs up to its first call

    def go_on(self, until: HowFar = None) -> bool:
        """Let it go on until then; tell whether it came to its end."""
        if not self.ended and until != 0:
            self._until = until
            self._go.release()
            self._back.acquire()
        return self.ended

    def kill(self) -> None:
        """End it where it is."""
        self._killed = True
        self.go_on()
        self._thread.join()

    def _live(self) -> None:
        try:
            self.result = self._work(GatedStore(self._store, self._gate))
        except BaseException as error:  # noqa: BLE001 - told to whoever started it
            self.error = error
        self.ended = True
        self._back.release()

    def _gate(self, call: Call, act: Callable[[], T]) -> T:
        if not self._killed and self._is_over(call):
            self._back.release()
            self._go.acquire()
        if self._killed:
            raise KilledError
        if isinstance(self._until, int):
            self._until -= 1
        return act()

    def _is_over(self, call: Call) -> bool:
        return self._until.has_come(call) if isinstance(self._until, Moment) else self._until == 0
