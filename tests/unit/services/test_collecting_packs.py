"""The collector and packs: an object like any other, on the strict model of a store."""

from __future__ import annotations

import pytest
from tests.builders.sparse import bodies, keep, packs, publish_packed
from tests.builders.worlds import World, published, retire
from tests.fakes.clock import FakeEntropy
from tests.fakes.gated import Call, GatedStore
from tests.faults.lives import CrashError
from tests.invariants import check_invariants

from sealrun.domain.address import OBJECTS, Key, is_pack, parse_object_key, quarantine_key
from sealrun.domain.errors import CollectionRefusedError, NotFoundError, UsageError
from sealrun.domain.records import sha256
from sealrun.domain.upkeep.keeping import Quarantined
from sealrun.services.collection.collecting import CollectionPlan, CollectionPolicy, CollectionReport, Collector
from sealrun.services.collection.explaining import explain
from sealrun.services.collection.foretelling import foretell

_TWO_DAYS_S = 2 * 24 * 3600.0
_ALL = CollectionPolicy(max_delete_ratio=1.0)
_OLD, _NEW = "2026-01-15T10:00:00Z", "2026-01-16T10:00:00Z"


def _collect(world: World, policy: CollectionPolicy = _ALL) -> tuple[CollectionPlan, CollectionReport]:
    collector = Collector(world.store, world.store, world.clock, FakeEntropy(7), "collector", policy)
    plan = collector.plan()
    return plan, collector.execute(plan)


def _gone_and_kept(world: World) -> tuple[str, str]:
    """A retired run, and a live one that shares no bytes with it; each in a pack."""
    _, gone = publish_packed(world, bodies("abc"), name="gone", finished_at=_OLD)
    _, kept = publish_packed(world, bodies("xyz"), name="kept", finished_at=_NEW)
    retire(world, gone.attempt)
    world.clock.advance(_TWO_DAYS_S)
    return gone.ref, kept.ref


def test_a_pack_that_no_live_run_uses_is_deleted_as_a_whole_and_others_are_kept() -> None:
    world = World()
    gone, kept = _gone_and_kept(world)
    sizes = {key: len(world.store.bodies[key]) for key in packs(world.store)}

    plan, report = _collect(world)

    (doomed,) = plan.doomed
    assert (plan.objects, plan.size) == (2, sum(sizes.values()))
    assert (doomed.size, doomed.used_by) == (sizes[doomed.key], gone)
    assert (report.objects, report.size) == (1, doomed.size)
    assert packs(world.store) == [key for key in sizes if key != doomed.key]
    check_invariants(world.store)
    assert world.reader().resolve(kept).run_id == kept.split("/")[1]


def test_one_live_member_keeps_a_whole_pack() -> None:
    world = World()
    _, old = publish_packed(world, bodies("abcdefghij"), name="old", finished_at=_OLD)
    publish_packed(world, bodies("a"), name="new", finished_at=_NEW)
    retire(world, old.attempt)
    world.clock.advance(_TWO_DAYS_S)
    assert _collect(world)[0].doomed.objects == 0


def test_objects_and_packs_are_collected_together_in_batches_of_both() -> None:
    world = World(links=False)
    gone = []
    for number in range(40):
        files = {"a": b"object %d" % number}
        publish = published if number % 2 else publish_packed
        gone.append(publish(world, files, name=f"gone{number}", finished_at=_OLD)[1])
    publish_packed(world, bodies("z"), name="kept", finished_at=_NEW)
    for one in gone:
        retire(world, one.attempt)
    world.clock.advance(_TWO_DAYS_S)

    plan, report = _collect(world, CollectionPolicy(max_delete_ratio=1.0, batch=30))

    keys = [found.key for found in plan.doomed]
    assert keys == sorted(keys)
    assert [is_pack(key) for key in keys] == [False] * 20 + [True] * 20
    assert (report.objects, report.batches, dict(report.failures)) == (40, 2, {})
    assert len(packs(world.store)) == 1
    assert not list(world.store.list(OBJECTS))


def test_packs_that_are_still_there_after_their_deletion_are_reported() -> None:
    world = World(links=False)
    for number in range(30):
        _, gone = publish_packed(world, {"a": b"pack %d" % number}, name=f"gone{number}", finished_at=_OLD)
        retire(world, gone.attempt)
    publish_packed(world, bodies("z"), name="kept", finished_at=_NEW)
    world.clock.advance(_TWO_DAYS_S)

    class Forgetful:
        def delete(self, keys: list[Key]) -> dict[Key, str]:
            return {} if any(is_pack(key) for key in keys) else dict(world.store.delete(keys))

        def unfinished(self) -> list[None]:
            return []

    collector = Collector(world.store, Forgetful(), world.clock, FakeEntropy(7), "collector", _ALL)  # type: ignore[arg-type] # enough of one
    report = collector.execute(collector.plan())
    assert len(report.failures) == 30
    assert all("still there" in why for why in report.failures.values())


def test_the_pack_of_an_attempt_that_died_goes_once_it_is_void() -> None:
    world = World()
    publish_packed(world, bodies("z"), name="kept", finished_at=_NEW)

    def dies_before_refs(call: Call, act):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - a gate
        if call.key.endswith("/refs.json") and call.writes:
            raise CrashError
        return act()

    with pytest.raises(CrashError):
        publish_packed(world, bodies("abc"), name="wreck", store=GatedStore(world.store, dies_before_refs))
    assert len(packs(world.store)) == 2
    world.clock.advance(_TWO_DAYS_S)
    assert _collect(world)[0].doomed.objects == 0, "an attempt without an outcome may go on"
    world.machine("m2").recover()
    world.clock.advance(_TWO_DAYS_S)
    assert _collect(world)[1].objects == 1
    check_invariants(world.store)


def test_a_quarantined_pack_that_a_run_needs_is_kept() -> None:
    world = World()
    _, kept = _gone_and_kept(world)
    for pack in packs(world.store):
        record = Quarantined(key=pack, ref=kept, path="x.txt", found_at=_NEW, by="ann", detail="damaged")
        world.store.create(quarantine_key(pack), record.encode())
    plan, _ = _collect(world)
    assert plan.doomed.objects == 1, "of the two, one is needed by nobody"
    assert len(packs(world.store)) == 1


def test_the_share_that_may_be_deleted_counts_a_pack_as_one_object() -> None:
    world = World()
    _gone_and_kept(world)
    with pytest.raises(CollectionRefusedError, match=r"1 of 2 objects \(50%\)"):
        _collect(world, CollectionPolicy())


def test_a_dry_run_names_the_files_of_a_pack() -> None:
    world = World()
    gone, _ = _gone_and_kept(world)
    plan = Collector(world.store, world.store, world.clock, FakeEntropy(7), "collector", _ALL).plan(write=False)
    (run,) = foretell(world.store, plan)
    assert (run.ref, run.objects) == (gone, 1)
    assert run.files[0].paths == ("a.txt", "b.txt", "c.txt")


def test_explaining_a_pack_says_who_uses_how_much_of_it_and_who_deleted_it() -> None:
    world = World()
    gone, kept = _gone_and_kept(world)
    by_creator = {parse_object_key(key).creator: key for key in packs(world.store)}
    of_kept = by_creator[world.reader().resolve(kept).attempt]
    (of_gone,) = set(by_creator.values()) - {of_kept}

    (said,) = explain(world.store, of_kept)
    assert (said.state, said.reasons[0].split(" (")[0]) == ("kept", f"run {kept} uses 3 of its files")
    assert explain(world.store, parse_object_key(of_kept).digest) == (said,)
    assert explain(world.store, of_gone)[0].state == "collectable"
    _collect(world)
    (said,) = explain(world.store, of_gone)
    assert said.state == "deleted"
    assert gone in said.reasons[0]


def test_explaining_a_digest_says_in_which_pack_it_lies_and_which_run_used_it_last() -> None:
    world = World()
    _, old = publish_packed(world, bodies("abcdefghij"), name="old", finished_at=_OLD)
    _, new = publish_packed(world, bodies("a"), name="new", finished_at=_NEW)
    (pack,) = packs(world.store)
    retire(world, old.attempt)

    (live,) = explain(world.store, sha256(b"a" * 1000))
    (dead,) = explain(world.store, f"sha256:{sha256(b'b' * 1000)}")

    assert (live.key, live.state, live.member) == (pack, "kept", sha256(b"a" * 1000))
    assert any(f"run {new.ref} uses it" in why for why in live.reasons)
    assert (dead.key, dead.state) == (pack, "kept")
    assert dead.reasons[0] == f"nothing needs {dead.member}"
    assert f"run {old.ref} used it until retention retired it" in dead.reasons[1]
    assert any(f"run {new.ref} uses 1 of its files" in why for why in dead.reasons)


def test_what_was_never_there_cannot_be_explained() -> None:
    world = World()
    publish_packed(world, bodies("a"))
    with pytest.raises(NotFoundError, match="no pack that holds it"):
        explain(world.store, sha256(b"never"))
    with pytest.raises(UsageError, match="not the key of an object or a pack"):
        explain(world.store, "store/packs/sha256/nonsense")


def test_keeping_twice_finds_nothing_more() -> None:
    world = World()
    _gone_and_kept(world)
    assert keep(world).report.objects == 1
    assert keep(world).report.objects == 0
