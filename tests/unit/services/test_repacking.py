"""Repacking, on the strict model of a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.builders.sparse import EAGER, bodies, keep, look, packs, publish_packed, repacker
from tests.builders.worlds import World, retire
from tests.fakes.gated import Call, GatedStore
from tests.faults.lives import CrashError

from sealrun.domain.address import Digest, Key, pack_key, parse_object_key, quarantine_key, refs_key, retired_key
from sealrun.domain.errors import CollectionRefusedError
from sealrun.domain.registry.publication import Refs, Retired
from sealrun.domain.upkeep.keeping import Quarantined
from sealrun.domain.upkeep.repacking import RepackLimits, RepackReport
from sealrun.services.collection.collecting import CollectionPolicy
from sealrun.services.keeping.pinning import Pins
from sealrun.services.mending.repacking import plan_repack
from sealrun.services.storage.standing import find_standing

T = TypeVar("T")
_TWO_DAYS_S = 2 * 24 * 3600.0
_OLD, _NEW, _LATER = "2026-01-15T10:00:00Z", "2026-01-16T10:00:00Z", "2026-01-17T10:00:00Z"


def _read_back(world: World, ref: str) -> dict[str, bytes]:
    reader = world.reader()
    view = reader.load(reader.resolve(ref))
    return {entry.path: b"".join(reader.chunks(view, entry)) for entry in view.manifest.entries}


def _refs(world: World, attempt: str) -> dict[Digest, Key]:
    key = refs_key(attempt)  # type: ignore[arg-type] # from a record
    return {digest: stored.key for digest, stored in Refs.decode(world.store.bodies[key], key).objects.items()}


def _sparse_world() -> tuple[World, str, Key]:
    """A run of which one file in ten is used by a newer run, and that is retired: its pack is mostly dead."""
    world = World()
    _, old = publish_packed(world, bodies("abcdefghij"), name="old", finished_at=_OLD)
    _, new = publish_packed(world, bodies("az"), name="new", finished_at=_NEW)
    (pack,) = set(_refs(world, old.attempt).values())
    retire(world, old.attempt)
    world.clock.advance(_TWO_DAYS_S)
    return world, new.ref, pack


def test_a_run_leaves_a_pack_that_is_mostly_dead_and_a_later_collection_takes_it() -> None:
    world, ref, pack = _sparse_world()
    before = world.reader().resolve(ref).attempt

    first = keep(world)

    assert [found.key for found in first.plan.packs] == [pack]
    assert [run.ref for run in first.plan.runs] == [ref]
    assert first.report.objects == 0, "the pack is needed for one member"
    (done,) = first.repacked.runs
    assert (done.ref, done.replaced, done.copied_objects, done.copied_bytes) == (ref, (before,), 1, 1000)
    assert pack in packs(world.store), "nothing goes before the grace time is over"
    assert pack not in _refs(world, done.attempt).values()
    assert _read_back(world, ref) == bodies("az")
    assert world.reader().resolve("train@latest").attempt == done.attempt
    assert [row.attempt for row in world.reader().rows("train")][-1] == done.attempt
    world.clock.advance(_TWO_DAYS_S)
    second = keep(world)
    assert second.report.objects == 1
    assert pack not in packs(world.store)
    assert not second.plan.runs
    assert _read_back(world, ref) == bodies("az")
    world.clock.advance(_TWO_DAYS_S)
    assert keep(world).report.objects == 0, "there is nothing left to do"


def test_what_lies_elsewhere_is_referenced_where_it_is() -> None:
    world, ref, pack = _sparse_world()
    before = _refs(world, world.reader().resolve(ref).attempt)
    (done,) = keep(world).repacked.runs
    after = _refs(world, done.attempt)
    assert {digest: key for digest, key in after.items() if before[digest] != pack} == {
        digest: key for digest, key in before.items() if key != pack
    }
    (moved,) = [key for digest, key in after.items() if before[digest] == pack]
    assert parse_object_key(moved).creator == done.attempt


def test_runs_that_share_members_use_one_new_pack() -> None:
    world = World()
    _, old = publish_packed(world, bodies("abcdefghij"), name="old", finished_at=_OLD)
    for number, more in enumerate("xyz"):
        publish_packed(world, bodies("abc" + more), name=f"new{number}", finished_at=_NEW)
    retire(world, old.attempt)
    world.clock.advance(_TWO_DAYS_S)

    done = keep(world).repacked.runs

    assert [run.copied_objects for run in done] == [3, 0, 0]
    used = {key for run in done for key in _refs(world, run.attempt).values()}
    assert len(used) == 4, "three packs of their own, and one for what they share"


def test_pointers_and_names_move_along() -> None:
    world = World()
    _, old = publish_packed(world, bodies("abcdefghij"), name="old", finished_at=_OLD)
    run, new = publish_packed(
        world, {**bodies("a"), "model.bin": b"m" * 50}, name="new", finished_at=_NEW, publish_names={"model.bin": "m"}
    )
    world.machine("m2").move(new.ref, "best")
    retire(world, old.attempt)
    world.clock.advance(_TWO_DAYS_S)

    (done,) = keep(world).repacked.runs

    assert sorted(done.pointers) == ["m", "train@best", "train@latest"]
    for ref in ("train@best", "train@latest", "m"):
        assert world.reader().resolve(ref).attempt == done.attempt
    assert world.store.bodies["latest/m"] == b"m" * 50
    assert run.envelope().run_id == done.ref.split("/")[1]


@pytest.mark.parametrize("names", ["abcde", "abcdefghij"])
def test_packs_of_which_half_or_more_is_alive_are_left_alone(names: str) -> None:
    world = World()
    _, old = publish_packed(world, bodies("abcdefghij"), name="old", finished_at=_OLD)
    publish_packed(world, bodies(names), name="new", finished_at=_NEW)
    retire(world, old.attempt)
    world.clock.advance(_TWO_DAYS_S)
    tenth = CollectionPolicy(max_delete_ratio=1, repack=RepackLimits(worth=0, below=0.5 if names != "abcde" else 0.4))
    assert keep(world, policy=tenth).plan.packs == ()


def test_packs_of_tiny_files_that_are_all_alive_are_left_alone() -> None:
    world = World()
    publish_packed(world, bodies("abcdefghij", size=3))
    world.clock.advance(_TWO_DAYS_S)
    assert keep(world).plan.packs == ()


def test_what_would_free_less_than_the_new_records_take_is_left_alone() -> None:
    world, _, _ = _sparse_world()
    assert keep(world, policy=CollectionPolicy(max_delete_ratio=1)).plan.packs == ()


def test_repacking_can_be_turned_off() -> None:
    world, _, _ = _sparse_world()
    off = CollectionPolicy(max_delete_ratio=1, repack=RepackLimits(worth=0, below=0))
    assert keep(world, policy=off).plan.packs == ()


def test_repacking_that_would_free_more_than_allowed_is_refused() -> None:
    world, _, _ = _sparse_world()
    done = keep(world, policy=CollectionPolicy(repack=EAGER))
    assert done.plan.packs
    assert "max_delete_ratio" in str(done.repacked.refused)
    assert not done.repacked.runs


def test_a_repacked_pack_does_not_count_as_lost_by_a_run() -> None:
    world, _, pack = _sparse_world()
    keep(world)
    world.clock.advance(_TWO_DAYS_S)
    report = keep(world, policy=CollectionPolicy(repack=EAGER)).report
    assert report.objects == 1, "refused, though the run lives in another pack"
    assert pack not in packs(world.store)


def test_a_young_pack_is_left_alone() -> None:
    world = World()
    _, old = publish_packed(world, bodies("abcdefghij"), name="old", finished_at=_OLD)
    publish_packed(world, bodies("az"), name="new", finished_at=_NEW)
    retire(world, old.attempt)
    assert keep(world).plan.packs == ()


def test_a_pinned_run_keeps_its_pack() -> None:
    world, ref, _ = _sparse_world()
    Pins(world.store, world.clock, world.machine("m2").entropy, "ann").pin("train", ref.split("/")[1], "mine")
    assert keep(world).plan.packs == (), "the pin keeps the old attempt, too: nothing would be freed"


def test_a_run_that_is_pinned_after_the_plan_is_left_alone() -> None:
    world, ref, _ = _sparse_world()
    _, plan = look(world)
    Pins(world.store, world.clock, world.machine("m2").entropy, "ann").pin("train", ref.split("/")[1], "mine")
    (left,) = repacker(world, world.store, "keeper").execute(plan).left
    assert left.ref == ref
    assert not left.failed


def _dies_before_its_row(call: Call, act: Callable[[], T]) -> T:
    if "/index/pending/" in call.key and call.writes:
        raise CrashError
    return act()


def test_a_run_whose_announcement_is_unfinished_is_left_alone() -> None:
    world = World()
    _, old = publish_packed(world, bodies("abcdefghij"), name="old", finished_at=_OLD)
    with pytest.raises(CrashError):
        publish_packed(
            world, bodies("az"), store=GatedStore(world.store, _dies_before_its_row), name="new", finished_at=_NEW
        )
    retire(world, old.attempt)
    world.clock.advance(_TWO_DAYS_S)
    assert keep(world).plan.packs == ()
    world.machine("m1").recover()
    assert len(keep(world).repacked.runs) == 1


def test_a_run_that_somebody_works_on_since_the_plan_is_left_alone() -> None:
    world, ref, _ = _sparse_world()
    _, plan = look(world)

    def dies_before_its_outcome(call: Call, act: Callable[[], T]) -> T:
        if call.key.endswith("/outcome.json") and call.writes:
            raise CrashError
        return act()

    with pytest.raises(CrashError):
        repacker(world, GatedStore(world.store, dies_before_its_outcome), "other").execute(plan)
    (left,) = repacker(world, world.store, "keeper").execute(plan).left
    assert (left.ref, left.failed) == (ref, False)
    assert "an intent stands" in left.why


def test_a_retired_run_that_only_a_pointer_keeps_is_left_alone() -> None:
    world, ref, _ = _sparse_world()
    retire(world, world.reader().resolve(ref).attempt)
    assert keep(world).plan.packs == ()
    world.clock.advance(_TWO_DAYS_S)
    assert keep(world).plan.packs == ()
    assert _read_back(world, "train@latest") == bodies("az")


def test_a_quarantined_pack_is_left_alone() -> None:
    world, ref, pack = _sparse_world()
    record = Quarantined(key=pack, ref=ref, path="a.txt", found_at=_NEW, by="ann", detail="damaged")
    world.store.create(quarantine_key(pack), record.encode())
    assert keep(world).plan.packs == ()


def test_a_damaged_member_is_never_copied_and_nothing_half_done_is_left() -> None:
    world, ref, pack = _sparse_world()
    before = world.reader().resolve(ref).attempt
    body = world.store.bodies[pack]
    world.store.damage(pack, body.replace(b"a" * 1000, b"A" * 1000))

    report = keep(world).repacked

    (left,) = report.left
    assert left.failed
    assert "sealrun verify" in left.why
    assert world.reader().resolve(ref).attempt == before
    assert not [key for key in world.store.bodies if key.endswith("/intent.json")]


def test_a_run_that_is_retired_meanwhile_stays_retired() -> None:
    world, ref, _ = _sparse_world()
    old = world.reader().resolve(ref)
    record = Retired(attempt=old.attempt, retired_at=_LATER, by="retention", why="too old")

    def retire_at_the_last_moment(call: Call, act: Callable[[], T]) -> T:
        if call.op == "create" and call.key.endswith("/outcome.json"):
            world.store.create(retired_key(old.attempt), record.encode())
        return act()

    _, plan = look(world)
    store = GatedStore(world.store, retire_at_the_last_moment)
    repacker(world, store, "keeper").execute(plan)
    assert find_standing(world.store, "train", ref.split("/")[1]) is None
    assert not [row for row in world.reader().runs() if row.run_id == ref.split("/")[1]]


def test_two_repackers_at_once_are_harmless() -> None:
    world, ref, _ = _sparse_world()
    _, plan = look(world)
    done: list[RepackReport] = []

    def again(call: Call, act: Callable[[], T]) -> T:
        if call.op == "create" and call.key.endswith("/outcome.json") and not done:
            done.append(repacker(world, world.store, "other").execute(plan))
        return act()

    repacker(world, GatedStore(world.store, again), "keeper").execute(plan)
    assert done
    assert _read_back(world, ref) == bodies("az")
    world.clock.advance(_TWO_DAYS_S)
    keep(world)
    world.clock.advance(_TWO_DAYS_S)
    keep(world)
    assert _read_back(world, ref) == bodies("az")


def test_a_collection_that_is_refused_repacks_nothing() -> None:
    world, _, _ = _sparse_world()
    published = publish_packed(world, bodies("klmnop"), name="gone", finished_at=_OLD)[1]
    retire(world, published.attempt)
    world.clock.advance(_TWO_DAYS_S)
    with pytest.raises(CollectionRefusedError):
        keep(world, policy=CollectionPolicy(repack=EAGER))


def test_one_round_takes_what_frees_most_and_leaves_the_rest_for_the_next() -> None:
    world = World()
    for number, names in enumerate(("abcdefghij", "klmnopqrstuvw")):
        _, old = publish_packed(world, bodies(names), name=f"old{number}", finished_at=_OLD)
        publish_packed(world, bodies(names[0] + names[0].upper()), name=f"new{number}", finished_at=_NEW)
        retire(world, old.attempt)
    world.clock.advance(_TWO_DAYS_S)
    narrow = CollectionPolicy(max_delete_ratio=1, repack=RepackLimits(worth=0, most_bytes=1))

    first = keep(world, policy=narrow)

    assert (len(first.plan.packs), first.plan.later) == (1, 1)
    assert first.plan.packs[0].size > 13_000
    assert keep(world, policy=narrow).plan.later == 0


def test_a_plan_reads_only_and_names_nothing_that_is_gone() -> None:
    world, _, _ = _sparse_world()
    found, _ = look(world)
    before = dict(world.store.bodies)
    plan = plan_repack(world.store, found.sparse)
    assert world.store.bodies == before
    assert plan.written == 1000 + 204
    assert plan.freed + plan.written == plan.packs[0].size


def test_a_pack_key_is_never_written_twice() -> None:
    world, _, _ = _sparse_world()
    (done,) = keep(world).repacked.runs
    own = [key for key in packs(world.store) if parse_object_key(key).creator == done.attempt]
    assert own == [pack_key(parse_object_key(own[0]).digest, done.attempt)]
