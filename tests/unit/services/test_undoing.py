from __future__ import annotations

import pytest
from tests.builders.worlds import REGISTRY_ID, World, intents, published, retire
from tests.fakes.clock import FakeEntropy
from tests.fakes.gated import GatedStore
from tests.fakes.hints import FakeHints
from tests.faults.lives import Mode, Wire
from tests.faults.scenarios import Planned, kill_before, planned, retire_by
from tests.invariants import check_invariants, check_settled

from sealrun.domain.address import AttemptId, parse_object_key, quarantine_key, refs_key
from sealrun.domain.errors import NotFoundError, RunChangedError, UnavailableError, UsageError
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Refs
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.upkeep.keeping import Quarantined
from sealrun.domain.upkeep.retention import Policy
from sealrun.ports import Source, Store
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.keeping.undoing import Undoer

_DAY_S = 86400.0
OLD = planned({"a": b"shared", "b": b"old"}, name="old", finished_at="2026-01-15T10:00:00Z")
NEW = planned({"a": b"shared", "c": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
OLD_REF = f"train/{OLD.expected.run_id}"


def a_world(*, links: bool = True) -> tuple[World, AttemptId]:
    """Two runs that share a file; the older one is retired."""
    world = World(links=links)
    for what in (OLD, NEW):
        world.machine("m1").publish(what.run, what.sources)
    attempt = world.target(OLD_REF).attempt
    retire_by(world, Policy(keep_last=1))
    world.clock.advance(60)
    return world, attempt


def undoer(world: World, store: Store | None = None, hints: FakeHints | None = None) -> Undoer:
    return Undoer(store or world.store, REGISTRY_ID, hints, world.clock, FakeEntropy(6), "m2")


def collect(world: World) -> None:
    policy = CollectionPolicy(max_delete_ratio=1.0)
    collector = Collector(world.store, world.store, world.clock, FakeEntropy(2), "collector", policy)
    world.clock.advance(2 * _DAY_S)
    collector.execute(collector.plan())


def settled(world: World, *expected: Planned) -> None:
    check_settled(world.store, [what.expected for what in expected])


def test_an_undone_run_is_there_again_by_every_name_and_nothing_was_uploaded() -> None:
    world, old = a_world()
    objects = {key for key in world.store.bodies if key.startswith("store/")}
    plan = undoer(world).plan("train", OLD.expected.run_id)
    assert (plan.standing, [entry.path for entry in plan.there], [*plan.missing]) == (None, ["a", "b"], [])
    assert (plan.there.size, plan.missing.size) == (9, 0)
    assert plan.retired is not None
    assert plan.retired.by == "ann@m2"
    done = undoer(world).execute(plan)
    assert (done.new, done.uploaded_objects, done.reused_objects) == (True, 0, 2)
    assert done.attempt != old
    assert {key for key in world.store.bodies if key.startswith("store/")} == objects
    assert [row.run_id for row in world.reader().runs()] == [OLD.expected.run_id, NEW.expected.run_id]
    settled(world, OLD, NEW)


def test_a_plan_writes_nothing() -> None:
    world, _ = a_world()
    before = dict(world.store.bodies)
    undoer(world).plan("train", OLD.expected.run_id)
    assert world.store.bodies == before


def test_an_undone_run_outlives_the_collections_that_follow() -> None:
    world, _ = a_world()
    undoer(world).execute(undoer(world).plan("train", OLD.expected.run_id))
    collect(world)
    collect(world)
    settled(world, OLD, NEW)


def test_a_run_that_stands_needs_no_undo() -> None:
    world, _ = a_world()
    before = dict(world.store.bodies)
    plan = undoer(world).plan("train", NEW.expected.run_id)
    assert plan.standing == world.target(f"train/{NEW.expected.run_id}").attempt
    done = undoer(world).execute(plan)
    assert not done.new
    assert world.store.bodies == before


def test_undoing_twice_seals_once() -> None:
    world, _ = a_world()
    plan = undoer(world).plan("train", OLD.expected.run_id)
    first = undoer(world).execute(plan)
    again = Undoer(world.store, REGISTRY_ID, None, world.clock, FakeEntropy(7), "m3").execute(plan)
    assert (again.new, again.attempt) == (False, first.attempt)
    settled(world, OLD, NEW)


def test_bytes_that_others_still_hold_are_found_after_a_collection() -> None:
    world, old = a_world()
    collect(world)
    assert refs_key(old) not in world.store.bodies
    plan = undoer(world).plan("train", OLD.expected.run_id)
    assert ([entry.path for entry in plan.there], [entry.path for entry in plan.missing]) == (["a"], ["b"])
    done = undoer(world).execute(plan, OLD.sources)
    assert (done.uploaded_objects, done.reused_objects) == (1, 1)
    settled(world, OLD, NEW)


@pytest.mark.parametrize("with_sources", [False, True])
def test_what_nobody_has_any_more_is_named_and_nothing_half_done_is_left(with_sources: bool) -> None:  # noqa: FBT001 - a case
    world, _ = a_world()
    collect(world)

    def nothing(entry: Entry) -> Source:
        raise NotFoundError(f"{entry.path}: not in the mirror")

    with pytest.raises(NotFoundError, match=r"cannot be brought back: the bytes of 'b' are gone"):
        undoer(world).execute(undoer(world).plan("train", OLD.expected.run_id), nothing if with_sources else None)
    assert not intents(world.store)
    voids = [
        key for key in world.store.bodies if key.endswith("/outcome.json") and b'"void"' in world.store.bodies[key]
    ]
    assert len(voids) == 1
    settled(world, NEW)


def test_a_source_that_changed_ends_the_attempt() -> None:
    world, _ = a_world()
    collect(world)

    def changed(_entry: Entry) -> Source:
        raise RunChangedError("b: is no longer what was sealed")

    with pytest.raises(RunChangedError):
        undoer(world).execute(undoer(world).plan("train", OLD.expected.run_id), changed)
    assert not intents(world.store)
    settled(world, NEW)


def test_an_outage_leaves_an_intent_that_is_voided_for_silence_and_undo_may_be_repeated() -> None:
    world, _ = a_world()
    plan = undoer(world).plan("train", OLD.expected.run_id)
    wire = Wire({})
    trial, _ = a_world()
    undoer(trial, GatedStore(trial.store, wire)).execute(plan)
    at = next(number for number, call in enumerate(wire.calls) if "refs" in call.key and call.op == "create")
    with pytest.raises(UnavailableError):
        undoer(world, GatedStore(world.store, Wire({at: Mode.OUTAGE}))).execute(plan)
    assert len(intents(world.store)) == 1
    world.clock.advance(60)
    Undoer(world.store, REGISTRY_ID, None, world.clock, FakeEntropy(7), "m3").execute(plan)
    world.clock.advance(2 * _DAY_S)
    world.machine("sweeper").recover()
    settled(world, OLD, NEW)


def test_a_condemned_or_quarantined_object_is_never_referenced() -> None:
    world, old = a_world()
    refs = Refs.decode(world.store.read(refs_key(old)), refs_key(old)).objects
    key = refs[sha256(b"old")].key
    record = Quarantined(key=key, ref=OLD_REF, path="b", found_at="now", by="verify", detail="other bytes")
    world.store.create(quarantine_key(key), record.encode())
    plan = undoer(world).plan("train", OLD.expected.run_id)
    assert [entry.path for entry in plan.missing] == ["b"]
    done = undoer(world).execute(plan, OLD.sources)
    held = Refs.decode(world.store.read(refs_key(AttemptId(done.attempt))), "refs").objects
    assert parse_object_key(held[sha256(b"old")].key).creator == done.attempt


def test_an_object_of_an_attempt_that_never_sealed_is_not_trusted() -> None:
    world, _ = a_world()
    collect(world)
    third = planned({"b": b"old"}, name="third", finished_at="2026-01-14T10:00:00Z")
    kill_before(world, "m5", third, lambda call: call.op == "create" and call.key.endswith("outcome.json"))
    assert any(body == b"old" for body in world.store.bodies.values())
    for dead_after_s in (_DAY_S, -1.0):  # undecided first, then void
        world.machine("m6").recover(dead_after_s=dead_after_s)
        plan = undoer(world).plan("train", OLD.expected.run_id)
        assert [entry.path for entry in plan.missing] == ["b"]
    world.machine("m5").publish(third.run, third.sources)
    assert not undoer(world).plan("train", OLD.expected.run_id).missing


def test_the_machine_s_own_hints_learn_where_the_bytes_are() -> None:
    world, _ = a_world()
    hints = FakeHints()
    by = undoer(world, hints=hints)
    by.execute(by.plan("train", OLD.expected.run_id))
    assert set(hints.places_of(REGISTRY_ID, OLD.run.manifest().digests())) == set(OLD.run.manifest().digests())


def test_a_run_that_never_was_there_is_told_from_one_that_was_retired() -> None:
    world, _ = a_world()
    with pytest.raises(NotFoundError, match="no sealed run train/nope"):
        undoer(world).plan("train", "nope")
    with pytest.raises(UsageError, match="run id"):
        undoer(world).plan("train", "a/b")


def test_the_pointer_that_moves_by_itself_is_not_moved_back_by_an_undo() -> None:
    world, _ = a_world()
    undoer(world).execute(undoer(world).plan("train", OLD.expected.run_id))
    assert world.target("train@latest").run_id == NEW.expected.run_id
    check_invariants(world.store)


def test_a_run_without_files_can_be_undone() -> None:
    world = World()
    _, empty = published(world, {}, name="empty", finished_at="2026-01-15T10:00:00Z")
    world.machine("m1").publish(NEW.run, NEW.sources)
    retire(world, empty.attempt)
    world.clock.advance(60)
    assert undoer(world).execute(undoer(world).plan("train", empty.run_id)).new
    assert world.target(empty.ref).attempt != empty.attempt
