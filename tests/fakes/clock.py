"""Time and chance under a test's control."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta


class FakeClock:
    """`ports.Clock` that stands still until it is told to move; sleeping moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 17, 15, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self._passed += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds


class FakeEntropy:
    """`ports.Entropy` that repeats itself for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._drawn = 0

    def hex(self, digits: int) -> str:
        self._drawn += 1
        return hashlib.sha512(f"{self._seed}:{self._drawn}".encode()).hexdigest()[:digits]

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2
