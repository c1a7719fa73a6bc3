"""Verifying by what was listed at the beginning: what changes meanwhile is no damage, and damage is still found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from benchmarks.counting import CountingStore
from tests.builders.worlds import EVERYTHING_PACKED, World, published, retire
from tests.fakes.clock import FakeEntropy

from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.verification import verify
from sealrun.domain.address import Key
from sealrun.domain.upkeep.damage import VerifyReport, Window
from sealrun.services.access.reading import Reader
from sealrun.services.collection.collecting import CollectionPolicy, Collector

_AT_ONCE = CollectionPolicy(grace_s=-1, abandoned_s=-1, max_delete_ratio=1)


class _Meanwhile(CountingStore):
    """Lets something happen before the first outcome is read: everything was listed by then."""

    def __init__(self, world: World, happens: Callable[[], object]) -> None:
        super().__init__(world.store)
        self._happens: list[Callable[[], object]] = [happens]

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        if key.endswith("/outcome.json") and self._happens:
            self._happens.pop()()
        return super().read(key, offset, length)


def _verify(world: World, happens: Callable[[], object], experiment: str | None = None) -> VerifyReport:
    store = _Meanwhile(world, happens)
    spec = RegistrySpec(name="main", url=store.url)
    reader = Reader(store, world.clock, FakeEntropy(1))
    return verify(spec, reader, None, experiment, read_bytes=True, window=Window(), advance=None, engine=None)


def _world() -> tuple[World, list[str]]:
    world = World(links=False)
    world.store.tells_md5 = True
    runs = []
    for n in range(3):
        files = {"a": b"shared", f"{n}": b"own %d" % n}
        _, run = published(world, files, name=f"run{n}", finished_at=f"2026-01-1{n}T10:00:00Z")
        runs.append(run.attempt)
    return world, runs


def _collected(world: World, attempt: str) -> Callable[[], object]:
    def happens() -> None:
        retire(world, attempt)
        collector = Collector(world.store, world.store, world.clock, FakeEntropy(2), "c", _AT_ONCE)
        collector.execute(collector.plan())
        world.clock.advance(1.0)

    return happens


@pytest.mark.parametrize("experiment", [None, "train"])
def test_a_run_that_is_retired_and_collected_meanwhile_is_no_damage(experiment: str | None) -> None:
    world, runs = _world()

    assert _verify(world, _collected(world, runs[0]), experiment).damages == ()


@pytest.mark.parametrize("experiment", [None, "train"])
def test_rows_that_are_folded_into_a_base_meanwhile_are_no_damage(experiment: str | None) -> None:
    world, _ = _world()

    assert _verify(world, world.machine("m1").compact, experiment).damages == ()


def test_a_run_that_is_published_meanwhile_is_no_damage() -> None:
    world, _ = _world()

    def happens() -> None:
        published(world, {"a": b"shared", "z": b"late"}, name="late", finished_at="2026-01-20T10:00:00Z")

    assert _verify(world, happens).damages == ()


def test_damage_is_found_as_ever_and_named_by_its_kind() -> None:
    world, runs = _world()
    bodies = world.store.bodies
    by_body = {body: key for key, body in bodies.items() if key.startswith("store/objects/")}
    bodies[by_body[b"shared"]] = b"shareD"
    bodies[by_body[b"own 0"]] = b"own 0 and more"
    bodies[by_body[b"own 1"]] = b"ow"
    del bodies[by_body[b"own 2"]]
    del bodies[f"attempts/{runs[1]}/refs.json"]

    found = _verify(world, lambda: None).damages
    said = sorted((damage.kind, damage.path or "") for damage in found)
    assert said == [("bytes", "a"), ("bytes", "a"), ("missing", "2"), ("seal", ""), ("size", "0")]


def test_memory_is_given_back_once_the_records_of_very_many_files_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    monkeypatch.setattr("sealrun.bootstrap.verbs.verification.return_freed_memory", lambda: given.append(True))
    world = World(packs=EVERYTHING_PACKED)
    published(world, {f"{n}": b"%d" % n for n in range(10)})
    assert _verify(world, lambda: None).objects == 10
    assert given == []
    monkeypatch.setattr("sealrun.services.mending.looking.FEW", 9)
    assert _verify(world, lambda: None).objects == 10
    assert given == [True]
