from __future__ import annotations

import io
from typing import BinaryIO

import msgspec
import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import EVERYTHING_PACKED, REGISTRY_ID, World, intents, published, retire
from tests.faults.scenarios import kill_before, planned
from tests.invariants import Expected, check_invariants, check_settled, unused_objects

from sealrun.domain.address import AttemptId, Key, intent_key, object_key, outcome_key, refs_key
from sealrun.domain.errors import ConflictError, NotFoundError, RunChangedError, UsageError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import Intent, Stored
from sealrun.domain.runs.manifest import Entry
from sealrun.ports import Source

SELF_NAMED = "20260117T143052Z-fit-abc123"


def test_equal_files_of_a_run_are_uploaded_once() -> None:
    world = World()
    _, done = published(world, {"a": b"same", "b": b"same", "c": b"other"})
    assert (done.uploaded_objects, done.uploaded_bytes, done.reused_objects, done.new) == (2, 9, 0, True)


def test_a_run_without_files_is_published() -> None:
    world = World()
    _, done = published(world, {})
    check_settled(world.store, [Expected("train", done.run_id, {})])


def test_bytes_that_the_registry_has_are_referenced_by_hint() -> None:
    world = World()
    published(world, {"a": b"same"}, name="one")
    _, second = published(world, {"b": b"same", "c": b"new"}, name="two")
    assert (second.uploaded_objects, second.reused_objects) == (1, 1)


def test_a_run_that_is_there_already_is_not_uploaded_again() -> None:
    world = World()
    _, first = published(world, {"a": b"1"}, machine="m1")
    _, second = published(world, {"a": b"1"}, machine="m2")
    assert (second.ref, second.new, second.uploaded_objects) == (first.ref, False, 0)
    assert second.attempt == first.attempt


def test_a_duplicate_teaches_the_machine_where_the_bytes_are() -> None:
    world = World()
    published(world, {"a": b"1"}, machine="m1")
    published(world, {"a": b"1"}, machine="m2")
    _, third = published(world, {"x": b"1"}, machine="m2", name="other")
    assert third.reused_objects == 1


def test_the_same_id_with_other_content_becomes_a_revision_that_names_what_it_supersedes() -> None:
    world = World()
    ids = [published(world, {"a": body}, run_id=SELF_NAMED)[1].run_id for body in (b"1", b"2", b"3", b"2")]
    assert ids == [SELF_NAMED, f"{SELF_NAMED}.r2", f"{SELF_NAMED}.r3", f"{SELF_NAMED}.r2"]
    reader = world.reader()
    view = reader.load(reader.resolve(f"train/{SELF_NAMED}.r3"))
    assert view.envelope.supersedes == f"{SELF_NAMED}.r2"


def test_a_retired_run_that_is_published_again_is_sealed_by_a_new_attempt_and_by_reference() -> None:
    world = World()
    run, first = published(world, {"a": b"1"}, machine="m1")
    retire(world, first.attempt)
    _, again = published(world, {"a": b"1"}, machine="m2")
    assert again.ref == first.ref
    assert again.new
    assert again.attempt != first.attempt
    assert run.envelope().run_id == again.run_id
    check_invariants(world.store)


def test_publishing_again_with_the_ticket_of_a_run_that_was_retired_since_does_not_bring_it_back() -> None:
    world = World()
    run, sources = a_run({"a": b"1"})
    machine = world.machine("m1")
    first = machine.publish(run, sources)
    machine.compact()
    retire(world, first.attempt)
    before = dict(world.store.bodies)
    assert machine.publish(run, sources).ref == first.ref
    assert world.store.bodies == before


def test_a_ticket_whose_run_was_retired_and_collected_meanwhile_is_done_with() -> None:
    world = World()
    run, sources = a_run({"a": b"1"})
    machine = world.machine("m1")
    first = machine.publish(run, sources)
    retire(world, first.attempt)
    world.store.damage(refs_key(AttemptId(first.attempt)), None)
    assert machine.publish(run, sources).ref == first.ref


def test_a_ticket_whose_sealed_records_are_lost_is_an_error() -> None:
    world = World()
    run, sources = a_run({"a": b"1"})
    machine = world.machine("m1")
    first = machine.publish(run, sources)
    world.store.damage(refs_key(AttemptId(first.attempt)), None)
    with pytest.raises(NotFoundError):
        machine.publish(run, sources)


@pytest.mark.parametrize("replaced", ["bytes", "other key", "not a key", "absent"])
def test_a_wrong_hint_costs_an_upload_and_is_forgotten(replaced: str) -> None:
    world = World()
    _, first = published(world, {"a": b"1", "b": b"2"})
    attempt, digest = AttemptId(first.attempt), sha256(b"1")
    key = object_key(digest, attempt)
    hints = {
        "bytes": key,
        "other key": object_key(sha256(b"2"), attempt),  # of the same size
        "not a key": Key("store/packs/x"),
        "absent": object_key(digest, AttemptId("20260101T000000Z-00000000000000ff")),
    }
    if replaced == "bytes":
        world.store.damage(key, b"damaged: another size")
    world.machine("m2").hints.learn(REGISTRY_ID, {digest: Stored(hints[replaced], 1)}, attempt)
    _, second = published(world, {"x": b"1"}, machine="m2", name="second")
    assert second.uploaded_objects == 1
    view = world.reader().load(world.target(second.ref))
    assert b"".join(world.reader().chunks(view, view.entry("x"))) == b"1"


def test_a_restart_goes_on_with_its_attempt_and_uploads_only_what_is_missing() -> None:
    world = World()
    what = planned({"a": b"1", "b": b"2"})
    kill_before(world, "m1", what, lambda call: call.op == "put_many" and call.key == _last_object(what))
    opened: list[str] = []

    def counting(entry: Entry) -> Source:
        opened.append(entry.path)
        return what.sources(entry)

    done = world.machine("m1").publish(what.run, counting)
    assert len(opened) == 1
    assert done.uploaded_objects == 2
    assert not list(unused_objects(world.store))


def _last_object(what: object) -> str:
    world = World()
    machine = world.machine("m1")
    machine.publish(what.run, what.sources)  # type: ignore[attr-defined] # a planned run
    return [key for key in world.store.bodies if key.startswith("store/")][-1]


def test_an_attempt_that_was_voided_is_ended_and_reported() -> None:
    world = World()
    run, sources = a_run({"a": b"1"})
    machine = world.machine("m1")
    ticket = machine.begin_attempt(run, sources)
    world.machine("m2").recover(dead_after_s=-1)
    with pytest.raises(ConflictError, match="m2"):
        machine.publisher().publish(run, ticket, sources)
    assert not intents(world.store)


def test_an_attempt_that_finds_its_run_sealed_by_somebody_else_ends_without_leaving_an_intent() -> None:
    world = World()
    run, sources = a_run({"a": b"1"})
    world.machine("m1").begin_attempt(run, sources)
    published(world, {"a": b"1"}, machine="m2")
    assert not world.machine("m1").publish(run, sources).new
    assert not intents(world.store)


def test_a_source_that_changed_stops_the_attempt_before_the_outcome() -> None:
    world = World()
    run, sources = a_run({"a": b"1"})

    class Changed:
        size = 1
        digest = sha256(b"1")

        def open(self) -> BinaryIO:
            return io.BytesIO(b"other")

    with pytest.raises(RunChangedError):
        world.machine("m1").publish(run, lambda _entry: Changed())
    assert not [key for key in world.store.bodies if key.endswith("outcome.json")]
    check_invariants(world.store)
    assert world.machine("m1").publish(run, sources).new


@pytest.mark.parametrize(
    "wrong", [{"experiment": "a/b"}, {"run_id": "../up"}, {"publish_names": {"a.txt": "not/one/component"}}]
)
def test_a_name_that_no_key_can_hold_is_refused_before_anything_is_written(wrong: dict[str, object]) -> None:
    world = World()
    run, sources = a_run()
    envelope = msgspec.structs.replace(run.envelope(), **wrong)
    with pytest.raises(UsageError):
        world.machine("m1").publish(msgspec.structs.replace(run, run_json=envelope.encode()), sources)
    assert not world.store.bodies


def test_long_uploads_beat_so_that_nobody_takes_them_for_dead() -> None:
    world = World()
    run, sources = a_run({"a": b"1", "b": b"2"})
    seen: list[Intent] = []

    def slow(entry: Entry) -> Source:
        world.clock.advance(3600)
        key = next((Key(key) for key in world.store.bodies if key.endswith("intent.json")), None)
        assert key is not None
        seen.append(Intent.decode(world.store.read(key), key))
        return sources(entry)

    world.machine("m1").publish(run, slow)
    assert seen[1].heartbeat_at > seen[0].heartbeat_at
    assert seen[1].digests == seen[0].digests


def test_a_heartbeat_that_brings_back_the_intent_of_a_void_attempt_is_cleaned_up() -> None:
    world = World()
    run, sources = a_run({"a": b"1"})
    ticket = world.machine("m1").begin_attempt(run, sources)
    body = world.store.read(intent_key(ticket.attempt))
    world.machine("m2").recover(dead_after_s=-1)
    world.store.put(intent_key(ticket.attempt), body)
    world.machine("m2").recover()
    assert not intents(world.store)
    assert outcome_key(ticket.attempt) in world.store.bodies


def test_a_run_that_was_retired_is_not_brought_back_by_a_daemon_but_by_a_command() -> None:
    world = World()
    run, done = published(world, {"a": b"1"})
    published(world, {"b": b"2"}, name="newer", finished_at="2026-01-18T10:00:00Z")
    retire(world, done.attempt)
    machine = world.machine("m2")
    _, sources = a_run({"a": b"1"})
    before = dict(world.store.bodies)

    stays = machine.publisher().publish(run, machine.ticket(run), sources, revive=False)

    assert (stays.ref, stays.retired, stays.new) == (done.ref, True, False)
    assert world.store.bodies == before
    back = machine.publisher().publish(run, machine.ticket(run), sources)
    assert (back.ref, back.retired, back.new) == (done.ref, False, True)


@pytest.mark.parametrize("packs", [None, EVERYTHING_PACKED], ids=["plain", "packed"])
def test_what_is_gone_from_a_far_registry_is_uploaded_after_what_is_new(packs: PackOptions | None) -> None:
    world = World(links=False, packs=packs)
    before = {f"f{number}": b"body %d" % number for number in range(3)}
    _, first = published(world, before, name="one")
    key = object_key(sha256(b"body 1"), AttemptId(first.attempt))
    for lost in [key] if packs is None else [key for key in world.store.bodies if key.endswith(".zip")]:
        world.store.damage(lost, None)
    files = {**before, "new": b"new"}
    _, second = published(world, files, name="two")
    assert (second.uploaded_objects, second.reused_objects) == ((2, 2) if packs is None else (4, 0))
    target = world.target(second.ref)
    reader = world.reader()
    view = reader.load(target)
    assert {entry.path: b"".join(reader.chunks(view, entry)) for entry in view.manifest.entries} == files
