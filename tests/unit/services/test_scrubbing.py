from __future__ import annotations

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World, published, retire
from tests.fakes.clock import FakeClock
from tests.fakes.gated import GatedStore
from tests.faults.lives import Mode, Wire

from sealrun.domain.address import AttemptId, Key, generation_key, pending_key, pointer_log, refs_key
from sealrun.domain.errors import UnavailableError, UsageError
from sealrun.domain.records import sha256
from sealrun.domain.upkeep.damage import SPACE, SeenKeys, Window, place_of
from sealrun.services.mending.scrubbing import Scrubber, ScrubReport


def a_world(runs: int = 12) -> tuple[World, list[str], list[str]]:
    """Runs of three files, one of them shared by all; returns their references and attempts."""
    world = World()
    done = [
        published(
            world,
            {"own": f"own {number}".encode(), "more": f"more {number}".encode(), "all": b"shared by all"},
            name=f"r{number}",
            finished_at=f"2026-01-{number + 1:02d}T00:00:00Z",
        )[1]
        for number in range(runs)
    ]
    return world, [run.ref for run in done], [run.attempt for run in done]


def scrub(world: World, start: float, share: float, budget_s: float | None = None) -> ScrubReport:
    return Scrubber(world.reader(), world.clock).scrub(start, share, budget_s)


def key_of(world: World, body: bytes) -> Key:
    digest = sha256(body)
    return next(Key(key) for key in world.store.bodies if f"/{digest[4:]}." in key)


def reading(world: World, start: float, share: float) -> tuple[ScrubReport, list[str]]:
    """Scrub, and say which objects and packs were read."""
    opened: list[str] = []
    real = world.store.read

    def noting(key: Key, offset: int = 0, length: int | None = None) -> bytes:
        if key.startswith("store/"):
            opened.append(key)
        return real(key, offset, length)

    world.store.read = noting  # type: ignore[method-assign] # listens
    try:
        return scrub(world, start, share), opened
    finally:
        world.store.read = real  # type: ignore[method-assign] # as it was


def objects(world: World) -> list[str]:
    return sorted(key for key in world.store.bodies if key.startswith("store/objects/"))


@pytest.mark.parametrize("start", [0.0, 0.3337, 1 / 3, 0.999999999])
@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_after_enough_rounds_everything_was_read_exactly_as_often(start: float, share: float) -> None:
    world, _, _ = a_world()
    read: list[str] = []
    position = start
    for _ in range(round(1 / share) if share != 0.3 else 4):
        report, opened = reading(world, position, share)
        assert report.complete
        read += opened
        position = report.next
    assert set(read) == set(objects(world))
    assert share == 0.3 or len(read) == len(set(read))


def test_a_round_reads_only_its_window() -> None:
    world, _, _ = a_world()
    report, opened = reading(world, 0.25, 0.25)
    inside = [key for key in objects(world) if 0.25 <= int(key.split("sha256/")[1][:2], 16) / 256 < 0.5]
    assert sorted(opened) == inside
    assert report.report.objects == len(inside)
    assert report.report.bytes_read == sum(len(world.store.bodies[key]) for key in inside)
    assert report.next == 0.5


def test_a_round_that_the_budget_ends_is_resumed_where_it_stopped() -> None:
    world, refs, _ = a_world()
    position, rounds, found = 0.6, 0, 0
    while True:
        report = scrub(world, position, 1.0 if rounds == 0 else 1.0 - (position - 0.6) % 1.0, budget_s=0.0)
        found += report.report.objects + report.report.runs
        rounds += 1
        if report.complete:
            break
        assert report.report.objects + report.report.runs == 1, "the budget is over at once, yet there is progress"
        position = report.next
    assert found == len(objects(world)) + len(refs)


def test_a_budget_that_suffices_changes_nothing() -> None:
    world, _, _ = a_world()
    assert scrub(world, 0.0, 1.0, budget_s=3600.0) == scrub(world, 0.0, 1.0)


def test_damaged_bytes_are_found_in_every_run_that_needs_them_and_only_in_their_round() -> None:
    world, refs, _ = a_world()
    key = key_of(world, b"shared by all")
    world.store.damage(key, b"shared by nil")
    place = place_of(sha256(b"shared by all")) / SPACE
    hit = scrub(world, place, 0.05).report
    assert {(damage.ref, damage.path, damage.kind) for damage in hit.damages} == {(ref, "all", "bytes") for ref in refs}
    assert {damage.key for damage in hit.damages} == {key}
    assert scrub(world, (place + 0.06) % 1.0, 0.05).report.damages == ()


def test_bytes_that_nobody_needs_are_nobodys_damage() -> None:
    world, _, attempts = a_world(3)
    retire(world, attempts[0])
    world.store.damage(key_of(world, b"own 0"), b"?")
    assert scrub(world, 0.0, 1.0).report.damages == ()


def test_bytes_of_a_retired_run_that_a_pointer_keeps_are_found() -> None:
    world, refs, attempts = a_world(3)
    world.machine("m1").move(refs[0], "best")
    retire(world, attempts[0])
    world.store.damage(key_of(world, b"own 0"), b"own 1")
    assert [(d.ref, d.path, d.kind) for d in scrub(world, 0.0, 1.0).report.damages] == [(refs[0], "own", "bytes")]


def test_missing_and_short_objects_are_found_once_each() -> None:
    world, refs, _ = a_world(3)
    world.store.damage(key_of(world, b"own 0"), None)
    world.store.damage(key_of(world, b"own 1"), b"ow")
    found = scrub(world, 0.0, 1.0).report.damages
    assert {(d.ref, d.path, d.kind) for d in found} == {(refs[0], "own", "missing"), (refs[1], "own", "size")}
    assert len(found) == 2


def test_damaged_refs_rows_and_pointers_are_found() -> None:
    world, refs, attempts = a_world(4)
    world.store.damage(refs_key(AttemptId(attempts[0])), None)
    world.store.damage(pending_key("train", AttemptId(attempts[1])), None)
    world.store.damage(generation_key(pointer_log("train", "latest"), 4), b"{")
    found = scrub(world, 0.0, 1.0).report.damages
    assert {(d.ref, d.kind) for d in found} == {(refs[0], "seal"), (refs[1], "index"), ("train@latest", "pointer")}


def test_rows_are_compared_when_it_is_their_runs_turn() -> None:
    world, refs, attempts = a_world(4)
    world.store.damage(pending_key("train", AttemptId(attempts[1])), None)
    place = place_of(sha256(refs[1].encode())) / SPACE
    assert [d.ref for d in scrub(world, place, 0.001).report.damages] == [refs[1]]
    assert scrub(world, (place + 0.002) % 1.0, 0.001).report.damages == ()


def test_scrubbing_writes_nothing() -> None:
    world, _, _ = a_world(3)
    world.store.damage(key_of(world, b"own 0"), b"?")
    before = dict(world.store.bodies)
    scrub(world, 0.0, 1.0)
    assert world.store.bodies == before


def test_an_outage_is_never_reported_as_damage() -> None:
    world, _, _ = a_world(2)
    wire = Wire({})
    Scrubber(world.reader(GatedStore(world.store, wire)), FakeClock()).scrub(0.0, 1.0)
    for number in range(len(wire.calls)):
        with pytest.raises(UnavailableError):
            Scrubber(world.reader(GatedStore(world.store, Wire({number: Mode.FAIL}))), FakeClock()).scrub(0.0, 1.0)


def test_an_unfinished_attempt_is_no_damage() -> None:
    world, _, _ = a_world(2)
    world.machine("m2").begin_attempt(*a_run({"half": b"half"}, name="half"))
    assert scrub(world, 0.0, 1.0).report.damages == ()


@pytest.mark.parametrize(("start", "share"), [(1.0, 0.5), (-0.1, 0.5), (0.0, 1.5), (0.0, 0.0)])
def test_windows_that_cannot_be_are_refused(start: float, share: float) -> None:
    with pytest.raises(UsageError):
        scrub(World(), start, share)


def test_windows_that_follow_one_another_leave_nothing_out() -> None:
    start = 0.123456789
    first = Window(start, 0.3)
    second = Window(first.end, 0.3)
    assert first.distance(second.first) == first.length
    assert Window(start, 1.0).end == first.first / SPACE


def test_seen_keys_tells_new_from_old_through_every_growth() -> None:
    seen = SeenKeys()
    assert all(seen.add(f"key {number}") for number in range(5000))
    assert not any(seen.add(f"key {number}") for number in range(5000))
    assert len(seen) == 5000
    some = [f"key {number}" for number in range(4990, 5010)]
    assert seen.add_all([*some, *some]) == [*range(10, 20)]
    assert len(seen) == 5010
