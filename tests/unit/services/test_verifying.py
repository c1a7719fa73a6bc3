from __future__ import annotations

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World, published, retire
from tests.fakes.gated import GatedStore
from tests.faults.lives import Mode, Wire
from tests.faults.scenarios import kill_before, planned

from sealrun.domain.address import (
    AttemptId,
    Key,
    generation_key,
    name_log,
    outcome_key,
    pending_key,
    pointer_log,
    refs_key,
    run_key,
    seal_key,
)
from sealrun.domain.errors import UnavailableError
from sealrun.domain.records import sha256
from sealrun.domain.registry.pointing import Generation
from sealrun.domain.registry.publication import Outcome
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE
from sealrun.domain.upkeep.damage import SPACE, Damage, Window, place_of
from sealrun.services.mending.rereading import Outside
from sealrun.services.mending.verifying import Verifier

FILES = {"a": b"shared", "b": b"own bytes"}


def a_world() -> tuple[World, str, str]:
    """Two runs that share bytes; returns the second one's reference and attempt."""
    world = World()
    published(world, {"x": b"shared"}, name="first", finished_at="2026-01-01T00:00:00Z")
    _, done = published(world, FILES, name="second", publish_names={"a": "a.txt"})
    return world, done.ref, done.attempt


def found(world: World, *, read_bytes: bool = True) -> tuple[Damage, ...]:
    return Verifier(world.reader(), read_bytes=read_bytes).everything().damages


def object_of(world: World, body: bytes) -> Key:
    digest = sha256(body)
    return next(
        Key(key)
        for key in world.store.bodies
        if key.startswith(f"store/objects/sha256/{digest[:2]}/{digest[2:4]}/{digest[4:]}.")
    )


def test_a_whole_registry_is_clean_and_shared_bytes_are_read_once() -> None:
    world, _, _ = a_world()
    report = Verifier(world.reader()).everything()
    assert report.damages == ()
    assert (report.runs, report.objects, report.bytes_read) == (2, 2, len(b"shared") + len(b"own bytes"))


def test_verifying_changes_nothing() -> None:
    world, _, _ = a_world()
    before = dict(world.store.bodies)
    found(world)
    assert world.store.bodies == before


def test_progress_is_told_in_bytes() -> None:
    world, ref, _ = a_world()
    told: list[int] = []
    Verifier(world.reader(), advance=told.append).run(world.target(ref))
    assert sum(told) == len(b"shared") + len(b"own bytes")


def test_a_missing_object_is_found_in_every_run_that_needs_it() -> None:
    world, ref, _ = a_world()
    world.store.damage(object_of(world, b"shared"), None)
    damages = found(world, read_bytes=False)
    assert {(damage.kind, damage.path) for damage in damages} == {
        ("missing", "x"),
        ("missing", "a"),
    }
    assert ref in {damage.ref for damage in damages}


@pytest.mark.parametrize(("body", "kind", "quick"), [(b"own byte", "size", True), (b"own bytez", "bytes", False)])
def test_altered_bytes_are_found(body: bytes, kind: str, quick: bool) -> None:  # noqa: FBT001 - a case
    world, ref, _ = a_world()
    world.store.damage(object_of(world, b"own bytes"), body)
    (damage,) = found(world)
    assert (damage.ref, damage.kind, damage.path) == (ref, kind, "b")
    assert bool(found(world, read_bytes=False)) == quick


@pytest.mark.parametrize("file", [RUN_FILE, MANIFEST_FILE, SUMS_FILE])
@pytest.mark.parametrize("how", ["gone", "altered", "empty"])
def test_a_damaged_record_of_a_run_folder_is_found(file: str, how: str) -> None:
    world, ref, _ = a_world()
    experiment, run_id = ref.split("/")
    key = run_key(experiment, run_id, file)
    body = world.store.read(key)
    world.store.damage(
        key,
        {"gone": None, "altered": body.replace(b"second", b"sekond").replace(b"  arti", b"  arty"), "empty": b""}[how],
    )
    if world.store.bodies.get(key) == body:
        world.store.damage(key, body + b"\n")
    damages = found(world)
    assert (ref, "seal") in {(damage.ref, damage.kind) for damage in damages}
    assert {damage.ref for damage in damages} <= {ref, "train@latest", "a.txt"}


def test_lost_refs_are_found() -> None:
    world, ref, attempt = a_world()
    world.store.damage(refs_key(AttemptId(attempt)), None)
    assert (ref, "seal") in {(damage.ref, damage.kind) for damage in found(world)}


def test_refs_that_lack_a_file_are_found() -> None:
    world, ref, attempt = a_world()
    key = refs_key(AttemptId(attempt))
    world.store.damage(key, world.store.read(key).replace(sha256(b"own bytes").encode(), b"0" * 64, 1))
    (damage,) = found(world)
    assert (damage.ref, damage.kind, damage.path) == (ref, "refs", "b")


def test_a_lost_seal_marker_is_found_by_the_index() -> None:
    world, ref, attempt = a_world()
    experiment, run_id = ref.split("/")
    world.store.damage(seal_key(experiment, run_id, AttemptId(attempt)), None)
    assert [(damage.ref, damage.kind) for damage in found(world)] == [(ref, "index")]


def test_a_run_folder_that_is_gone_as_a_whole_is_found_by_the_index() -> None:
    world, ref, _ = a_world()
    experiment, run_id = ref.split("/")
    for key in [key for key in world.store.bodies if key.startswith(f"experiments/{experiment}/runs/{run_id}/")]:
        world.store.damage(key, None)
    assert (ref, "index") in {(damage.ref, damage.kind) for damage in found(world)}


def test_a_missing_row_is_found() -> None:
    world, ref, attempt = a_world()
    world.store.damage(pending_key("train", AttemptId(attempt)), None)
    assert [(damage.ref, damage.kind) for damage in found(world)] == [(ref, "index")]


def test_a_row_of_something_unsealed_is_found() -> None:
    world, ref, attempt = a_world()
    key = outcome_key(AttemptId(attempt))
    outcome = Outcome.decode(world.store.read(key), key)
    void = Outcome(attempt=outcome.attempt, nonce="", decision="void", decided_at=outcome.decided_at, by="?")
    for body in (void.encode(), None):
        world.store.damage(key, body)
        assert (ref, "index") in {(damage.ref, damage.kind) for damage in found(world)}


def test_a_damaged_row_is_found() -> None:
    world, _, attempt = a_world()
    world.store.damage(pending_key("train", AttemptId(attempt)), b"{}")
    assert [(damage.ref, damage.kind) for damage in found(world)] == [("train", "index")]


@pytest.mark.parametrize("log", [pointer_log("train", "latest"), name_log("a.txt")])
@pytest.mark.parametrize("how", ["dangling", "root", "json", "gap"])
def test_a_damaged_pointer_is_found(log: str, how: str) -> None:
    world, _, _ = a_world()
    newest = next(world.store.list(log)).key
    generation = Generation.decode(world.store.read(newest), newest)
    bodies = {
        "dangling": generation.encode().replace(
            generation.target.attempt.encode(), b"20260101T000000Z-00000000000000ff"
        ),
        "root": generation.encode().replace(generation.target.root_sha256.encode(), b"0" * 64),
        "json": b"{",
    }
    if how == "gap":
        target = generation_key(log, generation.generation + 2)
        world.store.bodies[target] = generation.encode()
        world.store.modified[target] = 0.0
    else:
        world.store.damage(newest, bodies[how])
    assert [damage.kind for damage in found(world)] == ["pointer"]


def test_a_retired_run_is_no_damage_unless_a_pointer_keeps_it() -> None:
    world, ref, attempt = a_world()
    published(world, {"z": b"zz"}, name="last", finished_at="2026-02-01T00:00:00Z", publish_names={"z": "a.txt"})
    retire(world, attempt)
    world.store.damage(object_of(world, b"own bytes"), None)
    assert found(world) == ()
    world.machine("m1").move("train@latest", "best")
    assert found(world) == ()
    assert ref


def test_a_retired_run_that_a_pointer_keeps_is_verified() -> None:
    world, ref, attempt = a_world()
    world.machine("m1").move(ref, "best")
    retire(world, attempt)
    assert found(world) == ()
    world.store.damage(object_of(world, b"own bytes"), None)
    assert [(damage.ref, damage.kind) for damage in found(world)] == [(ref, "missing")]


def test_a_run_that_is_being_announced_or_was_never_sealed_is_no_damage() -> None:
    for moment in ("/index/pending/", "outcome.json"):
        world = World()
        what = planned({"a": b"1"})
        kill_before(world, "m1", what, lambda call, moment=moment: call.op == "create" and moment in call.key)
        assert found(world) == ()
    world = World()
    world.machine("m1").begin_attempt(*a_run())
    assert found(world) == ()


def test_an_outage_is_never_reported_as_damage() -> None:
    world, _, _ = a_world()
    wire = Wire({})
    Verifier(world.reader(GatedStore(world.store, wire))).everything()
    for number in range(len(wire.calls)):
        with pytest.raises(UnavailableError):
            Verifier(world.reader(GatedStore(world.store, Wire({number: Mode.FAIL})))).everything()


def test_only_objects_in_the_window_are_read_and_the_others_looked_at_or_not() -> None:
    world, ref, _ = a_world()
    key = object_of(world, b"own bytes")
    start = place_of(sha256(b"own bytes")) / SPACE
    elsewhere = Window((start + 0.01) % 1.0, 0.001)
    world.store.damage(key, b"own bytez")
    assert found_in(world, Window(start, 0.001), "skip") == [(ref, "bytes")]
    assert found_in(world, elsewhere, "look") == []
    world.store.damage(key, b"own")
    assert found_in(world, elsewhere, "look") == [(ref, "size")]
    assert found_in(world, elsewhere, "skip") == []


def found_in(world: World, window: Window, outside: Outside) -> list[tuple[str, str]]:
    report = Verifier(world.reader(), window=window, outside=outside).everything()
    return [(damage.ref, damage.kind) for damage in report.damages]


def test_every_attempt_that_holds_a_run_is_verified_unless_it_is_retired() -> None:
    world, ref, attempt = a_world()
    run, sources = a_run(FILES, name="second", publish_names={"a": "a.txt"})
    world.clock.advance(60)
    key = object_of(world, b"own bytes")
    machine = world.machine("m2")
    newer = machine.publisher().publish(run, machine.ticket(run), sources, instead_of=AttemptId(attempt))
    assert newer.attempt != attempt
    assert world.target(ref).attempt == newer.attempt
    assert found(world) == ()
    world.store.damage(key, None)
    assert [(damage.ref, damage.path, damage.attempt) for damage in found(world)] == [(ref, "b", attempt)]
    retire(world, attempt)
    assert [damage.kind for damage in found(world)] == ["missing"], "pointers still stand on it"
