"""Members of packs are read, verified, repaired and brought back like files that are objects of their own."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.builders.packs import SMALL, bodies, flip, flipped, is_named_by_its_bytes, packed_world, packs, place
from tests.builders.runs import BytesSource
from tests.builders.worlds import REGISTRY_ID, World, published, retire
from tests.fakes.clock import FakeEntropy
from tests.fakes.hints import FakeHints
from tests.fakes.stage import MemoryStage

from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.domain.address import OBJECTS, Key, quarantine_key
from sealrun.domain.errors import DigestMismatchError, NotFoundError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.upkeep.mending import HERE, RepairReport
from sealrun.ports import Source
from sealrun.services.access import pouring as pouring_module
from sealrun.services.access.members import plan_spans
from sealrun.services.access.restoring import restore
from sealrun.services.keeping.undoing import Undoer
from sealrun.services.mending.repairing import Repairer
from sealrun.services.mending.replicas import RegistryReplica, holds_its_bytes
from sealrun.services.mending.scrubbing import Scrubber
from sealrun.services.mending.verifying import Verifier
from sealrun.services.publication.packing import Packing

OTHER = {"copy of 3": SMALL["part/03"], "mine": b"the other's own"}
PACKED = Packing(PackOptions(least=1), MemoryStage)


class Reads:
    """Notes every read of a pack."""

    def __init__(self, world: World) -> None:
        self.ranges: list[tuple[int, int | None]] = []
        real = world.store.read

        def noting(key: Key, offset: int = 0, length: int | None = None) -> bytes:
            if key.startswith("store/"):
                self.ranges.append((offset, length))
            return real(key, offset, length)

        world.store.read = noting  # type: ignore[method-assign] # listens


class Shelf:
    """`ports.Replica` that has these files."""

    name = "shelf"

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:
        self.asked.append(f"{experiment}/{run_id}:{entry.path}")
        return BytesSource(self.files[entry.path]) if entry.path in self.files else None


def two_runs() -> tuple[World, str, str]:
    """Two runs; the second uses one member of the first's pack, and has one of its own."""
    world = packed_world()
    _, first = published(world, dict(SMALL), name="first", finished_at="2026-01-15T10:00:00Z")
    _, second = published(world, OTHER, name="second", finished_at="2026-01-16T10:00:00Z")
    assert place(world, second.ref, "copy of 3") == place(world, first.ref, "part/03")
    world.clock.advance(60)
    return world, first.ref, second.ref


def damages(world: World) -> set[tuple[str, str | None, str]]:
    return {(one.ref, one.path, one.kind) for one in Verifier(world.reader()).everything().damages}


def scrubbed(world: World) -> set[tuple[str, str | None, str]]:
    return {(d.ref, d.path, d.kind) for d in Scrubber(world.reader(), world.clock).scrub(0.0, 1.0).report.damages}


def repaired(world: World, *replicas: Shelf | RegistryReplica) -> RepairReport:
    machine = world.machine("m1")
    repairer = Repairer(
        world.store, REGISTRY_ID, machine.hints, world.clock, machine.entropy, "m1", "somebody", packing=PACKED
    )
    return repairer.execute(repairer.plan(Verifier(world.reader(), copies=True).everything(), replicas), replicas)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- reading and restoring


def test_a_pack_is_a_zip_that_anybody_reads() -> None:
    world, ref, _ = two_runs()
    with zipfile.ZipFile(io.BytesIO(world.store.bodies[place(world, ref, "part/00").key])) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            sha256(body): body for body in SMALL.values()
        }


def test_one_file_of_a_pack_costs_one_ranged_read() -> None:
    world, ref, _ = two_runs()
    reader = world.reader()
    view = reader.load(reader.resolve(ref))
    reads = Reads(world)
    assert b"".join(reader.chunks(view, view.entry("part/07"))) == SMALL["part/07"]
    stored = place(world, ref, "part/07")
    assert reads.ranges == [(stored.offset, stored.size)]


def test_a_run_in_a_pack_is_restored_with_one_read(tmp_path: Path) -> None:
    world, ref, _ = two_runs()
    reader = world.reader()
    view = reader.load(reader.resolve(ref))
    reads = Reads(world)
    told: list[int] = []
    restore(reader, view, LocalDestination(tmp_path / "out"), sealed=False, advance=told.append)
    assert tree(tmp_path / "out") == SMALL
    assert sum(told) == sum(map(len, SMALL.values()))
    assert len(reads.ranges) == 1


def test_pieces_of_a_pack_hold_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pouring_module, "_FAR_SPAN", 400)
    world, ref, _ = two_runs()
    reader = world.reader()
    view = reader.load(reader.resolve(ref))
    reads = Reads(world)
    restore(reader, view, LocalDestination(tmp_path / "out"), sealed=False)
    assert tree(tmp_path / "out") == SMALL
    assert len(reads.ranges) > 2
    assert all(length is not None and length <= 400 for _, length in reads.ranges)


def test_members_that_lie_far_apart_are_not_read_together() -> None:
    near, far = Stored(Key("p"), 10, 100), Stored(Key("p"), 10, 10_000_000)
    other = Stored(Key("q"), 10, 200)
    digests = [sha256(bytes([number])) for number in range(3)]
    planned = plan_spans(zip(digests, (far, near, other), strict=True))
    assert [(span.key, span.begin, span.end) for span in planned] == [
        ("p", 100, 110),
        ("p", 10_000_000, 10_000_010),
        ("q", 200, 210),
    ]


def test_nothing_is_restored_from_a_damaged_member(tmp_path: Path) -> None:
    world, ref, _ = two_runs()
    flip(world, place(world, ref, "part/05"))
    reader = world.reader()
    view = reader.load(reader.resolve(ref))
    with pytest.raises(DigestMismatchError, match="part/05"):
        restore(reader, view, LocalDestination(tmp_path / "out"), sealed=False)
    assert list(tmp_path.iterdir()) == []


def test_the_same_bytes_under_two_names_are_restored_under_both(tmp_path: Path) -> None:
    world = packed_world()
    files = {"a": b"same", "b/c": b"same", "empty": b""}
    _, run = published(world, files)
    reader = world.reader()
    restore(reader, reader.load(reader.resolve(run.ref)), LocalDestination(tmp_path / "out"), sealed=False)
    assert tree(tmp_path / "out") == files


# ---------------------------------------------------------------- verifying and scrubbing


def test_whole_packs_are_verified_without_damage_and_each_member_once() -> None:
    world, _, _ = two_runs()
    reads = Reads(world)
    report = Verifier(world.reader()).everything()
    assert report.damages == ()
    assert report.objects == len(SMALL) + 1
    assert report.bytes_read == sum(map(len, SMALL.values())) + len(OTHER["mine"])
    assert len(reads.ranges) == 2
    assert scrubbed(world) == set()


def test_a_flipped_member_is_told_of_exactly_the_files_that_have_it() -> None:
    world, first, second = two_runs()
    flip(world, place(world, first, "part/03"))
    expected = {(first, "part/03", "bytes"), (second, "copy of 3", "bytes")}
    assert damages(world) == expected
    assert scrubbed(world) == expected


def test_a_pack_that_is_gone_is_told_of_every_file_in_it() -> None:
    world, first, second = two_runs()
    world.store.damage(place(world, first, "part/00").key, None)
    expected = {(first, path, "missing") for path in SMALL} | {(second, "copy of 3", "missing")}
    assert damages(world) == expected
    assert scrubbed(world) == expected


def test_a_pack_that_is_too_short_is_told_of_the_files_beyond_its_end() -> None:
    world, first, _ = two_runs()
    cut = place(world, first, "part/09")
    world.store.damage(cut.key, world.store.bodies[cut.key][: (cut.offset or 0) + 3])
    expected = {(first, path, "size") for path in ("part/09", "part/10", "part/11")}
    assert damages(world) == expected
    assert Verifier(world.reader(), read_bytes=False).everything().bytes_read == 0
    assert {path for _, path, _ in scrubbed(world)} == {"part/09", "part/10", "part/11"}


def test_a_pack_that_is_damaged_between_its_files_is_told_of_its_runs_by_a_scrub() -> None:
    world, first, second = two_runs()
    pack = place(world, first, "part/00").key
    world.store.damage(pack, flipped(world.store.bodies[pack], len(world.store.bodies[pack]) - 3))
    assert damages(world) == set()
    assert scrubbed(world) == {(first, None, "bytes"), (second, None, "bytes")}


def test_scrubbing_in_parts_reads_every_pack_once_per_round() -> None:
    world, first, _ = two_runs()
    flip(world, place(world, first, "part/11"))
    found, read, position = set(), 0, 0.37
    for _ in range(4):
        report = Scrubber(world.reader(), world.clock).scrub(position, 0.25)
        position, read = report.next, read + report.report.objects
        found |= {(damage.ref, damage.path) for damage in report.report.damages}
    assert read == len(packs(world))
    assert found == {(first, "part/11")}


# ---------------------------------------------------------------- repairing


def test_a_damaged_member_comes_from_a_replica_and_the_good_ones_out_of_the_pack() -> None:
    world, first, second = two_runs()
    broken = place(world, first, "part/05")
    flip(world, broken)
    mine = place(world, second, "mine")
    shelf = Shelf(SMALL)
    report = repaired(world, shelf)
    assert report.remaining == ()
    assert report.quarantined == (broken.key,)
    assert quarantine_key(broken.key) in world.store.bodies
    assert [run.ref for run in report.repaired] == [first]  # what the second has of the pack is good
    assert set(shelf.asked) == {f"{first}:part/05"}
    assert bodies(world, first) == SMALL
    assert bodies(world, second) == OTHER
    assert place(world, second, "mine") == mine
    assert place(world, first, "part/00").key != broken.key
    assert not any(key.startswith(OBJECTS) for key in world.store.bodies)
    assert all(is_named_by_its_bytes(world, key) for key in packs(world) if key != broken.key)
    assert damages(world) == set()


def test_a_lost_pack_is_repaired_in_every_run_that_used_it() -> None:
    world, first, second = two_runs()
    world.store.damage(place(world, first, "part/00").key, None)
    report = repaired(world, Shelf({**SMALL, **OTHER}))
    assert {run.ref for run in report.repaired} == {first, second}
    assert (bodies(world, first), bodies(world, second)) == (SMALL, OTHER)
    assert damages(world) == set()


def test_what_nobody_has_is_named_and_the_rest_is_left_as_it_is() -> None:
    world, first, second = two_runs()
    flip(world, place(world, first, "part/03"))
    report = repaired(world, Shelf({}))
    assert {(left.ref, left.path) for left in report.remaining} == {(first, "part/03"), (second, "copy of 3")}
    assert report.repaired == ()
    assert damages(world) == {(first, "part/03", "bytes"), (second, "copy of 3", "bytes")}


def test_a_pack_of_another_registry_is_a_replica() -> None:
    world, first, _ = two_runs()
    elsewhere = packed_world()
    published(elsewhere, dict(SMALL), name="first", finished_at="2026-01-15T10:00:00Z")
    world.store.damage(place(world, first, "part/00").key, None)
    flip(elsewhere, place(elsewhere, first, "part/01"))
    view = elsewhere.reader().load(elsewhere.target(first))
    replica = RegistryReplica("elsewhere", elsewhere.reader(), "1" * 32)
    experiment, _, run_id = first.partition("/")
    offers = [replica.find(experiment, run_id, view.entry(path)) for path in ("part/00", "part/01")]
    assert [source is not None and holds_its_bytes(source) for source in offers] == [True, False]
    report = repaired(world, replica, Shelf({"part/01": SMALL["part/01"], **OTHER}))
    assert report.remaining == ()
    assert bodies(world, first) == SMALL


def test_bytes_in_another_pack_are_found_by_the_hints() -> None:
    world, first, _ = two_runs()
    lost = place(world, first, "part/03")
    stranger = world.machine("m2")  # knows of nothing, so it packs the same bytes again
    _, again = published(world, {"x": SMALL["part/03"], "y": b"y"}, machine="m2", name="third")
    copy = place(world, again.ref, "x")
    assert copy.key != lost.key
    world.store.damage(lost.key, None)
    found = Verifier(world.reader()).everything()
    repairer = Repairer(world.store, REGISTRY_ID, stranger.hints, world.clock, stranger.entropy, "m2", "somebody")
    files = {file.path: file for run in repairer.plan(found, []).runs for file in run.files}
    assert (files["part/03"].source, files["part/03"].here) == (HERE, copy)
    assert files["part/04"].source is None


# ---------------------------------------------------------------- undoing


def undoer(world: World, hints: FakeHints | None = None, seed: int = 6) -> Undoer:
    return Undoer(world.store, REGISTRY_ID, hints, world.clock, FakeEntropy(seed), "m3", packing=PACKED)


def test_a_retired_run_comes_back_by_reference_to_its_pack() -> None:
    world, first, _ = two_runs()
    before = packs(world)
    retire(world, world.target(first).attempt)
    plan = undoer(world).plan(*first.split("/"))
    assert not plan.missing
    undoer(world).execute(plan)
    assert bodies(world, first) == SMALL
    assert packs(world) == before


def test_what_is_gone_of_a_retired_run_comes_back_in_a_pack() -> None:
    world, first, _ = two_runs()
    lost = place(world, first, "part/00").key
    retire(world, world.target(first).attempt)
    world.store.damage(lost, None)
    assert len([*undoer(world).plan(*first.split("/")).missing]) == len(SMALL)
    with pytest.raises(NotFoundError, match="cannot be brought back"):
        undoer(world).execute(undoer(world).plan(*first.split("/")))
    again = undoer(world, seed=7)
    again.execute(again.plan(*first.split("/")), lambda entry: BytesSource(SMALL[entry.path]))
    assert bodies(world, first) == SMALL
    assert not any(key.startswith(OBJECTS) for key in world.store.bodies)


def test_an_undo_finds_members_of_other_packs_by_the_hints() -> None:
    world, first, _ = two_runs()
    lost = place(world, first, "part/00").key
    published(world, dict(SMALL), machine="m2", name="third")
    retire(world, world.target(first).attempt)
    world.store.damage(lost, None)
    plan = undoer(world, world.machine("m2").hints).plan(*first.split("/"))
    assert not plan.missing
    undoer(world, world.machine("m2").hints).execute(plan)
    assert bodies(world, first) == SMALL
