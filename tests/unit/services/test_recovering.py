from __future__ import annotations

import logging
from typing import Literal

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World, intents, retire
from tests.faults.scenarios import kill_before, planned
from tests.invariants import check_settled

from sealrun.domain.address import Key, intent_key, refs_key
from sealrun.domain.registry.publication import Intent, Outcome, Resolution, plan_resolution


def test_a_live_attempt_of_somebody_else_is_left_alone() -> None:
    world = World()
    world.machine("m1").begin_attempt(*a_run())
    before = dict(world.store.bodies)
    assert [found.resolution for found in world.machine("m2").recovery().plan()] == [Resolution.LEAVE]
    assert world.machine("m2").recover() == []
    assert world.store.bodies == before


def test_our_own_attempt_waits_for_its_delivery() -> None:
    world = World()
    world.machine("m1").begin_attempt(*a_run())
    assert [found.resolution for found in world.machine("m1").recovery().plan()] == [Resolution.RESUME]
    assert world.machine("m1").recover() == []


def test_a_plan_changes_nothing() -> None:
    world = World()
    world.machine("m1").begin_attempt(*a_run())
    before = dict(world.store.bodies)
    world.machine("m2").recovery(dead_after_s=-1).plan()
    assert world.store.bodies == before


def test_silence_is_measured_by_the_store_s_clock() -> None:
    world = World()
    world.machine("m1").begin_attempt(*a_run())
    world.clock.advance(3600)
    (found,) = world.machine("m2").recovery().plan()
    assert found.silent_s == 3600


def test_a_sealed_attempt_is_announced_by_a_stranger() -> None:
    world, what = World(), planned({"a": b"1"})
    kill_before(world, "m1", what, lambda call: "/seals/" in call.key and call.writes)
    assert not world.reader().runs()
    (done,) = world.machine("m2").recover()
    assert done.resolution is Resolution.REPLAY
    check_settled(world.store, [what.expected])


def test_a_replay_after_a_compaction_lists_the_run_once() -> None:
    world, what = World(), planned({"a": b"1"})
    kill_before(world, "m1", what, lambda call: call.op == "discard")
    world.machine("m2").compact()
    world.machine("m2").recover()
    world.machine("m2").compact()
    check_settled(world.store, [what.expected])


def test_a_damaged_intent_does_not_keep_others_from_being_resolved(caplog: pytest.LogCaptureFixture) -> None:
    world, what = World(), planned({"a": b"1"})
    damaged = world.machine("m0").begin_attempt(*a_run({"x": b"x"}, name="damaged"))
    world.store.damage(intent_key(damaged.attempt), b"{")
    kill_before(world, "m1", what, lambda call: "/seals/" in call.key and call.writes)
    with caplog.at_level(logging.WARNING, "sealrun.recovery"):
        assert len(world.machine("m2").recover()) == 1
    assert damaged.attempt in caplog.text
    assert intents(world.store) == {damaged.attempt}


def test_a_sealed_attempt_with_damaged_records_is_reported_and_left(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    for name in ("bad", "good"):
        what = planned({"a": name.encode()}, name=name)
        kill_before(world, name, what, lambda call: "/seals/" in call.key and call.writes)
    bad = world.machine("bad").deliveries
    (delivery,) = bad.values()
    assert delivery.ticket is not None
    world.store.damage(Key(refs_key(delivery.ticket.attempt)), None)
    with caplog.at_level(logging.WARNING, "sealrun.recovery"):
        assert len(world.machine("m2").recover()) == 1
    assert intents(world.store) == {delivery.ticket.attempt}
    assert "verify" in caplog.text


def test_an_intent_of_a_run_that_was_retired_is_cleaned_up_and_the_run_stays_away() -> None:
    world, what = World(), planned({"a": b"1"})
    world.machine("m1").publish(what.run, what.sources)
    attempt = world.target(f"train/{what.expected.run_id}").attempt
    intent = Intent(
        attempt=attempt,
        nonce="0" * 32,
        owner="m1",
        purpose="publish",
        experiment="train",
        run_id=what.expected.run_id,
        created_at="2026-01-17T15:00:00Z",
        heartbeat_at="2026-01-17T15:00:00Z",
        digests=(),
    )
    retire(world, attempt)
    world.store.create(intent_key(attempt), intent.encode())
    before = {key: body for key, body in world.store.bodies.items() if not key.endswith("/intent.json")}
    (done,) = world.machine("m2").recover()
    assert done.resolution is Resolution.CLEAN_UP
    assert world.store.bodies == before


def test_a_run_that_is_retired_between_plan_and_replay_is_not_announced_again() -> None:
    world, what = World(), planned({"a": b"1"})
    kill_before(world, "m1", what, lambda call: "/seals/" in call.key and call.writes)
    recovery = world.machine("m2").recovery()
    plan = recovery.plan()
    assert [found.resolution for found in plan] == [Resolution.REPLAY]
    retire(world, plan[0].intent.attempt)
    recovery.execute(plan)
    assert not world.reader().rows("train")
    assert not intents(world.store)


@pytest.mark.parametrize("retired", [False, True])
def test_only_the_intent_of_a_sealed_attempt_depends_on_its_retirement(retired: bool) -> None:  # noqa: FBT001 - a case
    world = World()
    world.machine("m1").begin_attempt(*a_run())
    (found,) = world.machine("m1").recovery().plan()

    def resolve(decision: Literal["sealed", "void", "moved"] | None) -> Resolution:
        intent = found.intent
        outcome = decision and Outcome(attempt=intent.attempt, nonce="", decision=decision, decided_at="", by="m1")
        return plan_resolution(intent, outcome or None, owner="m1", silent_s=0, limit_s=1, retired=retired)

    assert resolve("sealed") is (Resolution.CLEAN_UP if retired else Resolution.REPLAY)
    assert [resolve("void"), resolve("moved"), resolve(None)] == [
        Resolution.CLEAN_UP,
        Resolution.REPLAY,
        Resolution.RESUME,
    ]
