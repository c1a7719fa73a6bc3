"""Meters in memory: exact with many threads, kept from one command to the next."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Iterator

import pytest

from sealrun.adapters.telling.metering import ProcessMeters
from sealrun.domain.oversight.metering import (
    DELIVERY_SECONDS,
    REQUESTS,
    SEALED,
    UPLOADED_BYTES,
    Labels,
    Metric,
    Sample,
    requests_of,
)
from sealrun.ports import UNMETERED


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("locked", [False, True])
def test_no_addition_is_lost_among_many_threads(locked: bool) -> None:  # noqa: FBT001 - a parameter of the test
    meters = ProcessMeters()
    meters._locked = meters._locked or locked

    def work() -> None:
        count = meters.counter(UPLOADED_BYTES, registry="main")
        spread = meters.histogram(DELIVERY_SECONDS, registry="main")
        for _ in range(20_000):
            count(3)
            spread(2.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meters.totals(UPLOADED_BYTES) == {("main",): 480_000}
    (spread,) = meters.spreads()
    assert (sum(spread.counts), spread.sum) == (160_000, 320_000.0)


def test_what_was_taken_is_there_with_zero_before_it_happens() -> None:
    meters = ProcessMeters()
    meters.counter(SEALED, watch="training")
    assert list(meters.samples()) == [Sample(SEALED, ("training",), 0)]


def test_a_value_on_a_bound_belongs_to_that_bucket_and_a_larger_one_to_the_next() -> None:
    meters = ProcessMeters()
    metric = Metric("sealrun_test_seconds", "histogram", "", (), (1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.5, 1e9):
        meters.histogram(metric)(value)
    assert [spread.counts for spread in meters.spreads()] == [(2, 2, 2)]


@pytest.mark.parametrize("labels", [{}, {"watch": "a", "run": "b"}, {"registry": "a"}])
def test_other_labels_than_the_metric_has_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="sealrun_watch_runs_sealed_total has the labels"):
        ProcessMeters().counter(SEALED, **labels)


def test_in_another_process_they_count_nothing() -> None:
    assert pickle.loads(pickle.dumps(ProcessMeters())) is UNMETERED  # noqa: S301 - our own
    assert pickle.loads(pickle.dumps(UNMETERED)) is UNMETERED  # noqa: S301 - our own
    UNMETERED.counter(SEALED, watch="a")(1)
    UNMETERED.histogram(DELIVERY_SECONDS, registry="a")(1)
    assert UNMETERED.totals(SEALED) == {}


def test_a_later_process_goes_on_from_what_was_kept() -> None:
    first, second = ProcessMeters(), ProcessMeters()
    first.counter(SEALED, watch="a")(2)
    first.histogram(DELIVERY_SECONDS, registry="main")(2.0)
    second.take_over(first.to_keep())
    second.counter(SEALED, watch="a")(1)
    second.histogram(DELIVERY_SECONDS, registry="main")(7.0)
    assert second.totals(SEALED) == {("a",): 3}
    (spread,) = second.spreads()
    assert (spread.counts[1], spread.counts[2], spread.sum) == (1, 1, 9.0)


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "text",
        [["sealrun_never_known_total", [], [1]]],
        [["sealrun_watch_runs_sealed_total", ["a", "b"], [1]]],
        [["sealrun_registry_delivery_duration_seconds", ["main"], [1, 2]]],
        [["sealrun_watch_runs_sealed_total", ["a"], "x"]],
    ],
)
def test_what_is_kept_in_no_form_that_is_known_is_left_out(kept: object) -> None:
    meters = ProcessMeters()
    meters.take_over(kept)
    assert list(meters.samples()) == []
    assert [sum(spread.counts) for spread in meters.spreads()] in ([], [0])


def test_requests_are_summed_by_operation() -> None:
    totals: dict[Labels, float] = {
        ("main", "read", "ok"): 2.0,
        ("main", "read", "missing"): 1.0,
        ("main", "put", "ok"): 0.0,
        ("other", "read", "ok"): 5.0,
    }
    assert requests_of(totals, "main") == {"read": 3}
    assert REQUESTS.labels == ("registry", "operation", "outcome")
