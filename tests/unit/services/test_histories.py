"""What a daemon remembers of its registries over time: bounded, thinned with age, and as it was noted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.crowds import a_crowded_registry
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.journal import FakeFacts

from sealrun.domain.upkeep.damage import Damage, VerifyReport
from sealrun.services.access.reading import Reader
from sealrun.services.mending.scrub_history import MOST_DAMAGES, MOST_ROUNDS, remember_scrub, scrub_results
from sealrun.services.oversight.run_lists import RunLists
from sealrun.services.oversight.storage_history import EVERY_S, MOST_POINTS, _Kept, storage_points, take_point, thinned

_DAY_S = 24 * 3600.0


def test_points_are_hourly_at_first_and_fewer_the_older_they_are() -> None:
    kept: list[_Kept] = []
    for hour in range(3 * 365 * 24):
        now = hour * EVERY_S
        kept.append(_Kept(at=now, runs=hour, logical=0))
        if hour % 500 == 0 or hour > 3 * 365 * 24 - 3:
            kept = thinned(kept, now)
    ages = [(now - point.at) / _DAY_S for point in kept]
    assert sum(age <= 7 for age in ages) == 7 * 24 + 1
    assert sum(7 < age <= 90 for age in ages) == pytest.approx(83 * 4, rel=0.05)
    assert sum(90 < age <= 730 for age in ages) == pytest.approx(640, rel=0.05)
    assert len(kept) < MOST_POINTS
    assert [point.at for point in kept] == sorted(point.at for point in kept)
    assert kept[-1].at == now


def test_a_clock_that_was_set_back_loses_no_points() -> None:
    points = [_Kept(at=at, runs=1, logical=0) for at in (1000.0, 5000.0, 2000.0)]
    assert thinned(points, 2000.0) == points


def test_a_large_registry_is_not_listed_for_every_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, facts = FakeClock(), FakeFacts()
    store = a_crowded_registry(tmp_path / "registry", 20, 2)
    listings: list[str] = []
    inner = store.list

    def slow(prefix: str, *, limit: int | None = None) -> object:
        if prefix.startswith("store/"):
            listings.append(prefix)
            clock.sleep(60.0)  # so that both take two minutes: a hundredth of two hundred
        return inner(prefix, limit=limit)

    monkeypatch.setattr(store, "list", slow)
    for _ in range(6):
        lists = RunLists(Reader(store, clock, FakeEntropy(1)), clock)
        take_point(facts, clock, "main", store, lists, {"list": 3})
        clock.sleep(EVERY_S)
    points = storage_points(facts, "main")
    assert len(points) == 6
    assert [point.runs for point in points] == [20] * 6
    assert {point.stored_bytes for point in points} == {0}
    assert len(listings) == 2 * 2
    assert points[0].requests == {"list": 3}


def test_rounds_of_verification_are_remembered_the_newest_first_and_not_for_ever() -> None:
    clock, facts = FakeClock(), FakeFacts()
    damages = tuple(Damage(ref=f"e/{number}", kind="bytes", detail="wrong", path="a") for number in range(80))
    for number in range(MOST_ROUNDS + 5):
        report = VerifyReport(runs=number, objects=2, bytes_read=3, damages=damages if number % 2 else ())
        remember_scrub(facts, clock, "main", report)
    remember_scrub(facts, clock, "main", None, "the registry is down")
    found = scrub_results(facts, "main")
    assert len(found) == MOST_ROUNDS
    assert (found[0].problem, found[0].runs) == ("the registry is down", 0)
    assert [found[1].runs, found[2].runs] == [MOST_ROUNDS + 4, MOST_ROUNDS + 3]
    assert found[1].damage == []
    assert len(found[2].damage) == MOST_DAMAGES + 1
    assert found[2].damage[0] == "e/0:a: bytes: wrong"
    assert scrub_results(facts, "other") == []
