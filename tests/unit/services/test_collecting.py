"""The collector, on the strict model of a store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from tests.builders.worlds import World, published, retire
from tests.fakes.clock import FakeEntropy
from tests.fakes.store import ModelStore
from tests.faults.scenarios import kill_before, planned
from tests.invariants import check_invariants

from sealrun.domain.address import (
    AttemptId,
    Digest,
    Key,
    attempt_id,
    condemned_key,
    object_key,
    outcome_key,
    quarantine_key,
    refs_key,
)
from sealrun.domain.errors import CollectionRefusedError, UnsupportedFormatError, UsageError
from sealrun.domain.grouping import in_groups
from sealrun.domain.records import sha256
from sealrun.domain.upkeep.collection import Condemned, Verdict
from sealrun.domain.upkeep.keeping import Quarantined
from sealrun.services.collection.collecting import CollectionPlan, CollectionPolicy, CollectionReport, Collector
from sealrun.services.collection.explaining import explain
from sealrun.services.collection.marking import Marker
from sealrun.services.collection.marks import Marks
from sealrun.services.index.indexing import Index
from sealrun.services.storage.attempts import ReadRules, SomeAttempts, read_some
from sealrun.services.storage.listed import ListedAttempt, ReadAttempt, by_attempt
from sealrun.services.threads.spreading import spread_in_order

_DAY_S = 24 * 3600.0
_ALL = CollectionPolicy(max_delete_ratio=1.0)


def _collector(world: World, policy: CollectionPolicy = _ALL, name: str = "collector") -> Collector:
    return Collector(world.store, world.store, world.clock, FakeEntropy(sum(name.encode())), name, policy)


def _collect(world: World, policy: CollectionPolicy = _ALL) -> tuple[CollectionPlan, CollectionReport]:
    collector = _collector(world, policy)
    plan = collector.plan()
    return plan, collector.execute(plan)


def _objects(store: ModelStore) -> set[str]:
    return {key for key in store.bodies if key.startswith("store/objects/")}


def _bodies(store: ModelStore) -> set[bytes]:
    return {store.bodies[key] for key in _objects(store)}


def _two_runs(world: World) -> tuple[str, str]:
    """An old run and a newer one that share the bytes of a file; the newer one is ``latest``."""
    _, old = published(world, {"a": b"shared", "b": b"old"}, name="old", finished_at="2026-01-15T10:00:00Z")
    _, new = published(world, {"a": b"shared", "c": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
    return old.attempt, new.attempt


def test_what_only_a_retired_run_used_is_deleted_and_what_others_use_is_kept() -> None:
    world = World()
    old, _ = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)

    plan, report = _collect(world)

    assert (plan.objects, plan.doomed.objects) == (3, 1)
    assert [share.ref for share in plan.shares] == [next(iter(plan.doomed)).used_by]
    assert report.objects == 1
    assert not report.failures
    assert _bodies(world.store) == {b"shared", b"new"}
    check_invariants(world.store)


def test_nothing_is_deleted_before_the_grace_time_of_the_retirement_is_over() -> None:
    world = World()
    old, _ = _two_runs(world)
    world.clock.advance(30 * _DAY_S)
    retire(world, old)
    world.clock.advance(0.5 * _DAY_S)

    plan, _ = _collect(world)

    assert plan.doomed.objects == 0, "a deduplicated old object was taken because its time is old"
    assert _bodies(world.store) == {b"shared", b"old", b"new"}


def test_a_plan_writes_nothing_and_deletes_nothing() -> None:
    world = World()
    old, _ = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    before = dict(world.store.bodies)

    plan = _collector(world).plan(write=False)

    assert plan.doomed.objects == 1
    assert world.store.bodies == before
    with pytest.raises(UsageError, match="cannot be executed"):
        _collector(world).execute(plan)
    assert world.store.bodies == before


def test_a_collection_that_would_delete_more_than_allowed_is_refused_before_anything_is_condemned() -> None:
    world = World()
    old, _ = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    before = dict(world.store.bodies)

    with pytest.raises(
        CollectionRefusedError, match=r"1 of 3 objects \(33%\), more than max_delete_ratio allows \(20%\)"
    ):
        _collect(world, CollectionPolicy())

    assert world.store.bodies == before


def test_the_log_says_which_run_used_a_deleted_object_last_and_who_deleted_it() -> None:
    world = World()
    old, _ = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    plan = _collector(world).plan()
    doomed = next(iter(plan.doomed))

    _collect(world)

    (log,) = [key for key in world.store.bodies if key.endswith("/deleted.jsonl")]
    line = json.loads(world.store.bodies[log])
    assert line["key"] == doomed.key
    assert line["size"] == len(b"old")
    assert "-old-" in line["used_by"]
    (said,) = explain(world.store, doomed.key)
    assert said.state == "deleted"
    assert "deleted by collector" in said.reasons[0]
    assert line["used_by"] in said.reasons[0]
    assert not any(key.startswith("gc/condemned/") for key in world.store.bodies)


def test_a_pointer_keeps_the_bytes_of_a_retired_run() -> None:
    world = World()
    _, new = _two_runs(world)
    retire(world, new)
    world.clock.advance(2 * _DAY_S)

    plan, _ = _collect(world)

    assert plan.doomed.objects == 0
    key = next(Key(key) for key in _objects(world.store) if world.store.bodies[key] == b"new")
    (said,) = explain(world.store, key)
    assert said.state == "kept"
    assert "pointer train@latest" in said.reasons[0]


def test_an_intent_pins_its_digests_until_it_is_void() -> None:
    world = World()
    old, _ = _two_runs(world)
    again = planned({"b": b"old", "z": b"zzz"}, name="again")
    world.machine("m9").begin_attempt(again.run, again.sources)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)

    assert _collect(world)[0].doomed.objects == 0
    world.machine("m2").recover()
    world.clock.advance(2 * _DAY_S)
    assert _collect(world)[1].objects == 1


def test_orphans_of_a_void_attempt_go_after_the_grace_time() -> None:
    world = World()
    _two_runs(world)
    wreck = planned({"a": b"wrecked"}, name="wreck")
    kill_before(world, "m7", wreck, lambda call: call.op == "create" and "/runs/" in call.key)
    world.clock.advance(2 * _DAY_S)
    assert _collect(world)[0].doomed.objects == 0, "an undecided attempt's object was taken"
    world.machine("m2").recover()
    world.clock.advance(0.5 * _DAY_S)
    assert _collect(world)[0].doomed.objects == 0, "an attempt that was voided just now"
    world.clock.advance(1 * _DAY_S)
    plan, report = _collect(world)
    assert report.objects == 1
    assert plan.shares[0].ref is None
    assert b"wrecked" not in _bodies(world.store)


def test_a_failed_delete_leaves_the_batch_and_the_next_collection_finishes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    old, _ = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "delete", lambda keys: dict.fromkeys(keys, "access denied"))
        _, report = _collect(world)
    assert list(report.failures.values()) == ["access denied"]
    assert report.objects == 0
    assert any(key.startswith("gc/condemned/") for key in world.store.bodies)
    assert refs_key(old) in world.store.bodies  # type: ignore[arg-type] # an attempt id

    _, report = _collect(world)

    assert report.objects == 1
    assert not report.failures
    assert not any(key.startswith("gc/condemned/") for key in world.store.bodies)


def test_an_abandoned_batch_is_cancelled_and_its_late_owner_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    old, _ = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    sleeper = _collector(world, name="sleeper")
    plan = sleeper.plan()
    decide = sleeper._batches.decide

    def asleep(batch: str, body: Digest, spared: list[Key], *, cancel: bool) -> Verdict:
        world.clock.advance(2 * _DAY_S)
        other = _collector(world, name="other")
        assert [swept.gone for swept in other.finish_others(world.clock.now().timestamp())] == [0]
        return decide(batch, body, spared, cancel=cancel)

    monkeypatch.setattr(sleeper._batches, "decide", asleep)
    report = sleeper.execute(plan)

    assert report.objects == 0
    assert b"old" in _bodies(world.store), "a collector deleted after its batch was cancelled"


def test_a_young_batch_of_another_collector_is_left_alone_and_its_keys_are_not_condemned_twice() -> None:
    world = World()
    old, _ = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    plan = _collector(world).plan()
    record = Condemned(
        batch=attempt_id("20260119T000000Z", "0" * 16), by="x", condemned_at="now", objects=tuple(plan.doomed)
    )
    world.store.create(condemned_key(record.batch), record.encode())

    assert _collector(world).plan().doomed.objects == 0
    assert _collect(world)[1].objects == 0
    assert condemned_key(record.batch) in world.store.bodies


def test_a_listing_that_lacks_an_attempt_of_the_index_refuses_everything() -> None:
    world = World()
    old, _ = _two_runs(world)
    for key in [key for key in world.store.bodies if key.startswith(f"attempts/{old}/")]:
        world.store.damage(key, None)
    world.clock.advance(2 * _DAY_S)

    with pytest.raises(CollectionRefusedError, match=f"attempt {old} is in an index, but not in the listing"):
        _collector(world).plan()


def test_an_unreadable_outcome_refuses_everything() -> None:
    world = World()
    old, new = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    world.store.damage(outcome_key(new), b"{")  # type: ignore[arg-type] # an attempt id

    with pytest.raises(UnsupportedFormatError, match="not valid JSON"):
        _collector(world).plan()


@pytest.mark.parametrize("folded", [False, True])
def test_a_row_in_a_base_spares_reading_the_outcome_of_an_attempt_that_is_not_retired(
    *, folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    old, new = _two_runs(world)
    if folded:
        assert Index(world.store, world.clock, FakeEntropy(3), "train").compact() == 2
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    read, asked = world.store.read, list[str]()

    def counted(key: Key, offset: int = 0, length: int | None = None) -> bytes:
        asked.append(key)
        return read(key, offset, length)

    monkeypatch.setattr(world.store, "read", counted)
    plan = _collector(world).plan(write=False)

    assert [found.used_by for found in plan.doomed] == [share.ref for share in plan.shares]
    assert plan.doomed.objects == 1
    outcomes = [key for key in asked if key.endswith("/outcome.json")]
    assert sorted(outcomes) == sorted(outcome_key(AttemptId(one)) for one in ([old] if folded else [old, new]))
    assert len(asked) == len(set(asked)), "something was read twice"


def test_missing_refs_of_a_live_run_refuse_everything() -> None:
    world = World()
    old, new = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    world.store.damage(refs_key(new), None)  # type: ignore[arg-type] # an attempt id

    with pytest.raises(CollectionRefusedError, match="is missing"):
        _collector(world).plan()


def test_a_quarantined_object_of_a_live_run_is_never_taken() -> None:
    world = World()
    _two_runs(world)
    key = next(Key(key) for key in _objects(world.store) if world.store.bodies[key] == b"new")
    record = Quarantined(key=key, ref="train/new", path="c", found_at="now", by="verify", detail="other bytes")
    world.store.create(quarantine_key(key), record.encode())
    world.clock.advance(9 * _DAY_S)

    _collect(world)

    assert key in world.store.bodies


def test_links_and_refs_of_a_collected_run_are_tidied_and_its_records_stay() -> None:
    world = World(links=True)
    old, _ = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)

    _, report = _collect(world)

    left = [key for key in world.store.bodies if "-old-" in key]
    assert report.tidied.links == 2
    assert report.tidied.records == 1
    assert not [key for key in left if "/artifacts/" in key]
    assert any(key.endswith("/manifest.json") for key in left)
    assert refs_key(old) not in world.store.bodies  # type: ignore[arg-type] # an attempt id
    assert _collect(world)[1].objects == 0


def test_a_probe_left_by_a_crash_is_tidied() -> None:
    world = World()
    _two_runs(world)
    world.store.put(Key("probe/abc/time"), b"")
    world.clock.advance(2 * _DAY_S)

    assert _collect(world)[1].tidied.litter == 1
    assert "probe/abc/time" not in world.store.bodies


def test_explaining_a_kept_object_names_the_run_and_one_that_was_never_there_says_so() -> None:
    world = World()
    _two_runs(world)
    digest = sha256(b"new")

    (said,) = explain(world.store, digest)

    assert said.state == "kept"
    assert "-new-" in said.reasons[0]
    never = object_key(digest, attempt_id("20260117T000000Z", "f" * 16))
    assert [one.state for one in explain(world.store, never)] == ["unknown"]


def test_many_objects_are_collected_in_batches() -> None:
    world = World(links=False)
    files = {f"f{number}": str(number).encode() for number in range(10)}
    _, old = published(world, files, name="old", finished_at="2026-01-15T10:00:00Z")
    published(world, {"c": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
    retire(world, old.attempt)
    world.clock.advance(2 * _DAY_S)

    _, report = _collect(world, CollectionPolicy(max_delete_ratio=1.0, batch=3))

    assert (report.objects, report.batches) == (10, 4)
    assert _bodies(world.store) == {b"new"}


@pytest.mark.parametrize(("together", "second_marks"), [(1, 4), (3, 2), (4, 1), (9, 1)])
def test_batches_share_a_second_mark_and_each_has_a_verdict_about_its_own_keys(
    together: int, second_marks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(links=False)
    files = {f"f{number}": str(number).encode() for number in range(10)}
    _, old = published(world, files, name="old", finished_at="2026-01-15T10:00:00Z")
    published(world, {"c": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
    retire(world, old.attempt)
    world.clock.advance(2 * _DAY_S)
    collector = _collector(world, CollectionPolicy(max_delete_ratio=1.0, batch=3, together=together))
    plan = collector.plan()
    doomed = [found.key for found in plan.doomed]
    wanted = planned({"z": world.store.bodies[doomed[4]]}, name="wants")
    mark, marks = Marker.mark, list[int]()

    def counted(self: Marker, found: Marks) -> None:
        if not marks:
            world.machine("m9").begin_attempt(wanted.run, wanted.sources)
        marks.append(sum(key.startswith("gc/condemned/") for key in world.store.bodies))
        mark(self, found)

    monkeypatch.setattr(Marker, "mark", counted)
    report = collector.execute(plan)

    assert len(marks) == second_marks
    assert marks[0] == min(together, 4), "a batch was condemned after the mark that decides about it"
    assert (report.objects, report.batches) == (9, 4)
    verdicts = [Verdict.decode(body, key) for key, body in world.store.bodies.items() if key.endswith("verdict.json")]
    assert [verdict.spared for verdict in verdicts if verdict.spared] == [(doomed[4],)]
    assert {verdict.decision for verdict in verdicts} == {"sweep"}
    check_invariants(world.store)


def test_unreadable_refs_of_a_retired_run_stop_nobody_and_those_of_a_live_run_stop_everything() -> None:
    world = World()
    old, new = _two_runs(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    world.store.damage(refs_key(old), b"{")  # type: ignore[arg-type] # an attempt id

    assert _collect(world)[1].objects == 1

    assert _bodies(world.store) == {b"shared", b"new"}
    assert refs_key(old) not in world.store.bodies  # type: ignore[arg-type] # an attempt id
    world.store.damage(refs_key(new), b"{")  # type: ignore[arg-type] # an attempt id
    with pytest.raises(UnsupportedFormatError, match="not valid JSON"):
        _collector(world).plan()


def test_a_run_that_is_sealed_pointed_to_and_retired_during_the_second_mark_keeps_its_bytes() -> None:
    world = World()
    old, _ = _two_runs(world)
    retire(world, old)
    key = next(Key(key) for key in _objects(world.store) if world.store.bodies[key] == b"old")
    now = world.clock.now().timestamp()

    class _Slow(Marker):
        """Sleeps after it has looked where the pointers stand."""

        def _pointers(self, marks: Marks) -> None:
            super()._pointers(marks)
            if marks.begun:
                world.machine("m1").move(ref, "best")
                retire(world, attempt)

    marker = _Slow(world.store, grace_s=-1.0, now=now)
    marks = Marks()
    marker.mark(marks)
    assert not marks.needs(key, sha256(b"old"))
    _, late = published(world, {"z": b"old"}, name="late", finished_at="2026-01-14T10:00:00Z")
    ref, attempt = late.ref, late.attempt
    assert late.uploaded_objects == 0, "the run was not sealed by reference"

    marker.mark(marks)

    assert marks.needs(key, sha256(b"old")), "the pointer train@best leads to bytes that would be deleted"


def test_a_plan_is_the_same_where_attempts_are_read_by_workers() -> None:
    world = World()
    attempts = [published(world, {"a": b"%d" % n, "b": b"shared %d" % (n % 5)}, name=f"r{n:03}")[1] for n in range(300)]
    for done in attempts[::3]:
        retire(world, done.attempt)
    world.clock.advance(2 * _DAY_S)
    expected = _collector(world).plan(write=False)

    with ThreadPoolExecutor(3) as pool:

        def read(rules: ReadRules, listed: Iterable[ListedAttempt]) -> Iterator[ReadAttempt | None]:
            some = (SomeAttempts(rules, tuple(group)) for group in in_groups(listed, 7))
            for answers in spread_in_order(pool, partial(read_some, world.store), some, 4):
                yield from answers

        found = Collector(world.store, world.store, world.clock, FakeEntropy(1), "c", _ALL, read).plan(write=False)

    assert list(found.doomed) == list(expected.doomed)
    assert len(list(expected.doomed)) == 100
    assert (found.objects, found.size, found.young, found.shares) == (
        expected.objects,
        expected.size,
        expected.young,
        expected.shares,
    )
    assert [dead.attempt for dead in found.marks.dead] == [dead.attempt for dead in expected.marks.dead]


def test_a_worker_that_misses_refs_has_the_collection_refused() -> None:
    world = World()
    _, new = _two_runs(world)
    del world.store.bodies[refs_key(AttemptId(new))]
    some = SomeAttempts(
        ReadRules(before=0.0, first=True, packs=False, pinned=frozenset()),
        tuple(files for files in by_attempt(world.store.list("attempts/")) if files.attempt == new),
    )
    with pytest.raises(CollectionRefusedError, match=r"refs\.json is missing"):
        read_some(world.store, some)
