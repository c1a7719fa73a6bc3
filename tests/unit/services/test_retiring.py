from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import REGISTRY_ID, World, published, retire
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.gated import Call, GatedStore
from tests.faults.lives import CrashError, Mode, T, Wire
from tests.faults.scenarios import kill_before, planned
from tests.invariants import check_invariants

from sealrun.domain.address import (
    AttemptId,
    dropped_key,
    generation_key,
    intent_key,
    pointer_log,
    pointers_prefix,
    retired_key,
)
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.registry.publication import Retired
from sealrun.domain.upkeep.retention import Policy, RetentionPlan
from sealrun.ports import Store
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.keeping.pinning import Pins
from sealrun.services.keeping.retiring import RetiredRun, Retirer
from sealrun.services.keeping.undoing import Undoer
from sealrun.services.mending.verifying import Verifier
from sealrun.services.storage.standing import find_standing

LAST_ONE = Policy(keep_last=1)


def retirer(world: World, store: Store | None = None, clock: FakeClock | None = None) -> Retirer:
    return Retirer(store or world.store, clock or world.clock, FakeEntropy(7), "m1", "ann@desk")


def pins(world: World) -> Pins:
    return Pins(world.store, world.clock, FakeEntropy(8), "bob@desk")


def days(world: World, *numbers: int) -> dict[int, str]:
    """Publish runs that finished on these days of January; return their ids."""
    ids = {}
    for number in numbers:
        files = {"x": str(number).encode()}
        _, done = published(world, files, name=f"d{number:02}", finished_at=f"2026-01-{number:02}T10:00:00Z")
        ids[number] = done.run_id
    return ids


def carry_out(world: World, plan: RetentionPlan) -> tuple[RetiredRun, ...]:
    done = retirer(world).execute(plan)
    check_invariants(world.store)
    return done


def listed(world: World) -> list[str]:
    return [row.run_id for row in world.reader().runs("train")]


def record(world: World, attempt: str) -> Retired:
    key = retired_key(AttemptId(attempt))
    return Retired.decode(world.store.read(key), key)


def at_call(world: World, moment: Callable[[Call], bool], meanwhile: Callable[[], object]) -> GatedStore:
    """A store on which somebody else does something just before the first call that `moment` tells."""
    done: list[Call] = []

    def gate(call: Call, act: Callable[[], T]) -> T:
        if not done and moment(call):
            done.append(call)
            meanwhile()
        return act()

    return GatedStore(world.store, gate)


# ---------------------------------------------------------------- by policy


def test_a_policy_retires_what_it_does_not_keep_and_records_who_when_and_why() -> None:
    world = World()
    ids = days(world, 1, 2, 3)
    attempt = world.target(f"train/{ids[1]}").attempt
    plan = retirer(world).plan_policy("train", Policy(keep_last=2))
    (done,) = carry_out(world, plan)
    assert (done.ref, done.attempts, done.skipped, done.note) == (f"train/{ids[1]}", (attempt,), None, None)
    assert listed(world) == [ids[2], ids[3]]
    said = record(world, attempt)
    assert (said.by, said.retired_at) == ("ann@desk", "2026-01-17T15:00:00Z")
    assert said.why == "retention by keep_last=2: no rule keeps it: 2 newer successful runs of distinct content"


def test_a_plan_writes_nothing_and_tells_bytes_and_reasons() -> None:
    world = World()
    days(world, 1, 2)
    before = dict(world.store.bodies)
    plan = retirer(world).plan_policy("train", LAST_ONE, write=False)
    assert world.store.bodies == before
    assert [(judged.run.size, judged.keep) for judged in plan.judged] == [(1, True), (1, False)]


def test_an_empty_policy_retires_nothing() -> None:
    world = World()
    days(world, 1, 2)
    plan = retirer(world).plan_policy("train", Policy())
    assert (plan.retired, plan.note) == ((), "the policy is empty: nothing is retired")
    before = dict(world.store.bodies)
    assert carry_out(world, plan) == ()
    assert world.store.bodies == before


def test_an_experiment_that_is_not_there_has_nothing_to_retire() -> None:
    assert retirer(World()).plan_policy("nope", LAST_ONE).judged == ()


def test_runs_that_pointers_of_any_experiment_names_pins_and_holds_stand_on_are_kept() -> None:
    world = World()
    ids = days(world, 1, 2, 3, 4, 5, 9)
    world.machine("m1").move(f"train/{ids[1]}", "best")
    other = world.machine("m1").mover()
    other.execute(other.plan_set("eval", "baseline", world.target(f"train/{ids[2]}"), "compare"))
    _, named = published(
        world, {"r.csv": b"1"}, name="named", finished_at="2026-01-02T00:00:00Z", publish_names={"r.csv": "r.csv"}
    )
    pins(world).pin("train", ids[3], "paper", "2026-02-01T00:00:00Z")
    pins(world).pin("train", ids[4], "law", hold=True)
    plan = retirer(world).plan_policy("train", LAST_ONE)
    assert [judged.run.run_id for judged in plan.retired] == [ids[5]]
    said = {str(judged.run.run_id): judged.reasons for judged in plan.kept}
    assert said[ids[1]] == ("pointer train@best",)
    assert said[ids[2]] == ("pointer eval@baseline",)
    assert said[ids[3]] == ("pinned by bob@desk until 2026-02-01T00:00:00Z: paper",)
    assert said[ids[4]] == ("held by bob@desk: law",)
    assert said[named.run_id] == ("name r.csv",)
    assert said[ids[9]][0] == "pointer train@latest"


def test_only_where_a_pointer_stands_now_keeps_a_run() -> None:
    world = World()
    ids = days(world, 1, 2, 9)
    for number in (1, 2):
        world.machine("m1").move(f"train/{ids[number]}", "best")
    assert [judged.run.run_id for judged in retirer(world).plan_policy("train", LAST_ONE).retired] == [ids[1]]


def test_a_pointer_that_cannot_be_read_stops_retention() -> None:
    world = World()
    days(world, 1, 2)
    world.store.damage(generation_key(pointer_log("train", "latest"), 2), b"{")
    with pytest.raises(UnsupportedFormatError):
        retirer(world).plan_policy("train", LAST_ONE)


def test_an_expired_pin_keeps_nothing() -> None:
    world = World()
    ids = days(world, 1, 2)
    pins(world).pin("train", ids[1], "for a while", "2026-01-18T00:00:00Z")
    world.clock.advance(86400)
    assert [judged.run.run_id for judged in retirer(world).plan_policy("train", LAST_ONE).retired] == [ids[1]]


@pytest.mark.parametrize("ahead_s", [2 * 86400.0, -2 * 86400.0])
def test_a_wrong_clock_never_makes_a_run_older_than_the_store_says(ahead_s: float) -> None:
    world = World()
    ids = days(world, 14, 16)
    skewed = FakeClock()
    skewed.advance(ahead_s)
    plan = retirer(world, clock=skewed).plan_policy("train", Policy(keep_within_s=3.5 * 86400))
    assert [judged.run.run_id for judged in plan.kept] == [ids[16], ids[14]]


def test_a_run_is_judged_once_and_retired_whole_however_often_it_was_sealed() -> None:
    world = World()
    what = planned({"x": b"old"}, name="old", finished_at="2026-01-01T00:00:00Z")
    kill_before(world, "m1", what, lambda call: "/seals/" in call.key and call.writes)
    world.clock.advance(60)
    second = world.machine("m2").publish(what.run, what.sources)
    (first,) = [found.intent.attempt for found in world.machine("m3").recover()]
    days(world, 9)
    (done,) = carry_out(world, retirer(world).plan_policy("train", LAST_ONE))
    assert done.attempts == (first, second.attempt)
    assert {record(world, attempt).by for attempt in done.attempts} == {"ann@desk"}
    assert what.expected.run_id not in listed(world)


def test_a_run_stands_by_its_newest_attempt_until_the_last_of_them_is_retired() -> None:
    world = World()
    what = planned({"x": b"old"}, name="old", finished_at="2026-01-01T00:00:00Z")
    kill_before(world, "m1", what, lambda call: "/seals/" in call.key and call.writes)
    world.clock.advance(60)
    second = world.machine("m2").publish(what.run, what.sources)
    world.machine("m3").recover()
    days(world, 9)
    standing: list[str | None] = []

    def gate(call: Call, act: Callable[[], T]) -> T:
        if call.writes and call.key.startswith("attempts/"):
            found = find_standing(world.store, "train", what.expected.run_id)
            standing.append(None if found is None else found.attempt)
        return act()

    by = retirer(world, GatedStore(world.store, gate))
    by.execute(by.plan_policy("train", LAST_ONE))
    assert standing == [second.attempt, second.attempt]
    assert find_standing(world.store, "train", what.expected.run_id) is None


def test_one_attempt_can_be_retired_while_another_holds_the_run() -> None:
    world = World()
    what = planned({"x": b"old"}, name="old", finished_at="2026-01-01T00:00:00Z")
    kill_before(world, "m1", what, lambda call: "/seals/" in call.key and call.writes)
    world.clock.advance(60)
    second = world.machine("m2").publish(what.run, what.sources)
    (first,) = [found.intent.attempt for found in world.machine("m3").recovery().plan()]
    assert not retirer(world).retire_attempt("train", what.expected.run_id, first, "repaired")
    assert retired_key(first) not in world.store.bodies
    world.machine("m3").recover()
    assert retirer(world).retire_attempt("train", what.expected.run_id, first, "repaired")
    assert record(world, first).why == "repaired"
    assert [row.attempt for row in world.reader().rows("train")] == [second.attempt]
    assert listed(world) == [what.expected.run_id]
    check_invariants(world.store)


def test_retired_runs_take_no_place_in_a_count() -> None:
    world = World()
    ids = days(world, 1, 2, 3)
    retire(world, world.target(f"train/{ids[2]}").attempt)  # cut short: its row is still there
    plan = retirer(world).plan_policy("train", Policy(keep_last=2))
    assert [judged.run.run_id for judged in plan.kept] == [ids[3], ids[1]]
    (done,) = carry_out(world, plan)
    assert (done.run_id, done.attempts) == (ids[2], ())
    assert listed(world) == [ids[1], ids[3]]


def test_repeating_a_plan_changes_nothing() -> None:
    world = World()
    days(world, 1, 2)
    plan = retirer(world).plan_policy("train", LAST_ONE)
    carry_out(world, plan)
    before = dict(world.store.bodies)
    (again,) = carry_out(world, plan)
    assert again.attempts == ()
    assert world.store.bodies == before
    assert not retirer(world).plan_policy("train", LAST_ONE).retired


# ---------------------------------------------------------------- what changed since the plan


def test_a_run_that_was_pinned_since_the_plan_is_skipped() -> None:
    world = World()
    ids = days(world, 1, 2)
    plan = retirer(world).plan_policy("train", LAST_ONE)
    pins(world).pin("train", ids[1], "just in time")
    (done,) = carry_out(world, plan)
    assert done.skipped == "kept since the plan was made: pinned by bob@desk: just in time"
    assert ids[1] in listed(world)


def test_a_run_that_a_pointer_was_moved_to_since_the_plan_is_skipped() -> None:
    world = World()
    ids = days(world, 1, 2)
    plan = retirer(world).plan_policy("train", LAST_ONE)
    world.machine("m2").move(f"train/{ids[1]}", "best")
    (done,) = carry_out(world, plan)
    assert done.skipped == "kept since the plan was made: pointer train@best"


def test_a_run_that_was_undone_since_the_plan_is_skipped() -> None:
    world = World()
    ids = days(world, 1, 2)
    plan = retirer(world).plan_policy("train", LAST_ONE)
    carry_out(world, plan)
    world.clock.advance(60)
    undoer = Undoer(world.store, REGISTRY_ID, None, world.clock, FakeEntropy(5), "m2")
    undoer.execute(undoer.plan("train", ids[1]))
    (done,) = carry_out(world, plan)
    assert done.skipped == "sealed again since the plan was made"
    assert ids[1] in listed(world)


def test_a_run_that_is_pinned_while_it_is_retired_is_told() -> None:
    world = World()
    ids = days(world, 1, 2)
    store = at_call(
        world,
        lambda call: call.op == "create" and call.key.endswith("retired.json"),
        lambda: pins(world).pin("train", ids[1], "too late"),
    )
    by = retirer(world, store)
    (done,) = by.execute(by.plan_policy("train", LAST_ONE))
    assert done.attempts
    assert done.note is not None
    assert "too late" in done.note
    assert f"sealrun undo train/{ids[1]}" in done.note


def test_an_attempt_that_is_still_being_announced_is_never_retired() -> None:
    world = World()
    what = planned({"x": b"old"}, name="old", finished_at="2026-01-01T00:00:00Z")
    kill_before(world, "m1", what, lambda call: "/pointers/" in call.key)
    days(world, 9)
    plan = retirer(world).plan_policy("train", LAST_ONE)
    (judged,) = [judged for judged in plan.judged if judged.run.run_id == what.expected.run_id]
    assert judged.keep
    assert "still being announced" in judged.reasons[0]
    world.machine("m1").recover()
    carry_out(world, retirer(world).plan_policy("train", LAST_ONE))
    assert what.expected.run_id not in listed(world)


def test_an_intent_that_came_back_since_the_plan_skips_the_run() -> None:
    world = World()
    ids = days(world, 1, 2)
    plan = retirer(world).plan_policy("train", LAST_ONE)
    (judged,) = plan.retired
    (attempt,) = judged.run.attempts
    world.store.put(intent_key(attempt), b"{}")
    (done,) = retirer(world).execute(plan)
    assert done.skipped == f"attempt {attempt} is still being announced"
    assert ids[1] in listed(world)


# ---------------------------------------------------------------- by reference


def test_a_run_is_retired_by_its_reference_with_the_reason_that_was_given() -> None:
    world = World()
    ids = days(world, 1, 2)
    attempt = world.target(f"train/{ids[1]}").attempt
    plan = retirer(world).plan_runs([("train", ids[1]), ("train", ids[1])], "wrong data")
    assert plan.experiment == "train"
    assert len(plan.judged) == 1
    carry_out(world, plan)
    assert record(world, attempt).why == "wrong data"
    assert listed(world) == [ids[2]]
    with pytest.raises(
        NotFoundError, match=r"was retired .* by ann@desk \(wrong data\): bring it back with: sealrun undo"
    ):
        retirer(world).plan_runs([("train", ids[1])], "again")


def test_to_look_where_all_pointers_stand_costs_no_more_than_to_retire(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    ids = days(world, *range(1, 14))
    for number in range(20):
        world.machine("m1").move(f"train/{ids[13]}", f"p{number:02}")
    monkeypatch.setattr("sealrun.services.keeping.retiring._GROUP", 2)
    pointers = pointers_prefix("train")
    reads: list[str] = []

    def gate(call: Call, act: Callable[[], T]) -> T:
        if call.op == "read" and call.key.startswith(pointers):
            reads.append(call.key)
        return act()

    plan = retirer(world).plan_policy("train", LAST_ONE)
    retirer(world, GatedStore(world.store, gate)).execute(plan)
    assert listed(world) == [ids[13]]
    assert len(reads) == 2 * 21  # before the first and after the last: not after each two of the twelve


def test_runs_of_several_experiments_are_retired_together() -> None:
    world = World()
    refs = []
    for experiment in ("a", "b"):
        for name, day in (("old", "01"), ("new", "02")):
            _, done = published(
                world, {"x": name.encode()}, experiment=experiment, name=name, finished_at=f"2026-01-{day}T00:00:00Z"
            )
            if name == "old":
                refs.append((experiment, done.run_id))
    plan = retirer(world).plan_runs(refs, "")
    assert plan.experiment is None
    assert [(done.experiment, done.run_id) for done in carry_out(world, plan)] == refs


def test_a_reference_to_a_run_that_is_kept_is_refused_with_what_to_do() -> None:
    world = World()
    ids = days(world, 1, 2, 3)
    world.machine("m1").move(f"train/{ids[1]}", "best")
    pins(world).pin("train", ids[2], "law", hold=True)
    for number, told in (
        (1, "pointer train@best; move it first: sealrun pointer set train best REF"),
        (2, f"held by bob@desk: law; lift it first: sealrun unpin --holds train/{ids[2]}"),
        (3, "pointer train@latest; it moves by itself, to a run that finishes later"),
    ):
        with pytest.raises(UsageError) as caught:
            retirer(world).plan_runs([("train", ids[number])], "")
        assert told in str(caught.value)


def test_a_reference_to_nothing_is_told() -> None:
    world = World()
    days(world, 1)
    with pytest.raises(NotFoundError, match="sealrun ls train"):
        retirer(world).plan_runs([("train", "nope")], "")
    with pytest.raises(UsageError, match="run id"):
        retirer(world).plan_runs([("train", "../x")], "")


def test_a_run_whose_row_is_lost_can_be_retired_by_reference() -> None:
    world = World()
    ids = days(world, 1, 2)
    attempt = world.target(f"train/{ids[1]}").attempt
    world.store.damage(f"experiments/train/index/pending/{attempt}.json", None)
    (done,) = carry_out(world, retirer(world).plan_runs([("train", ids[1])], "gone anyway"))
    assert done.attempts == (attempt,)
    with pytest.raises(NotFoundError):
        world.target(f"train/{ids[1]}")


# ---------------------------------------------------------------- crashes, and what others see


def test_a_retirement_that_was_cut_short_is_completed_by_reference_too() -> None:
    world = World()
    ids = days(world, 1, 2)
    attempt = world.target(f"train/{ids[1]}").attempt
    wire_at = _first_call(world, ids[1], "index/pending")
    cut = retirer(world, GatedStore(world.store, Wire({wire_at: Mode.CRASH})))
    with pytest.raises(CrashError):
        cut.execute(retirer(world).plan_runs([("train", ids[1])], "old"))
    assert ids[1] in listed(world)
    carry_out(world, retirer(world).plan_runs([("train", ids[1])], "old"))
    assert listed(world) == [ids[2]]
    assert dropped_key("train", attempt) in world.store.bodies


def _first_call(world: World, run_id: str, part: str) -> int:
    """The number of the first write to a key with `part` in it, in an execution that is not kept."""
    before, modified, history = dict(world.store.bodies), dict(world.store.modified), dict(world.store.history)
    wire = Wire({})
    retirer(world, GatedStore(world.store, wire)).execute(retirer(world).plan_runs([("train", run_id)], "old"))
    world.store.bodies, world.store.modified, world.store.history = before, modified, history
    return next(number for number, call in enumerate(wire.calls) if call.writes and part in call.key)


def test_a_retired_run_is_neither_listed_nor_resolved_nor_damage() -> None:
    world = World()
    ids = days(world, 1, 2)
    urn = a_run({"x": b"1"})[0].envelope().urn
    carry_out(world, retirer(world).plan_policy("train", LAST_ONE))
    reader = world.reader()
    assert listed(world) == [ids[2]]
    for reference in (f"train/{ids[1]}", urn):
        with pytest.raises(NotFoundError):
            reader.resolve(reference)
    assert not Verifier(reader).everything().damages
    world.machine("m1").compact()
    assert not Verifier(world.reader()).everything().damages
    assert listed(world) == [ids[2]]


def test_a_run_whose_bytes_were_collected_is_told_from_one_that_can_be_undone() -> None:
    world = World()
    ids = days(world, 1, 2)
    carry_out(world, retirer(world).plan_policy("train", LAST_ONE))
    with pytest.raises(NotFoundError, match=f"bring it back with: sealrun undo train/{ids[1]}"):
        world.target(f"train/{ids[1]}")
    world.clock.advance(2 * 86400)
    everything = CollectionPolicy(max_delete_ratio=1.0)
    collector = Collector(world.store, world.store, world.clock, FakeEntropy(3), "collector", everything)
    collector.execute(collector.plan())
    with pytest.raises(NotFoundError, match="its bytes were collected since"):
        world.target(f"train/{ids[1]}")


def test_a_run_that_is_retired_again_after_an_undo_goes_for_good() -> None:
    world = World()
    ids = days(world, 1, 2)
    for round_ in range(2):
        carry_out(world, retirer(world).plan_policy("train", LAST_ONE))
        assert listed(world) == [ids[2]]
        world.machine("m1").compact()
        world.clock.advance(60)
        undoer = Undoer(world.store, REGISTRY_ID, None, world.clock, FakeEntropy(20 + round_), "m2")
        undoer.execute(undoer.plan("train", ids[1]))
        assert listed(world) == [ids[1], ids[2]]
    (done,) = carry_out(world, retirer(world).plan_policy("train", LAST_ONE))
    assert len(done.attempts) == 1
    assert sum(key.endswith("/retired.json") for key in world.store.bodies) == 3
    assert sum(key.endswith(".retired.json") for key in world.store.bodies) == 1
