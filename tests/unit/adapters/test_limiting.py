"""How fast bytes go: an average that all share, whatever the kind of store."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from tests.builders.sources import Bytes, Pattern
from tests.conformance.factories import FACTORIES
from tests.fakes.clock import FakeClock

from sealrun.adapters.stores.limiting import LimitedStore, Limiter
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.holding import Holds
from sealrun.domain.address import Key
from sealrun.ports import Source

RATE = 1_000_000


def nothing() -> None:
    return None


def test_bytes_pass_at_the_rate_after_a_short_burst() -> None:
    clock = FakeClock()
    limiter = Limiter(clock, RATE)
    clock.advance(3600)  # what nobody asks for is not saved up
    for _ in range(100):
        limiter.take(100_000, nothing)
    assert 3600 + 9.5 <= clock.monotonic() <= 3600 + 10.1


def test_nothing_waits_for_nothing_and_no_limit_is_none() -> None:
    clock = FakeClock()
    Limiter(clock, RATE).take(0, nothing)
    Limiter(clock, None).take(1 << 40, nothing)
    assert clock.monotonic() == 0


def test_who_waits_says_so_again_and_again() -> None:
    clock, said = FakeClock(), []
    Limiter(clock, RATE).take(10 * RATE, lambda: said.append(clock.monotonic()))
    gaps = [later - earlier for earlier, later in itertools.pairwise(said)]
    assert len(said) >= 19
    assert max(gaps) <= 0.5


def test_records_never_wait_but_count() -> None:
    clock = FakeClock()
    limiter = Limiter(clock, RATE)
    limiter.charge(5 * RATE)
    assert clock.monotonic() == 0
    limiter.take(1, nothing)
    assert 4.7 <= clock.monotonic() <= 5.1


def test_who_waits_already_feels_a_change() -> None:
    clock = FakeClock()
    limiter = Limiter(clock, 1000)

    def faster() -> None:
        if clock.monotonic() > 2:
            limiter.change(None)

    limiter.take(1_000_000, faster)
    assert 2 < clock.monotonic() < 3.1
    limiter.change(RATE)
    before = clock.monotonic()
    limiter.take(RATE, nothing)
    assert 0.7 <= clock.monotonic() - before <= 1.1


class LockedClock(FakeClock):
    """Time that many threads may let pass; each waits on its own, so together they wait longer than it takes."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            super().sleep(seconds)


def test_those_who_upload_side_by_side_share_one_rate() -> None:
    clock = LockedClock()
    limiter = Limiter(clock, RATE)

    def upload() -> None:
        for _ in range(20):
            limiter.take(50_000, nothing)

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() >= 3.7


@pytest.mark.parametrize("kind", ["memory", "posix", "fsspec-memory", "fsspec-local", "moto"])
def test_every_kind_of_store_is_limited_and_stores_the_same_bytes(kind: str, tmp_path: Path) -> None:
    clock = FakeClock()
    items: list[tuple[Key, Source]] = [
        (Key("objects/small"), Bytes(b"x" * 100_000)),
        (Key("objects/large"), Pattern(b"0123456789" * 10_000, 20)),
    ]
    with FACTORIES[kind](tmp_path) as store:
        limiter = Limiter(clock, RATE)
        limited = LimitedStore(store, limiter)
        limited.put_many(items)
        assert 1.7 <= clock.monotonic() <= 2.3
        limited.create(Key("records/one"), b"y" * 1000)
        assert clock.monotonic() <= 2.3
        assert limited.read(Key("objects/small")) == b"x" * 100_000
        assert limited.read(Key("objects/large"), 1_999_990) == b"0123456789"
        assert limited.stage() is None
        limited.close()


def test_a_limit_outlives_a_change_of_settings_and_goes_with_its_line(tmp_path: Path) -> None:
    clock = FakeClock()

    class NoFacts:
        def fact(self, _key: str) -> object:
            return None

    holds = Holds(NoFacts(), clock)  # type: ignore[arg-type] # nothing is paused here

    def limited(limit: int | None) -> RegistrySpec:
        return holds.limited({"main": RegistrySpec(name="main", url=str(tmp_path), limit=limit)})["main"]

    assert limited(None).limiter is None
    first = limited(RATE).limiter
    assert first is not None
    assert limited(2 * RATE).limiter is first
    assert first.rate == 2 * RATE
    assert limited(None).limiter is None
    assert first.rate is None, "what is still in flight goes on without a limit, too"
