"""Samples in the formats that Prometheus reads. Its library is loaded when something is first written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sealrun.domain.oversight.metering import CATALOGUE, Metric, Sample, Spread

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import CollectorRegistry


_NO_MORE: Mapping[str, str] = MappingProxyType({})


class _Collected:
    """What prometheus_client asks for: the samples of one moment, grouped by metric."""

    def __init__(
        self, samples: Iterable[Sample], spreads: Iterable[Spread], more: Mapping[str, str] = _NO_MORE
    ) -> None:
        self._more = more
        self._values: dict[Metric, list[Sample]] = {}
        self._spreads: dict[Metric, list[Spread]] = {}
        for sample in samples:
            self._values.setdefault(sample.metric, []).append(sample)
        for spread in spreads:
            self._spreads.setdefault(spread.metric, []).append(spread)

    def collect(self) -> Iterator[Family]:
        for metric in CATALOGUE:
            if metric in self._values or metric in self._spreads:
                yield _family(metric, self._values.get(metric, ()), self._spreads.get(metric, ()), self._more)


def text_of(samples: Iterable[Sample], spreads: Iterable[Spread], more: Mapping[str, str] = _NO_MORE) -> bytes:
    """Write Prometheus' text format, of sealrun's own metrics only: a textfile stands beside those of others.

    Every sample has the labels in `more`, too, whose names no metric has.
    """
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415 - only who shows metrics pays for it

    return generate_latest(_registry(_Collected(samples, spreads, more)))


def answer_of(samples: Iterable[Sample], spreads: Iterable[Spread], accept: str) -> tuple[bytes, str]:
    """Write what a scraper that sends this Accept header prefers, with metrics of the process; and the content type.

    Formats are OpenMetrics and Prometheus' text format, which is what any other header gets.
    """
    from prometheus_client import GCCollector, PlatformCollector, ProcessCollector  # noqa: PLC0415 - as above
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - as above

    registry = _registry(_Collected(samples, spreads))
    for of_process in (ProcessCollector, PlatformCollector, GCCollector):
        of_process(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _registry(collected: Any) -> CollectorRegistry:  # noqa: ANN401 - what the library calls a collector is untyped
    from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415 - as above

    registry = CollectorRegistry(auto_describe=False)
    registry.register(collected)
    return registry


def _family(metric: Metric, samples: Sequence[Sample], spreads: Sequence[Spread], more: Mapping[str, str]) -> Family:
    from prometheus_client import metrics_core  # noqa: PLC0415 - as above

    names, values = (*metric.labels, *more), tuple(more.values())
    if metric.kind == "histogram":
        histogram = metrics_core.HistogramMetricFamily(metric.name, metric.help, labels=names)
        for spread in spreads:
            histogram.add_metric((*spread.labels, *values), _buckets(spread), spread.sum)
        return histogram
    kind = metrics_core.CounterMetricFamily if metric.kind == "counter" else metrics_core.GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=names)
    for sample in samples:
        family.add_metric((*sample.labels, *values), sample.value)
    return family


def _buckets(spread: Spread) -> list[tuple[str, float]]:
    """What each bucket holds with all before it, as the format wants it."""
    bounds = (*map(str, spread.metric.buckets), "+Inf")
    return list(zip(bounds, accumulate(spread.counts), strict=True))
