"""Runs on their way: who is in flight to which registry, how far it is, and how fast bytes go there.

All of it is for people and is lost with the process. Bytes count when they are read to be sent; what a registry has
already is never read, so that a run may arrive before all of it was counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sealrun.domain.errors import SealrunError
from sealrun.domain.moments import rfc3339
from sealrun.domain.oversight.board import InFlight
from sealrun.domain.oversight.hearing import HeardSource
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.sealed import SealedRun
from sealrun.ports import Clock, Source

WINDOW_S = 30.0
"""A rate is that of the last so many seconds."""
_SLOT_S = 1.0


class Trip:
    """One run on its way. Any thread."""

    def __init__(self, ref: str, started_at: str, total: int, count: Callable[[int], None]) -> None:
        """Begin at nothing; `count` hears of bytes, too."""
        self.ref = ref
        self.started_at = started_at
        self.total = total
        self.done = 0
        self._count = count
        self._lock = threading.Lock()

    def advance(self, size: int) -> None:
        """So many bytes more were read."""
        with self._lock:
            self.done += size
        self._count(size)

    def counting(self, sources: Callable[[Entry], Source], pause: Callable[[], None]) -> Callable[[Entry], Source]:
        """Return sources whose bytes are counted as they are read. `pause` is called before each, and may raise."""

        def source(entry: Entry) -> Source:
            pause()
            found = sources(entry)
            if hasattr(found, "take"):  # waits in a stage, and is moved, not read: its store knows its own
                self.advance(found.size)
                return found
            return HeardSource(found, self.advance)

        return source

    def shown(self) -> InFlight:
        """How far it is now."""
        done = min(self.done, self.total)  # what is sent twice, after an error, is read twice
        phase = "finishing" if done == self.total else "sending"
        return InFlight(ref=self.ref, started_at=self.started_at, phase=phase, done_bytes=done, total_bytes=self.total)


class Travels:
    """What is in flight, to every registry of one daemon; outlives a change of settings. Any thread."""

    def __init__(self, clock: Clock) -> None:
        """Measure with `clock`."""
        self._clock = clock
        self._lock = threading.Lock()
        self._trips: dict[str, list[Trip]] = {}
        self._slots: dict[str, deque[tuple[float, int]]] = {}

    @contextmanager
    def trip(self, registry: str, run: SealedRun) -> Iterator[Trip]:
        """A run is on its way while this lasts."""
        ref, total = _described(run)
        started = rfc3339(self._clock.now())
        trip = Trip(ref, started, total, lambda size: self._passed(registry, size))
        with self._lock:
            self._trips.setdefault(registry, []).append(trip)
        try:
            yield trip
        finally:
            with self._lock:
                self._trips[registry].remove(trip)

    def of(self, registry: str) -> tuple[InFlight, ...]:
        """What is in flight there, oldest first."""
        with self._lock:
            trips = list(self._trips.get(registry, ()))
        return tuple(trip.shown() for trip in trips)

    def rate(self, registry: str) -> float | None:
        """Bytes per second that went there lately; None where nothing is in flight."""
        with self._lock:
            if not self._trips.get(registry):
                return None
            now = self._clock.monotonic()
            recent = [(at, size) for at, size in self._slots.get(registry, ()) if at > now - WINDOW_S]
            if not recent:
                return 0.0
            return sum(size for _, size in recent) / max(_SLOT_S, now - recent[0][0])

    def _passed(self, registry: str, size: int) -> None:
        now = self._clock.monotonic()
        with self._lock:
            slots = self._slots.setdefault(registry, deque())
            if slots and now - slots[-1][0] < _SLOT_S:
                slots[-1] = (slots[-1][0], slots[-1][1] + size)
            else:
                slots.append((now, size))
            while slots and slots[0][0] < now - WINDOW_S:
                slots.popleft()


def _described(run: SealedRun) -> tuple[str, int]:
    try:
        envelope = run.envelope()
    except SealrunError:
        return "?", 0
    return f"{envelope.experiment}/{envelope.run_id}", envelope.size
