"""Time, chance, onlookers and replicas: what else a service asks of its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from sealrun.domain.oversight.metering import Labels, Metric
from sealrun.domain.runs.manifest import Entry
from sealrun.ports.stores import Source


class Replica(Protocol):
    """A place that may hold the bytes of runs: another registry, a mirror, the folder that was dropped. Never trusted.

    What it gives is read and compared with the digest before it is used.
    """

    @property
    def name(self) -> str:
        """What it is called in plans and messages."""
        ...

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:
        """Return where the bytes of an entry should be, or None if it has none; storage errors as they are."""
        ...


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Entropy(Protocol):
    """The only source of randomness."""

    def hex(self, digits: int) -> str:
        """Return that many random hexadecimal digits."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between the two."""
        ...


class Progress(Protocol):
    """Somebody who watches long work."""

    def phase(self, name: str, total_bytes: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """Announce a phase; the callable advances it by bytes and may be called from any thread."""
        ...


class Meters(Protocol):
    """Counts what this process does, for whoever operates it. Nothing here fails, waits or is durable.

    A meter is taken once, with its labels by name, and then called as often as need be, from any thread: a call costs
    an addition. What has been taken once is shown, with 0, before it happens. Metrics: `domain.oversight.metering`.
    """

    def counter(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:
        """Return what adds an amount, which is not negative, to a counter."""
        ...

    def histogram(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:
        """Return what adds one value to a histogram."""
        ...

    def totals(self, metric: Metric, /) -> Mapping[Labels, float]:
        """Return a counter's values so far, by its labels' values in their order."""
        ...


class _NoMeters:
    def counter(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:  # noqa: ARG002 - the port's
        return _count_nothing

    def histogram(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:  # noqa: ARG002 - the port's
        return _count_nothing

    def totals(self, metric: Metric, /) -> Mapping[Labels, float]:  # noqa: ARG002 - the port's
        return {}

    def __reduce__(self) -> str:
        return "UNMETERED"


def _count_nothing(_amount: float) -> None:
    return None


UNMETERED: Meters = _NoMeters()
"""Counts nothing: what everything is given that nobody measures."""
