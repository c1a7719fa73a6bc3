"""What attempts sent of which nothing else is known, and when a collection declares them void."""

from __future__ import annotations

from tests.builders.runs import a_run
from tests.builders.worlds import SentAhead, World, published
from tests.fakes.clock import FakeEntropy

from sealrun.domain.address import AttemptId, Key, outcome_key
from sealrun.domain.registry.publication import AttemptTicket, Outcome
from sealrun.services.collection.collecting import CollectionPlan, CollectionPolicy, CollectionReport, Collector
from sealrun.services.collection.explaining import explain

_DAY_S = 24 * 3600.0
_TICKET = AttemptTicket(
    attempt=AttemptId("20260117T143052Z-00000000000000aa"), nonce="n", created_at="2026-01-17T14:30:52Z", owner="m9"
)


def _collector(world: World) -> Collector:
    policy = CollectionPolicy(max_delete_ratio=1.0)
    return Collector(world.store, world.store, world.clock, FakeEntropy(7), "collector", policy)


def _collect(world: World) -> tuple[CollectionPlan, CollectionReport]:
    collector = _collector(world)
    plan = collector.plan()
    return plan, collector.execute(plan)


def _sends_ahead(world: World, files: dict[str, bytes], ticket: AttemptTicket = _TICKET) -> set[Key]:
    run, sources = a_run(files)
    return set(SentAhead(world.store, ticket, run, sources, packed=False).hand_over())


def _decision(world: World, attempt: AttemptId = _TICKET.attempt) -> Outcome | None:
    body = world.store.bodies.get(outcome_key(attempt))
    return None if body is None else Outcome.decode(body, "outcome.json")


def test_what_nobody_speaks_of_for_a_day_is_declared_void_and_goes_a_grace_time_later() -> None:
    world = World(links=False)
    _, stays = published(world, {"a": b"1"})
    keys = _sends_ahead(world, {"x": b"22", "y": b"333"})
    world.clock.advance(1.5 * _DAY_S)

    before = dict(world.store.bodies)
    told = _collector(world).plan(write=False)
    assert world.store.bodies == before
    ((attempt, objects, size),) = [(found.attempt, found.objects, found.size) for found in told.silent]
    assert (attempt, objects, size) == (_TICKET.attempt, 2, 5)
    (said, *_) = explain(world.store, min(keys))
    assert said.state == "kept"
    assert "undecided" in " ".join(said.reasons)

    plan, report = _collect(world)
    assert (plan.doomed.objects, report.objects, report.voided) == (0, 0, 1)
    outcome = _decision(world)
    assert outcome is not None
    assert (outcome.decision, outcome.by) == ("void", "collector")
    assert "never begun" in (outcome.why or "")
    assert keys <= world.store.bodies.keys()

    world.clock.advance(0.5 * _DAY_S)
    assert _collect(world)[1].objects == 0, "the grace time counts from the void"
    world.clock.advance(_DAY_S)
    plan, report = _collect(world)
    assert (report.objects, report.voided, plan.silent) == (2, 0, ())
    assert not keys & world.store.bodies.keys()
    assert world.reader().resolve(stays.ref).attempt == stays.attempt


def test_who_was_heard_of_within_a_day_is_left_alone() -> None:
    world = World(links=False)
    _sends_ahead(world, {"x": b"22"})
    world.clock.advance(0.9 * _DAY_S)
    _sends_ahead(world, {"y": b"333"})  # the same attempt goes on
    world.clock.advance(0.9 * _DAY_S)
    plan, report = _collect(world)
    assert (plan.silent, report.voided, _decision(world)) == ((), 0, None)


def test_an_attempt_with_an_intent_is_left_to_recovery() -> None:
    world = World(links=False)
    run, sources = a_run({"x": b"22", "y": b"1"})
    begun = world.machine("m1").begin_attempt(run, sources)
    _sends_ahead(world, {"x": b"22"}, begun)
    world.clock.advance(3 * _DAY_S)
    plan, report = _collect(world)
    assert (plan.silent, report.voided, _decision(world, begun.attempt)) == ((), 0, None)


def test_an_attempt_that_was_sealed_meanwhile_stays_sealed() -> None:
    """It slept for days, and its delivery went on between the plan and the end of the collection."""
    world = World(links=False)
    published(world, {"a": b"1"})
    run, sources = a_run({"x": b"22"}, name="late")
    keys = _sends_ahead(world, {"x": b"22"})
    world.clock.advance(2 * _DAY_S)
    collector = _collector(world)
    plan = collector.plan()
    assert [found.attempt for found in plan.silent] == [_TICKET.attempt]
    done = world.machine("m9").publisher().publish(run, _TICKET, sources)
    assert collector.execute(plan).voided == 0
    world.clock.advance(2 * _DAY_S)
    assert _collect(world)[1].objects == 0
    assert keys <= world.store.bodies.keys()
    reader = world.reader()
    assert reader.resolve(done.ref).attempt == _TICKET.attempt
