from __future__ import annotations

import logging

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World, intents
from tests.faults.scenarios import kill_before, planned
from tests.invariants import check_settled

from sealrun.domain.address import Key, intent_key, refs_key
from sealrun.domain.publication import Resolution


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
