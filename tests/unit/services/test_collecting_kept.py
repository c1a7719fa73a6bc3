"""A plan by what this machine keeps of the records is the plan by what the store says, whatever is kept."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders.worlds import EVERYTHING_PACKED, World, published, retire
from tests.fakes.clock import FakeEntropy
from tests.fakes.record_cache import FakeCache, LyingCache
from tests.invariants import check_invariants

from sealrun.ports import RecordCache
from sealrun.services.collection.collecting import CollectionPlan, CollectionPolicy, Collector
from sealrun.services.collection.foretelling import foretell
from sealrun.services.mending.repacking import plan_repack

_DAY_S = 24 * 3600.0
_ALL = CollectionPolicy(max_delete_ratio=1.0)
_FILES = {f"{n}": b"%d" % n * 50 for n in range(12)}


@pytest.fixture(params=[None, EVERYTHING_PACKED], ids=["objects", "packs"])
def world(request: pytest.FixtureRequest) -> World:
    """Runs that share bytes, some of them retired, a pin's worth of pointers, and an index with a base."""
    world = World(links=False, packs=request.param)
    world.store.tells_md5 = True
    attempts = []
    for n in range(6):
        files = {path: body for path, body in _FILES.items() if int(path) % (n + 1) == 0} | {"own": b"own %d" % n * 99}
        _, run = published(world, files, name=f"run{n}", finished_at=f"2026-01-1{n}T10:00:00Z")
        attempts.append(run.attempt)
        if n == 3:
            world.machine("m1").compact()
    for attempt in (attempts[0], attempts[2], attempts[5]):
        retire(world, attempt)
    world.clock.advance(2 * _DAY_S)
    return world


def _collector(world: World, cache: RecordCache | None) -> Collector:
    return Collector(world.store, world.store, world.clock, FakeEntropy(7), "c", _ALL, cache=cache)


def _told(world: World, plan: CollectionPlan) -> dict[str, Any]:
    """Everything that a plan says."""
    marks = plan.marks
    return {
        "doomed": list(plan.doomed),
        "whole": (plan.objects, plan.size, plan.young, plan.refused),
        "shares": plan.shares,
        "residue": plan.residue,
        "dead": marks.dead,
        "live": (marks.live_runs, marks.live_attempts, marks.held, marks.pointed, marks.decided),
        "foretold": list(foretell(world.store, plan)),
        "repacked": plan_repack(world.store, plan.sparse, plan.overview),
    }


def test_a_plan_is_the_same_with_nothing_kept_with_all_kept_and_with_lies_kept(world: World) -> None:
    bare = _told(world, _collector(world, None).plan(write=False))
    cache = LyingCache()
    assert bare["doomed"]
    assert _told(world, _collector(world, cache).plan(write=False)) == bare
    assert cache.kept
    assert _told(world, _collector(world, cache).plan(write=False)) == bare
    assert cache.found
    cache.damage()
    assert _told(world, _collector(world, cache).plan(write=False)) == bare


def test_what_was_retired_since_the_records_were_kept_is_found(world: World) -> None:
    cache = FakeCache()
    before = _told(world, _collector(world, cache).plan(write=False))
    standing = sorted(set(world.store.bodies) & {f"attempts/{at}/refs.json" for at in before["live"][2]})
    retire(world, standing[0].split("/")[1])
    world.clock.advance(2 * _DAY_S)

    told = _told(world, _collector(world, cache).plan(write=False))
    assert told == _told(world, _collector(world, None).plan(write=False))
    assert told["live"][1] == before["live"][1] - 1


@pytest.mark.parametrize("lies", [False, True], ids=["kept", "lies"])
def test_a_collection_by_kept_records_deletes_what_it_should_and_nothing_else(world: World, *, lies: bool) -> None:
    cache = LyingCache()
    plan = _collector(world, cache).plan(write=False)
    doomed = {found.key for found in plan.doomed}
    if lies:
        cache.damage()
    collector = _collector(world, cache)
    report = collector.execute(collector.plan())

    assert (report.objects, bool(report.failures)) == (len(doomed), False)
    assert not doomed & world.store.bodies.keys()
    check_invariants(world.store)
