"""Meters of one process: numbers in memory, added to without locks and without allocations."""

from __future__ import annotations

import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from sealrun.domain.oversight.metering import COUNTED, Labels, Metric, Sample, Spread
from sealrun.domain.ready import ready
from sealrun.ports import UNMETERED

_Kept = list[tuple[str, list[str], list[float]]]


class _Count:
    """A number. CPython with its lock switches threads only at calls and backward jumps: `+=` on it is one step."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float) -> None:
        self.value += amount


class _Histogram:
    """Numbers by bucket; the sum may be read a moment before or after the counts."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        place = bisect_left(self.bounds, value)
        self.counts[place] += 1
        self.sum += value


class ProcessMeters:
    """`ports.Meters` in memory. Where threads run without the interpreter's lock, an addition takes a lock of its own.

    Pickled, it becomes meters that count nothing: another process has its own.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock, self._adding = threading.Lock(), threading.Lock()
        self._counts: dict[Metric, dict[Labels, _Count]] = {}
        self._histograms: dict[Metric, dict[Labels, _Histogram]] = {}
        self._locked = not getattr(sys, "_is_gil_enabled", lambda: True)()

    def counter(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:
        """Return what adds to a counter; see the port."""
        key = _key(metric, labels)
        with self._lock:
            count = self._counts.setdefault(metric, {}).setdefault(key, _Count())
        return self._safe(count.add)

    def histogram(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:
        """Return what adds to a histogram; see the port."""
        key = _key(metric, labels)
        with self._lock:
            histogram = self._histograms.setdefault(metric, {}).setdefault(key, _Histogram(metric.buckets))
        return self._safe(histogram.add)

    def totals(self, metric: Metric, /) -> Mapping[Labels, float]:
        """Return a counter's values so far; see the port."""
        with self._lock:
            known = list(self._counts.get(metric, {}).items())
        return {labels: count.value for labels, count in known}

    def samples(self) -> Iterator[Sample]:
        """Return every counter's value."""
        with self._lock:
            known = [(metric, key, count) for metric, by_key in self._counts.items() for key, count in by_key.items()]
        for metric, labels, count in known:
            yield Sample(metric, labels, count.value)

    def spreads(self) -> Iterator[Spread]:
        """Return every histogram."""
        with self._lock:
            known = [(metric, key, each) for metric, by_key in self._histograms.items() for key, each in by_key.items()]
        for metric, labels, each in known:
            yield Spread(metric, labels, tuple(each.counts), each.sum)

    def to_keep(self) -> list[list[object]]:
        """Return what was counted, as JSON values."""
        kept: list[list[object]] = []
        kept += ([each.metric.name, list(each.labels), [each.value]] for each in self.samples())
        kept += ([each.metric.name, list(each.labels), [*each.counts, each.sum]] for each in self.spreads())
        return kept

    def take_over(self, kept: object) -> None:
        """Add what an earlier process counted, as `to_keep` returned it; what is unknown by now is left out."""
        by_name = {metric.name: metric for metric in COUNTED}
        with suppress(msgspec.ValidationError):
            for name, labels, numbers in msgspec.convert(kept, ready(_Kept)):
                metric = by_name.get(name)
                if metric is not None and len(labels) == len(metric.labels):
                    self._add(metric, dict(zip(metric.labels, labels, strict=True)), numbers)

    def _add(self, metric: Metric, labels: Mapping[str, str], numbers: Sequence[float]) -> None:
        if metric.kind == "counter":
            self.counter(metric, **labels)(numbers[0])
        elif len(numbers) == len(metric.buckets) + 2:
            self.histogram(metric, **labels)
            with self._lock:
                mine = self._histograms[metric][_key(metric, labels)]
            mine.counts = [old + int(new) for old, new in zip(mine.counts, numbers, strict=False)]
            mine.sum += numbers[-1]

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return _no_meters, ()

    def _safe(self, add: Callable[[float], object]) -> Callable[[float], object]:
        if not self._locked:
            return add

        def add_alone(amount: float) -> None:
            with self._adding:
                add(amount)

        return add_alone


def _no_meters() -> object:
    return UNMETERED


def _key(metric: Metric, labels: Mapping[str, str]) -> Labels:
    if labels.keys() != set(metric.labels):
        msg = f"{metric.name} has the labels {metric.labels}, not {tuple(labels)}"
        raise ValueError(msg)
    return tuple(labels[name] for name in metric.labels)
