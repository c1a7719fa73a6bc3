"""What collections and compactions leave, and when it is cleared away."""

from __future__ import annotations

import pytest
from tests.builders.worlds import World, published, retire
from tests.fakes.clock import FakeEntropy

from sealrun.domain.address import Key, attempt_id, base_log, batch_key, condemned_key, generation_key
from sealrun.domain.upkeep.collection import Condemned
from sealrun.ports import ObjectStat
from sealrun.services.collection.collecting import CollectionPolicy, CollectionReport, Collector
from sealrun.services.collection.explaining import explain
from sealrun.services.collection.residue import ended_batches, superseded
from sealrun.services.index.indexing import Index

_DAY_S = 24 * 3600.0
_YEAR_S = 365 * _DAY_S
_ALL = CollectionPolicy(max_delete_ratio=1.0)


def _collector(world: World, policy: CollectionPolicy = _ALL) -> Collector:
    return Collector(world.store, world.store, world.clock, FakeEntropy(world.store.log.__len__()), "c", policy)


def _collect(world: World, policy: CollectionPolicy = _ALL) -> CollectionReport:
    collector = _collector(world, policy)
    return collector.execute(collector.plan())


def _collected(world: World) -> str:
    """Collect a retired run; return the key that went."""
    _, old = published(world, {"a": b"old"}, name="old", finished_at="2026-01-15T10:00:00Z")
    published(world, {"c": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
    retire(world, old.attempt)
    world.clock.advance(2 * _DAY_S)
    doomed = [found.key for found in _collector(world).plan().doomed]
    assert _collect(world).objects == 1
    return doomed[0]


def _records(world: World) -> list[str]:
    return sorted(key.rsplit("/", 1)[-1] for key in world.store.bodies if key.startswith("gc/"))


def test_verdict_and_log_of_a_batch_go_once_it_was_over_for_long_and_tell_until_then_who_deleted_what() -> None:
    world = World(links=False)
    gone = _collected(world)
    world.clock.advance(_YEAR_S - 3 * _DAY_S)
    assert _collect(world).tidied.residue == 0
    assert _records(world) == ["deleted.jsonl", "verdict.json"]
    assert [said.state for said in explain(world.store, gone)] == ["deleted"]

    world.clock.advance(4 * _DAY_S)
    plan = _collector(world).plan(write=False)

    assert [found.key.rsplit("/", 1)[-1] for found in plan.residue.found] == ["deleted.jsonl", "verdict.json"]
    assert plan.residue.size == sum(len(world.store.bodies[key]) for key in plan.residue.keys)
    assert _records(world) == ["deleted.jsonl", "verdict.json"], "a plan deleted something"
    assert _collect(world).tidied.residue == 2
    assert _records(world) == []


def test_a_batch_that_stands_keeps_its_records_however_old_they_are() -> None:
    world = World(links=False)
    _collected(world)
    (verdict,) = [key for key in world.store.bodies if key.endswith("verdict.json")]
    batch = verdict.split("/")[1]
    record = Condemned(batch=batch, by="c", condemned_at="", objects=())
    world.store.damage(condemned_key(batch), record.encode())
    world.store.modified[condemned_key(batch)] = 0.0
    world.clock.advance(2 * _YEAR_S)

    assert _collector(world).plan(write=False).residue.found == ()


def test_old_bases_go_a_grace_time_after_a_newer_one_stands_and_the_newest_never() -> None:
    world = World(links=False)
    index = Index(world.store, world.clock, FakeEntropy(3), "train")
    for number in range(3):
        published(world, {"a": b"%d" % number}, name=f"r{number}")
        assert index.compact() == 1
        world.clock.advance(0.75 * _DAY_S)
    bases = [generation_key(base_log("train"), number, ".jsonl") for number in (1, 2, 3)]
    rows = index.rows()

    plan = _collector(world).plan(write=False)
    assert plan.residue.keys == [bases[0]], "the second base was replaced less than a grace time ago"
    world.clock.advance(9 * _YEAR_S)
    assert _collect(world).tidied.residue == 2

    assert [key for key in bases if key in world.store.bodies] == [bases[2]]
    assert index.rows() == rows
    published(world, {"a": b"late"}, name="late")
    assert index.compact() == 1
    assert generation_key(base_log("train"), 4, ".jsonl") in world.store.bodies
    assert len(index.rows()) == 4


def test_a_log_goes_before_its_verdict_and_young_records_keep_old_ones() -> None:
    batch, other = (attempt_id(f"2025010{day}T000000Z", "0" * 16) for day in (1, 2))
    keys = [(batch, "deleted.jsonl", 5.0), (batch, "verdict.json", 4.0), (other, "deleted.jsonl", 11.0)]
    listed = [ObjectStat(batch_key(name, file), 1, at) for name, file, at in [*keys, (other, "verdict.json", 1.0)]]

    assert [found.key for found in ended_batches(listed, 10.0)] == [
        batch_key(batch, "deleted.jsonl"),
        batch_key(batch, "verdict.json"),
    ]


@pytest.mark.parametrize(
    ("ages", "gone"), [((), 0), ((1.0,), 0), ((11.0, 1.0), 0), ((10.0, 1.0), 1), ((11.0, 9.0, 1.0), 1)]
)
def test_a_base_goes_only_if_the_one_after_it_is_old_enough(ages: tuple[float, ...], gone: int) -> None:
    bases = [ObjectStat(Key(f"base/{number}"), 1, at) for number, at in enumerate(ages)]

    assert len(list(superseded(bases, 10.0))) == gone
