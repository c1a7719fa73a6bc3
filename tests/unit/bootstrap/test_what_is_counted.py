"""Where things are counted: each is counted once, when it happened, and under the right name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders.folders import a_folder
from tests.fakes.delivery import FakeRegistry, PostOffice
from tests.fakes.journal import FakeFacts, FakeHashes
from tests.unit.bootstrap.test_keeping import CLOCK, ENTROPY, LAST, Place

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.machine.timers import SystemTimers, every
from sealrun.adapters.run_folders.run_folder import LocalFolder
from sealrun.adapters.telling.metering import ProcessMeters
from sealrun.bootstrap.daemon.tending import Tending
from sealrun.domain.errors import RunRejectedError, UnavailableError
from sealrun.domain.oversight.metering import (
    DELIVERY_SECONDS,
    GC_BYTES,
    GC_OBJECTS,
    GC_REFUSED,
    PARKED,
    PUBLISHED,
    RETRIED,
    TIMER_RUNS,
    VERIFY_BYTES,
    VERIFY_DAMAGE,
    Metric,
)
from sealrun.services.delivery.delivering import DeliveryLine
from sealrun.services.delivery.parts import LineParts
from sealrun.services.oversight.measuring import collected_fact, verified_fact
from sealrun.settings.resolved import VerifySettings

PATIENCE_S = 60.0
ALL = VerifySettings(subset=1.0)


def total(meters: ProcessMeters, metric: Metric) -> float:
    return meters.totals(metric).get(("main",), 0)


def test_only_bytes_that_were_read_count_as_hashed(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "12345", "b": "123"})
    later = (run / "b").stat().st_ctime_ns + 3_000_000_000
    counted: list[int] = []
    folder = LocalFolder(str(run), hashes=FakeHashes(), wall_ns=lambda: later, hashed=counted.append)
    folder.hash(folder.scan())
    folder.hash(folder.scan())
    (run / "a").write_bytes(b"1234567")
    folder.hash(folder.scan())
    assert counted == [8, 0, 7]


def test_a_timers_runs_are_counted_by_how_they_ended() -> None:
    meters, done = ProcessMeters(), threading.Event()
    timers = SystemTimers(FakeFacts(), SystemClock(), SystemEntropy(), meters)

    def fail() -> None:
        raise UnavailableError("away")

    def work() -> None:
        found = meters.totals(TIMER_RUNS)
        if found["good", "ok"] >= 2 and found["bad", "failed"]:
            done.set()

    timers.add("bad", every(0.02), fail)  # once it has failed it waits for some minutes
    timers.add("good", every(0.02), work)
    assert set(meters.totals(TIMER_RUNS).values()) == {0}
    timers.start()
    assert done.wait(PATIENCE_S)
    timers.close()
    found = meters.totals(TIMER_RUNS)
    assert found[("good", "ok")] >= 2
    assert (found[("bad", "failed")], found[("bad", "ok")], found[("good", "failed")]) == (1, 0, 0)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    made = PostOffice(tmp_path / "state")
    yield made
    made.close()


def test_a_delivery_is_counted_as_retried_until_it_is_published_and_its_duration_counts_from_the_seal(
    office: PostOffice,
) -> None:
    meters, registry = ProcessMeters(), FakeRegistry("main")
    parts = LineParts(
        journal=office.journal,
        clock=office.clock,
        entropy=office.entropy,
        folder_sources=lambda _run: lambda _entry: pytest.fail("nothing is uploaded"),
        is_there=lambda _run: True,
        meters=meters,
        accepted=office.reopened().moments.accepted,
    )
    line = DeliveryLine("main", registry.open, parts)
    office.accept("r1")
    registry.trouble = UnavailableError("away")
    office.drain(line)
    failed = total(meters, RETRIED)
    assert (failed >= 1, total(meters, PUBLISHED)) == (True, 0)
    registry.trouble = None
    office.clock.advance(3600)
    assert office.drain(line) == 1
    assert (total(meters, RETRIED), total(meters, PUBLISHED), total(meters, PARKED)) == (failed, 1, 0)
    (spread,) = (each for each in meters.spreads() if each.metric is DELIVERY_SECONDS)
    assert (sum(spread.counts), spread.sum) == (1, 3600.0)
    office.accept("r2")
    registry.trouble = RunRejectedError("no")
    office.drain(line)
    assert (total(meters, PARKED), total(meters, RETRIED)) == (1, failed)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.parts:
        yield made


def tending(place: Place, meters: ProcessMeters) -> Tending:
    return Tending(place.parts.journal, place.opener, CLOCK, ENTROPY, meters)


def test_a_collection_counts_what_it_deleted_and_when_it_ended_lasts(place: Place) -> None:
    place.publish(3)
    meters, before = ProcessMeters(), CLOCK.now().timestamp()
    assert place.parts.journal.facts.fact(collected_fact("main")) is None
    tending(place, meters).keep_round(place.spec, LAST)
    # The three models have 1000 bytes each; what retired runs hold beside them is collected as well.
    assert total(meters, GC_OBJECTS) >= 2
    assert total(meters, GC_BYTES) >= 2000
    assert total(meters, GC_REFUSED) == 0
    at = place.parts.journal.facts.fact(collected_fact("main"))
    assert isinstance(at, float)
    assert at >= before


def test_a_collection_that_cannot_be_is_counted_as_refused(place: Place) -> None:
    place.publish(1)
    meters = ProcessMeters()
    (place.folder / "registry" / "registry.json").unlink()
    tending(place, meters).keep_round(place.spec, LAST)
    assert total(meters, GC_REFUSED) == 1
    assert place.parts.journal.facts.fact(collected_fact("main")) is None


def test_a_verification_counts_what_it_read_and_what_is_damaged(place: Place) -> None:
    place.publish(2)
    meters = ProcessMeters()
    tending(place, meters).verify_round(place.spec, ALL)
    read = total(meters, VERIFY_BYTES)
    assert read >= 2000
    assert total(meters, VERIFY_DAMAGE) == 0
    assert place.parts.journal.facts.fact(verified_fact("main")) is not None
    (damaged, *_) = sorted((place.folder / "registry/store").rglob("*.*"), key=lambda path: -path.stat().st_size)
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    tending(place, meters).verify_round(place.spec, ALL)
    assert total(meters, VERIFY_DAMAGE) >= 1
    assert total(meters, VERIFY_BYTES) > read
