"""Time and chance of this machine."""

from __future__ import annotations

import random
import secrets
import time
from datetime import UTC, datetime


class SystemClock:
    """`ports.Clock`."""

    def now(self) -> datetime:
        """Wall time, aware, UTC; see the port."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back; see the port."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; see the port."""
        time.sleep(seconds)


class SystemEntropy:
    """`ports.Entropy` from the operating system."""

    def __init__(self) -> None:
        """Draw from the operating system: nobody can predict a nonce."""
        self._random = random.SystemRandom()

    def hex(self, digits: int) -> str:
        """Return that many random hexadecimal digits; see the port."""
        return secrets.token_hex((digits + 1) // 2)[:digits]

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between the two; see the port."""
        return self._random.uniform(low, high)
