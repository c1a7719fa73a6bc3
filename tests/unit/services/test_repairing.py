from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import BinaryIO

import msgspec
import pytest
from tests.builders.runs import BytesSource
from tests.builders.worlds import REGISTRY_ID, World, intents, published, retire
from tests.fakes.gated import GatedStore
from tests.faults.lives import CrashError, Mode, Wire
from tests.faults.scenarios import kill_before
from tests.faults.scenarios import planned as planned_work
from tests.invariants import Expected, check_settled

from sealrun.domain.address import (
    AttemptId,
    Digest,
    Key,
    artifact_key,
    base_log,
    dropped_key,
    experiment_manifest_key,
    generation_key,
    latest_key,
    pending_key,
    pointer_log,
    pointer_projection,
    quarantine_key,
    refs_key,
    retired_key,
    run_key,
    seal_key,
)
from sealrun.domain.errors import UnavailableError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import Retired
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, Entry
from sealrun.domain.upkeep.damage import VerifyReport
from sealrun.domain.upkeep.keeping import Quarantined
from sealrun.domain.upkeep.mending import HERE, RepairPlan, RepairReport
from sealrun.ports import Replica, Source, Store
from sealrun.services.mending.repairing import Repairer
from sealrun.services.mending.replicas import RegistryReplica
from sealrun.services.mending.verifying import Verifier

SHARED, OWN = b"shared by both", b"the second's own"


class Shelf:
    """`ports.Replica` that offers bytes by path, true or not."""

    def __init__(self, name: str, bodies: Mapping[str, bytes]) -> None:
        self.name = name
        self.bodies = dict(bodies)
        self.asked: list[str] = []

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:
        self.asked.append(f"{experiment}/{run_id}:{entry.path}")
        body = self.bodies.get(entry.path)
        return None if body is None else _Claimed(body, entry)


class _Claimed(msgspec.Struct, frozen=True):
    """Says it is what was asked for."""

    body: bytes
    entry: Entry

    @property
    def size(self) -> int:
        return self.entry.size

    @property
    def digest(self) -> Digest:
        return self.entry.sha256

    def open(self) -> BinaryIO:
        return BytesSource(self.body).open()


class Down:
    """`ports.Replica` that cannot be reached."""

    name = "down"

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:
        raise UnavailableError(f"{experiment}/{run_id}:{entry.path}: nobody answers")


def a_world() -> tuple[World, list[str], list[str]]:
    """Two runs that share bytes; the second stands under a name and under two pointers."""
    world = World()
    _, first = published(world, {"x": SHARED}, name="first", finished_at="2026-01-01T00:00:00Z")
    _, second = published(world, {"a": SHARED, "b": OWN}, name="second", publish_names={"b": "own.txt"})
    world.machine("m1").move(second.ref, "best")
    world.clock.advance(60)
    return world, [first.ref, second.ref], [first.attempt, second.attempt]


def expected(refs: Sequence[str]) -> list[Expected]:
    ids = [ref.split("/")[1] for ref in refs]
    return [Expected("train", ids[0], {"x": SHARED}), Expected("train", ids[1], {"a": SHARED, "b": OWN})]


def key_of(world: World, body: bytes) -> Key:
    digest = sha256(body)
    return min(Key(key) for key in world.store.bodies if f"/{digest[4:]}." in key)


def verified(world: World, store: Store | None = None) -> VerifyReport:
    return Verifier(world.reader(store), copies=True).everything()


def repairer(world: World, machine: str = "m1", store: Store | None = None) -> Repairer:
    mended = world.machine(machine)
    return Repairer(store or world.store, REGISTRY_ID, mended.hints, world.clock, mended.entropy, machine, "somebody")


def planned(world: World, *replicas: Replica) -> RepairPlan:
    return repairer(world).plan(verified(world), replicas)


def repaired(world: World, *replicas: Replica, machine: str = "m1", store: Store | None = None) -> RepairReport:
    doer = repairer(world, machine, store)
    return doer.execute(doer.plan(verified(world, store), replicas), replicas)


WHOLE = {"x": SHARED, "a": SHARED, "b": OWN}


def test_a_shared_object_is_repaired_in_every_run_with_one_upload() -> None:
    world, refs, attempts = a_world()
    damaged = key_of(world, SHARED)
    world.store.damage(damaged, b"shared by none")
    report = repaired(world, Shelf("shelf", WHOLE))
    assert [run.ref for run in report.repaired] == refs
    assert [run.replaced for run in report.repaired] == [(attempts[0],), (attempts[1],)]
    assert sum(run.uploaded_objects for run in report.repaired) == 1
    assert report.remaining == ()
    assert report.quarantined == (damaged,)
    world.store.bodies.pop(damaged)  # nobody needs it
    world.store.history.pop(damaged)
    check_settled(world.store, expected(refs), pointers={"train@best": refs[1]})


def test_only_what_is_damaged_is_uploaded() -> None:
    world, refs, _ = a_world()
    good = key_of(world, SHARED)
    world.store.damage(key_of(world, OWN), None)
    (run,) = repaired(world, Shelf("shelf", WHOLE)).repaired
    assert (run.ref, run.uploaded_objects, run.uploaded_bytes) == (refs[1], 1, len(OWN))
    view = world.reader().load(world.target(refs[1]))
    assert view.objects[sha256(SHARED)].key == good


def test_good_objects_are_referenced_by_a_machine_that_knows_nothing_of_them() -> None:
    world, _, _ = a_world()
    world.store.damage(key_of(world, OWN), None)
    (run,) = repaired(world, Shelf("shelf", WHOLE), machine="stranger").repaired
    assert run.uploaded_objects == 1


def test_pointers_and_names_lead_to_the_repaired_bytes() -> None:
    world, refs, attempts = a_world()
    world.store.damage(key_of(world, OWN), b"?")
    (run,) = repaired(world, Shelf("shelf", WHOLE)).repaired
    assert set(run.pointers) == {"train@best", "train@latest", "own.txt"}
    reader = world.reader()
    for name in ("train@best", "train@latest", "own.txt", refs[1]):
        target = reader.resolve(name)
        assert target.attempt == run.attempt != attempts[1]
        view = reader.load(target)
        assert b"".join(reader.chunks(view, view.entry("b"))) == OWN
    assert world.store.bodies[latest_key("own.txt")] == OWN
    assert reader.history("train", "best")[0].why == f"repaired: attempt {attempts[1]} is damaged"


def test_the_damaged_attempt_is_retired_and_says_by_which_it_was_repaired() -> None:
    world, refs, attempts = a_world()
    world.store.damage(key_of(world, OWN), b"?")
    (run,) = repaired(world, Shelf("shelf", WHOLE)).repaired
    key = retired_key(AttemptId(attempts[1]))
    record = Retired.decode(world.store.read(key), key)
    assert (record.why, record.by) == (f"repaired by attempt {run.attempt}", "somebody")
    assert dropped_key("train", AttemptId(attempts[1])) in world.store.bodies
    assert [row.attempt for row in world.reader().rows("train") if row.run_id == refs[1].split("/")[1]] == [run.attempt]


def test_damage_is_found_no_more_and_a_second_repair_does_nothing() -> None:
    world, _, _ = a_world()
    world.store.damage(key_of(world, SHARED), None)
    repaired(world, Shelf("shelf", WHOLE))
    assert verified(world).damages == ()
    assert planned(world, Shelf("shelf", WHOLE)).empty


def test_a_replica_with_wrong_bytes_is_refused_and_the_next_one_asked() -> None:
    world, _, _ = a_world()
    world.store.damage(key_of(world, OWN), b"?")
    liar = Shelf("liar", {"b": b"the second's 0wn"})
    plan = planned(world, liar, Shelf("honest", WHOLE))
    assert liar.asked
    assert [file.source for run in plan.runs for file in run.files] == ["honest"]
    assert [file.source for run in planned(world, liar).runs for file in run.files] == [None]


def test_a_replica_that_goes_bad_between_plan_and_repair_seals_nothing() -> None:
    world, refs, attempts = a_world()
    world.store.damage(key_of(world, OWN), b"?")
    shelf = Shelf("shelf", WHOLE)
    plan = planned(world, shelf)
    shelf.bodies["b"] = b"the second's 0wn"
    report = repairer(world).execute(plan, [shelf])
    assert report.repaired == ()
    assert [left.ref for left in report.remaining] == [refs[1]]
    assert intents(world.store) == set()
    assert world.target(refs[1]).attempt == attempts[1]
    shelf.bodies["b"] = OWN
    assert [run.ref for run in repaired(world, shelf).repaired] == [refs[1]]


def test_what_nobody_has_is_quarantined_and_still_reported() -> None:
    world, refs, attempts = a_world()
    damaged = key_of(world, OWN)
    world.store.damage(damaged, b"?")
    report = repaired(world, Shelf("empty", {}))
    assert report.repaired == ()
    assert [(left.ref, left.path) for left in report.remaining] == [(refs[1], "b")]
    record = Quarantined.decode(world.store.read(quarantine_key(damaged)), quarantine_key(damaged))
    assert (record.key, record.ref, record.path, record.by) == (damaged, refs[1], "b", "somebody")
    again = repaired(world, Shelf("empty", {}))
    assert [(left.ref, left.path) for left in again.remaining] == [(refs[1], "b")]
    assert again.quarantined == ()
    assert world.target(refs[1]).attempt == attempts[1]
    assert [run.ref for run in repaired(world, Shelf("late", WHOLE)).repaired] == [refs[1]]


def test_publishing_again_after_quarantine_does_not_reference_the_damaged_object() -> None:
    world, _, _ = a_world()
    damaged = key_of(world, OWN)
    world.store.damage(damaged, b"?" * len(OWN))
    repaired(world, Shelf("empty", {}))
    _, other = published(world, {"copy": OWN}, name="third", finished_at="2026-02-01T00:00:00Z")
    view = world.reader().load(world.target(other.ref))
    assert view.objects[sha256(OWN)].key != damaged
    assert other.uploaded_objects == 1


def test_bytes_that_were_uploaded_again_since_are_found_here() -> None:
    world, refs, _ = a_world()
    world.store.damage(key_of(world, OWN), b"?" * len(OWN))
    repaired(world)
    published(world, {"copy": OWN}, name="third", finished_at="2026-01-02T00:00:00Z")
    plan = planned(world)
    assert [file.source for run in plan.runs for file in run.files] == [HERE]
    assert plan.upload == 0
    (run,) = repairer(world).execute(plan, ()).repaired
    assert (run.ref, run.uploaded_objects) == (refs[1], 0)
    assert verified(world).damages == ()


def test_another_registry_is_a_replica_of_the_same_run() -> None:
    world, refs, _ = a_world()
    other = World()
    published(other, {"x": SHARED}, name="first", finished_at="2026-01-01T00:00:00Z")
    published(other, {"a": SHARED, "b": OWN}, name="second", publish_names={"b": "own.txt"})
    world.store.damage(key_of(world, SHARED), None)
    world.store.damage(key_of(world, OWN), b"?")
    replica = RegistryReplica("other", other.reader(), REGISTRY_ID)
    assert {file.source for run in planned(world, replica).runs for file in run.files} == {"other"}
    assert [run.ref for run in repaired(world, replica).repaired] == refs


def test_a_damaged_replica_is_no_replica() -> None:
    world, _, _ = a_world()
    other = World()
    published(other, {"a": SHARED, "b": OWN}, name="second", publish_names={"b": "own.txt"})
    for place in (world, other):
        place.store.damage(key_of(place, OWN), b"the second's 0wn")
    replica = RegistryReplica("other", other.reader(), REGISTRY_ID)
    assert [file.source for run in planned(world, replica).runs for file in run.files] == [None]


def test_another_registry_gives_what_its_hints_know_of_other_runs() -> None:
    world, refs, _ = a_world()
    other = World()
    published(other, {"else": OWN}, name="elsewhere", machine="m1")
    world.store.damage(key_of(world, OWN), b"?")
    replica = RegistryReplica("other", other.reader(), REGISTRY_ID, other.machine("m1").hints)
    assert [run.ref for run in repaired(world, replica).repaired] == [refs[1]]


def test_a_replica_that_cannot_be_reached_is_passed_over_but_never_taken_for_one_that_has_nothing() -> None:
    world, refs, _ = a_world()
    world.store.damage(key_of(world, OWN), b"?")
    assert [run.ref for run in planned(world, Down(), Shelf("shelf", WHOLE)).runs if run.possible] == [refs[1]]
    with pytest.raises(UnavailableError):
        planned(world, Down(), Shelf("empty", {}))


def test_planning_writes_nothing() -> None:
    world, _, _ = a_world()
    world.store.damage(key_of(world, SHARED), None)
    world.store.damage(pending_key("train", world.target("train@latest").attempt), None)
    before = dict(world.store.bodies)
    assert not planned(world, Shelf("shelf", WHOLE)).empty
    assert world.store.bodies == before


def test_lost_refs_are_replaced_by_looking_for_every_object() -> None:
    world, refs, attempts = a_world()
    world.store.damage(refs_key(AttemptId(attempts[1])), None)
    plan = planned(world)
    assert {file.source for run in plan.runs for file in run.files} == {HERE}
    (run,) = repairer(world).execute(plan, ()).repaired
    assert (run.ref, run.uploaded_objects) == (refs[1], 0)
    assert verified(world).damages == ()


def test_a_retired_run_that_a_pointer_keeps_is_repaired_and_stays_retired() -> None:
    world, refs, attempts = a_world()
    published(world, {"n": b"newer"}, name="z", finished_at="2026-03-01T00:00:00Z", publish_names={"n": "own.txt"})
    retire(world, attempts[1])
    world.store.damage(key_of(world, OWN), b"?")
    (run,) = repaired(world, Shelf("shelf", WHOLE)).repaired
    assert run.pointers == ("train@best",)
    assert world.reader().resolve("train@best").attempt == run.attempt
    assert retired_key(run.attempt) in world.store.bodies
    assert refs[1].split("/")[1] not in {row.run_id for row in world.reader().rows("train")}
    assert verified(world).damages == ()


@pytest.mark.parametrize("file", [RUN_FILE, MANIFEST_FILE, SUMS_FILE])
def test_a_damaged_record_is_never_overwritten_and_the_report_says_what_to_do(file: str) -> None:
    world, refs, _ = a_world()
    key = run_key("train", refs[1].split("/")[1], file)
    digest = sha256(world.store.read(key))
    world.store.damage(key, world.store.read(key) + b" ")
    before = dict(world.store.bodies)
    report = repaired(world, Shelf("shelf", WHOLE))
    assert world.store.bodies == before
    (left,) = report.remaining
    assert left.ref == refs[1]
    assert key in left.detail
    assert "the store's own tools" in left.detail
    assert file == SUMS_FILE or digest in left.detail


def test_missing_sums_are_written_again_from_the_records() -> None:
    world, refs, _ = a_world()
    key = run_key("train", refs[1].split("/")[1], SUMS_FILE)
    body = world.store.read(key)
    world.store.damage(key, None)
    report = repaired(world)
    assert [rebuilt.what for rebuilt in report.rebuilt] == ["sums"]
    assert world.store.bodies[key] == body
    assert verified(world).damages == ()


def test_a_lost_seal_marker_and_a_lost_row_are_written_again_from_the_outcome() -> None:
    world, refs, attempts = a_world()
    marker = seal_key("train", refs[1].split("/")[1], AttemptId(attempts[1]))
    body = world.store.read(marker)
    world.store.damage(marker, None)
    world.store.damage(pending_key("train", AttemptId(attempts[0])), None)
    report = repaired(world)
    assert {(rebuilt.what, rebuilt.ref) for rebuilt in report.rebuilt} == {("announce", ref) for ref in refs}
    assert world.store.bodies[marker] == body
    check_settled(world.store, expected(refs), pointers={"train@best": refs[1]})


@pytest.mark.parametrize("compacted", [False, True])
def test_a_row_of_something_that_is_not_sealed_is_dropped(compacted: bool) -> None:  # noqa: FBT001 - a case
    world, refs, attempts = a_world()
    if compacted:
        world.machine("m1").compact()
    ghost = AttemptId("20260117T150000Z-00000000000000ff")
    row = next(row for row in world.reader().rows("train") if row.attempt == attempts[0])
    fake = msgspec.structs.replace(row, attempt=ghost, run_id="ghost")
    if compacted:
        head = next(world.store.list(base_log("train"))).key
        world.store.damage(head, world.store.read(head) + fake.line())
        world.store.history[head] = world.store.bodies[head]
        world.store.replace(experiment_manifest_key("train"), world.store.bodies[head])
    else:
        world.store.create(pending_key("train", ghost), fake.encode())
    assert [damage.ref for damage in verified(world).damages] == ["train/ghost"]
    assert [rebuilt.what for rebuilt in repaired(world).rebuilt] == ["index"]
    check_settled(world.store, expected(refs), pointers={"train@best": refs[1]})


@pytest.mark.parametrize("where", ["pending", "base"])
def test_an_index_that_cannot_be_read_is_made_again_from_the_records(where: str) -> None:
    world, refs, attempts = a_world()
    if where == "base":
        world.machine("m1").compact()
        head = next(world.store.list(base_log("train"))).key
        world.store.damage(head, world.store.read(head)[:-40])
        world.store.history[head] = world.store.bodies[head]
    else:
        world.store.damage(pending_key("train", AttemptId(attempts[0])), b"{}")
    report = repaired(world)
    assert "index" in {rebuilt.what for rebuilt in report.rebuilt}
    assert report.remaining == ()
    assert {f"{row.experiment}/{row.run_id}" for row in world.reader().runs()} == set(refs)
    check_settled(world.store, expected(refs), pointers={"train@best": refs[1]})


def test_convenience_copies_that_are_missing_or_out_of_date_are_made_again() -> None:
    world, refs, _ = a_world()
    world.machine("m1").compact()
    for key in (
        artifact_key("train", refs[0].split("/")[1], "x"),
        pointer_projection("train", "best"),
        experiment_manifest_key("train"),
        latest_key("own.txt"),
    ):
        world.store.damage(key, None)
    world.store.damage(pointer_projection("train", "latest"), b"{}")
    report = repaired(world)
    assert {rebuilt.what for rebuilt in report.rebuilt} == {"announce", "copy"}
    assert report.remaining == ()
    check_settled(world.store, expected(refs), pointers={"train@best": refs[1]})


def test_of_what_lies_in_packs_no_convenience_copy_is_missed() -> None:
    world = World(packs=PackOptions(below=100))
    files = {"small": b"small", "too": b"small, too", "large": b"." * 101}
    _, done = published(world, files)
    assert verified(world).damages == ()
    world.store.damage(artifact_key("train", done.run_id, "large"), None)
    assert [damage.path for damage in verified(world).damages] == ["large"]
    assert [rebuilt.what for rebuilt in repaired(world).rebuilt] == ["announce"]
    check_settled(world.store, [Expected("train", done.run_id, files)])


def test_a_broken_pointer_is_reported_with_what_to_do() -> None:
    world, _, _ = a_world()
    world.store.damage(generation_key(pointer_log("train", "best"), 1), b"{")
    before = dict(world.store.bodies)
    (left,) = repaired(world).remaining
    assert left.ref == "train@best"
    assert "generations are written once" in left.detail
    assert world.store.bodies == before


def test_one_run_can_be_repaired_alone() -> None:
    world, refs, _ = a_world()
    world.store.damage(key_of(world, SHARED), None)
    experiment, run_id = refs[0].split("/")
    doer, shelf = repairer(world), Shelf("shelf", WHOLE)
    found = Verifier(world.reader(), copies=True).whole_run(experiment, run_id)
    assert {damage.ref for damage in found.damages} == {refs[0]}
    assert [run.ref for run in doer.execute(doer.plan(found, [shelf]), [shelf]).repaired] == [refs[0]]
    assert {damage.ref for damage in verified(world).damages} == {refs[1]}


def test_repair_is_taken_up_again_wherever_it_died() -> None:
    """Every call of a store, in turn, is the last one of a process; the next one finishes and nothing is left over."""

    def broken() -> tuple[World, list[str], Key]:
        world, refs, _ = a_world()
        damaged = key_of(world, SHARED)
        world.store.damage(damaged, b"shared by none")
        world.store.history.pop(damaged)
        world.store.history[damaged] = world.store.bodies[damaged]
        return world, refs, damaged

    world, _, _ = broken()
    wire = Wire({})
    repaired(world, Shelf("shelf", WHOLE), store=GatedStore(world.store, wire))
    writes = [number for number, call in enumerate(wire.calls) if call.writes]
    assert len(writes) > 20
    uploads: set[int] = set()
    for number, mode in product(writes, (Mode.CRASH, Mode.CRASH_AFTER)):
        world, refs, damaged = broken()
        with pytest.raises(CrashError):
            repaired(world, Shelf("shelf", WHOLE), store=GatedStore(world.store, Wire({number: mode})))
        world.clock.advance(5)
        if number % 2:
            world.machine("m1").recover()
        assert repaired(world, Shelf("shelf", WHOLE)).remaining == (), (number, mode)
        world.machine("m1").recover()
        assert verified(world).damages == (), (number, mode)
        uploads.add(sum(f"/{sha256(SHARED)[4:]}." in key for key in world.store.bodies))
        world.store.bodies.pop(damaged)
        world.clock.advance(2 * 24 * 3600.0)
        world.machine("m1").recover()  # a move that was pinned and never decided, too
        check_settled(world.store, expected(refs), pointers={"train@best": refs[1]})
    assert uploads == {2}, "the damaged object, and one good one: an interrupted upload is taken up again"


def test_a_stranger_finishes_a_repair_that_was_sealed() -> None:
    world, refs, _ = a_world()
    world.store.damage(key_of(world, OWN), b"?")
    wire = Wire({})
    doer = repairer(world, store=GatedStore(world.store, wire))
    plan = planned(world, Shelf("shelf", WHOLE))
    doer.execute(plan, [Shelf("shelf", WHOLE)])
    sealed_at = next(
        number for number, call in enumerate(wire.calls) if call.key.endswith("/outcome.json") and call.op == "create"
    )
    for number in range(sealed_at + 1, len(wire.calls)):
        world, refs, _ = a_world()
        world.store.damage(key_of(world, OWN), b"?")
        doer = repairer(world, store=GatedStore(world.store, Wire({number: Mode.CRASH})))
        with pytest.raises(CrashError):
            doer.execute(planned(world, Shelf("shelf", WHOLE)), [Shelf("shelf", WHOLE)])
        world.machine("stranger").recover()
        report = repaired(world, machine="stranger")  # with no replica at all
        assert report.remaining == (), number
        assert verified(world).damages == ()
        assert world.reader().resolve("train@best").attempt == world.target(refs[1]).attempt


def test_an_attempt_that_died_while_it_was_announced_is_replaced_too() -> None:
    for moment in ("/seals/", "/index/pending/", "/pointers/latest/"):
        world = World()
        what = planned_work({"a": SHARED, "b": OWN})
        kill_before(world, "m1", what, lambda call, moment=moment: call.op == "create" and moment in call.key)
        world.store.damage(key_of(world, OWN), None)
        world.machine("m1").recover()  # cannot: what it has to copy is missing
        report = repaired(world, Shelf("shelf", WHOLE))
        assert report.remaining == ()
        assert intents(world.store) == set()
        assert verified(world).damages == ()
        assert len(report.repaired) == 1


def test_two_repairs_of_the_same_damage_agree_on_one_attempt() -> None:
    world, refs, _ = a_world()
    damaged = key_of(world, SHARED)
    world.store.damage(damaged, None)
    shelf = Shelf("shelf", WHOLE)
    one, other = repairer(world, "m1"), repairer(world, "m2")
    plans = [doer.plan(verified(world), [shelf]) for doer in (one, other)]
    first, second = one.execute(plans[0], [shelf]), other.execute(plans[1], [shelf])
    assert [run.attempt for run in first.repaired] == [run.attempt for run in second.repaired]
    assert sum(run.uploaded_objects for run in second.repaired) == 0
    check_settled(world.store, expected(refs), pointers={"train@best": refs[1]})


def test_a_run_is_repaired_and_published_though_its_name_shows_another_run_that_is_damaged() -> None:
    world = World()
    name = {"a": "name.bin"}
    _, old = published(world, {"a": SHARED}, name="old", finished_at="2026-01-01T00:00:00Z", publish_names=name)
    _, new = published(world, {"a": OWN}, name="new", finished_at="2026-01-02T00:00:00Z", publish_names=name)
    for body in (SHARED, OWN):
        world.store.damage(key_of(world, body), None)
    shelf = Shelf("shelf", {"a": SHARED})
    report = repaired(world, shelf)
    assert [run.ref for run in report.repaired] == [old.ref]
    published(world, {"a": b"older"}, name="late", finished_at="2025-01-01T00:00:00Z", publish_names=name)
    assert intents(world.store) == set()
    shelf.bodies["a"] = OWN
    assert [run.ref for run in repaired(world, shelf).repaired] == [new.ref]
    assert world.store.bodies[latest_key("name.bin")] == OWN
    assert verified(world).damages == ()
