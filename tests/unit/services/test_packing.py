"""Small files on their way into packs. Beside faults and collectors: `tests/faults`, `tests/interleavings`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import TypeVar

import pytest
from tests.builders.runs import BytesSource, Sources, a_run
from tests.builders.worlds import EVERYTHING_PACKED, World, published, staged_pack
from tests.fakes.gated import Call, GatedStore
from tests.fakes.stage import MemoryStage
from tests.faults.packing import die_after_uploads
from tests.faults.scenarios import planned
from tests.invariants import Expected, check_settled, unused_objects

from sealrun.domain.address import PACKS, AttemptId, Digest, intent_key, is_pack, parse_object_key, refs_key
from sealrun.domain.errors import RunChangedError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import Intent, Refs, Stored
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Source

T = TypeVar("T")
FILES = {f"d/{name}": name.encode() * 5 for name in "abcdef"}


def places(world: World, done: Published) -> Mapping[str, Stored]:
    """Where the bytes of a run are, by the bytes."""
    key = refs_key(AttemptId(done.attempt))
    stored = Refs.decode(world.store.bodies[key], key).objects
    bodies = world.store.bodies
    return {
        bodies[one.key][one.offset or 0 :][: one.size].decode(): one
        for one in sorted(stored.values(), key=lambda one: (one.key, one.offset or 0))
    }


def packs(world: World) -> list[str]:
    return sorted(key for key in world.store.bodies if key.startswith(PACKS))


class _Uploads:
    """A gate that remembers what is stored."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, call: Call, act: Callable[[], T]) -> T:
        if call.op == "put_many":
            self.keys.append(call.key)
        return act()


def test_small_files_lie_in_one_pack_in_the_order_of_their_paths() -> None:
    world = World(packs=PackOptions(least=2))
    _, done = published(world, FILES)
    (pack,) = packs(world)
    with zipfile.ZipFile(io.BytesIO(world.store.bodies[pack])) as archive:
        assert [archive.read(name) for name in archive.namelist()] == list(FILES.values())
    check_settled(world.store, [Expected("train", done.run_id, FILES)])


def test_large_files_stay_alone_and_so_do_those_that_are_published_under_a_name() -> None:
    world = World(packs=PackOptions(below=100, least=1))
    files = {**FILES, "large": b"L" * 100, "metrics": b"{}"}
    _, done = published(world, files, publish_names={"metrics": "metrics.json"})
    alone = {body for body, stored in places(world, done).items() if stored.offset is None}
    assert alone == {"L" * 100, "{}"}
    assert world.store.bodies["latest/metrics.json"] == b"{}"


def test_too_few_small_files_stay_alone() -> None:
    world = World(packs=PackOptions(least=7))
    published(world, FILES)
    assert packs(world) == []


def test_equal_files_of_a_run_are_one_member() -> None:
    world = World(packs=EVERYTHING_PACKED)
    published(world, {"a": b"same", "b": b"same", "c": b"other"})
    (pack,) = packs(world)
    with zipfile.ZipFile(io.BytesIO(world.store.bodies[pack])) as archive:
        assert len(archive.namelist()) == 2


def test_a_run_of_many_small_files_becomes_several_packs() -> None:
    world = World(packs=PackOptions(below=100, size=1_000, least=1))
    files = {f"{number:02}": b"%d" % number * 20 for number in range(20)}
    _, done = published(world, files)
    assert len(packs(world)) == 5
    check_settled(world.store, [Expected("train", done.run_id, files)])


def test_members_of_an_earlier_run_s_pack_are_referenced_and_the_intent_names_it() -> None:
    world = World(packs=EVERYTHING_PACKED)
    published(world, FILES, name="one")
    (pack,) = packs(world)
    intents: list[Intent] = []
    machine, (run, sources) = world.machine("m1"), a_run({"x": FILES["d/c"], "y": b"new"}, name="two")

    def watching(entry: Entry) -> Source:
        key = intent_key(machine.ticket(run).attempt)
        intents.append(Intent.decode(world.store.bodies[key], key))
        return sources(entry)

    done = machine.publish(run, watching)
    assert (done.uploaded_objects, done.reused_objects) == (1, 1)
    assert places(world, done)["ccccc"].key == pack
    assert set(intents[0].digests) == {sha256(b"ccccc"), sha256(b"new"), parse_object_key(pack).digest}


def test_a_resumed_attempt_makes_the_same_packs_again_and_finds_them() -> None:
    world = World(packs=PackOptions(below=100, size=1_000, least=1))
    what = planned(FILES | {"large": b"L" * 500})
    die_after_uploads(world, what)
    there = set(packs(world))
    assert there
    gate = _Uploads()
    world.machine("m1").publish(what.run, what.sources, GatedStore(world.store, gate))
    assert gate.keys == []
    assert set(packs(world)) == there
    assert list(unused_objects(world.store)) == []


# ---------------------------------------------------------------- packs that were made while the files were hashed


def a_staging_world() -> World:
    return World(packs=EVERYTHING_PACKED, stages=True)


def test_a_staged_pack_is_stored_as_it_is_and_no_file_is_read_again() -> None:
    world = a_staging_world()
    run, sources = a_run(FILES)
    staged = staged_pack(world, run, sources)

    def never(entry: Entry) -> Source:
        raise AssertionError(f"{entry.path} is read")

    done = world.machine("m1").publish(run, never, None, [staged])
    assert {parse_object_key(stored.key).digest for stored in places(world, done).values()} == {staged.source.digest}


@pytest.mark.parametrize(("there", "as_it_is"), [(3, True), (4, False)])
def test_a_staged_pack_of_which_most_is_there_is_not_stored(there: int, as_it_is: bool) -> None:  # noqa: FBT001 - a case
    world = a_staging_world()
    before = dict(list(FILES.items())[:there])
    _, base = published(world, before, name="base")
    run, sources = a_run(FILES, name="new")
    staged = staged_pack(world, run, sources)
    done = world.machine("m1").publish(run, sources, None, [staged])
    stored = {parse_object_key(one.key).digest for one in places(world, done).values()}
    assert (staged.source.digest in stored) is as_it_is
    assert done.uploaded_objects == 6 - there
    runs = [Expected("train", base.run_id, before), Expected("train", done.run_id, FILES)]
    check_settled(world.store, runs)


def test_files_in_a_staged_pack_are_packed_though_they_are_few() -> None:
    world = World(packs=PackOptions(least=10), stages=True)
    run, sources = a_run(FILES)
    done = world.machine("m1").publish(run, sources, None, [staged_pack(world, run, sources)])
    assert all(is_pack(stored.key) for stored in places(world, done).values())


def test_staged_packs_are_no_use_to_a_registry_that_does_not_pack() -> None:
    world = World(stages=True)
    run, sources = a_run(FILES)
    world.machine("m1").publish(run, sources, None, [staged_pack(world, run, sources)])
    assert packs(world) == []


# ---------------------------------------------------------------- what may go wrong


@pytest.mark.parametrize("now", [b"other", b"longer than it was", b""])
def test_a_file_that_changed_since_it_was_hashed_gets_into_no_pack(now: bytes) -> None:
    world = World(packs=EVERYTHING_PACKED)
    run, sources = a_run(FILES)
    changed: Sources = lambda entry: _Lying(now, sources(entry).digest) if entry.path == "d/c" else sources(entry)  # noqa: E731 - short
    with pytest.raises(RunChangedError, match="d/c"):
        world.machine("m1").publish(run, changed)
    assert packs(world) == []


@pytest.mark.parametrize("fails", [False, True])
def test_the_place_where_packs_wait_is_cleared_whatever_happens(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a case
    world, stages = World(packs=EVERYTHING_PACKED, stages=True), list[MemoryStage]()

    def stage() -> MemoryStage:
        stages.append(MemoryStage())
        return stages[-1]

    monkeypatch.setattr(world.store, "stage", stage)
    run, sources = a_run(FILES)
    if fails:
        with pytest.raises(RunChangedError):
            world.machine("m1").publish(run, lambda entry: _Lying(b"no", entry.sha256))
    else:
        world.machine("m1").publish(run, sources)
    assert [stage.closed for stage in stages] == [True]


class _Lying(BytesSource, frozen=True):
    """A file that is no longer what it was."""

    said: Digest

    @property
    def digest(self) -> Digest:
        return self.said
