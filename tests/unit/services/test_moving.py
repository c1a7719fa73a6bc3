from __future__ import annotations

import msgspec
import pytest
from tests.builders.worlds import World, intents, published, retire
from tests.fakes.gated import GatedStore
from tests.faults.lives import CrashError, Mode, Wire
from tests.invariants import check_invariants

from sealrun.domain.address import AttemptId, refs_key
from sealrun.domain.errors import NotFoundError, UnavailableError, UsageError


def test_a_plan_shows_the_move_and_changes_nothing() -> None:
    world = World()
    _, done = published(world)
    before = dict(world.store.bodies)
    plan = world.machine("m1").mover().plan_set("train", "best", world.target(done.ref), "it is good")
    assert plan.current is None
    assert plan.changes
    assert world.store.bodies == before


def test_latest_cannot_be_moved_by_hand() -> None:
    world = World()
    _, done = published(world)
    with pytest.raises(UsageError, match="moves by itself"):
        world.machine("m1").mover().plan_set("train", "latest", world.target(done.ref), "no")


def test_a_move_is_durable_and_leaves_no_pin() -> None:
    world = World()
    _, done = published(world)
    generation = world.machine("m1").move(done.ref, "best")
    assert generation is not None
    assert generation.by == "m1"
    assert f"train/{world.target('train@best').run_id}" == done.ref
    assert not intents(world.store)


def test_a_move_to_where_the_pointer_stands_does_nothing() -> None:
    world = World()
    _, done = published(world)
    world.machine("m1").move(done.ref, "best")
    plan = world.machine("m2").mover().plan_set("train", "best", world.target(done.ref), "again")
    assert not plan.changes
    assert world.machine("m2").mover().execute(plan) is None


def test_a_rollback_adds_a_generation_with_the_earlier_target() -> None:
    world = World()
    refs = [published(world, {"a": name.encode()}, name=name)[1].ref for name in ("one", "two", "three")]
    for ref in refs:
        world.machine("m1").move(ref, "best")
    mover = world.machine("m1").mover()
    for to, expected in ((None, refs[1]), (1, refs[0])):
        generation = mover.execute(mover.plan_rollback("train", "best", to, "worse"))
        assert generation is not None
        assert f"train/{generation.target.run_id}" == expected
    assert [found.generation for found in world.reader().history("train", "best")] == [5, 4, 3, 2, 1]


def test_a_pointer_is_not_moved_to_a_run_that_was_retired_since_the_plan() -> None:
    world = World()
    _, done = published(world)
    mover = world.machine("m1").mover()
    plan = mover.plan_set("train", "best", world.target(done.ref), "late")
    retire(world, done.attempt)
    with pytest.raises(NotFoundError, match="not sealed here"):
        mover.execute(plan)
    assert not intents(world.store)
    assert not world.reader().history("train", "best")


def test_a_rollback_to_a_run_that_was_sealed_again_since_stands_on_the_new_attempt() -> None:
    world = World()
    _, first = published(world, {"a": b"1"}, machine="m1")
    _, other = published(world, {"a": b"2"}, machine="m1", name="other")
    world.machine("m1").move(first.ref, "best")
    world.machine("m1").move(other.ref, "best")
    retire(world, first.attempt)
    _, again = published(world, {"a": b"1"}, machine="m2")
    world.store.damage(refs_key(AttemptId(first.attempt)), None)  # a collector took it
    mover = world.machine("m1").mover()
    generation = mover.execute(mover.plan_rollback("train", "best", None, "back"))
    assert generation is not None
    assert generation.target.attempt == again.attempt


def test_a_move_whose_answer_was_lost_stays_pinned_until_it_is_voided() -> None:
    world = World()
    _, done = published(world)
    wire = Wire({})
    world.machine("m1").move(done.ref, "probe", GatedStore(world.store, wire))
    at = next(n for n, call in enumerate(wire.calls) if call.op == "create" and "/pointers/" in call.key)
    with pytest.raises(UnavailableError):
        world.machine("m1").move(done.ref, "best", GatedStore(world.store, Wire({at: Mode.LOST_THEN_OUTAGE})))
    assert len(intents(world.store)) == 1
    world.machine("m2").recover(dead_after_s=-1)
    assert not intents(world.store)
    check_invariants(world.store)


def test_the_evidence_of_a_move_is_kept_also_if_somebody_else_carries_it_out() -> None:
    world = World()
    _, done = published(world)
    evidence = {"checked_at": "2026-01-17T15:00:00Z", "checks": [{"name": "seal", "status": "pass", "detail": "whole"}]}

    def move(pointer: str, wire: Wire) -> None:
        plan = world.machine("m1").mover().plan_set("train", pointer, world.target(done.ref), "reviewed")
        mover = world.machine("m1").mover(GatedStore(world.store, wire))
        mover.execute(msgspec.structs.replace(plan, evidence=evidence))

    calm = Wire({})
    move("probe", calm)
    at = next(n for n, call in enumerate(calm.calls) if call.op == "create" and "/pointers/" in call.key)
    with pytest.raises(CrashError):
        move("best", Wire({at: Mode.CRASH}))
    assert not world.reader().history("train", "best")
    world.machine("m2").recover()
    assert [found.evidence for found in world.reader().history("train", "best")] == [evidence]
    check_invariants(world.store)
