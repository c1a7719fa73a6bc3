"""What other collectors lost data by, each as a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import pytest
from tests.builders.worlds import REGISTRY_ID, World, published, retire
from tests.fakes.clock import FakeEntropy
from tests.fakes.gated import Call, GatedStore, T
from tests.fakes.store import ModelStore
from tests.faults.scenarios import Planned, planned
from tests.invariants import check_invariants
from tests.stateful.lives import Life, SkewedClock, View

from sealrun.domain.address import ATTEMPTS, AttemptId, Key, attempt_id, intent_key, refs_key, retired_key
from sealrun.domain.errors import AccessDeniedError, CollectionRefusedError
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Intent
from sealrun.domain.upkeep.retention import Policy
from sealrun.ports import Clock, ObjectStat, Remover, Store
from sealrun.services.access.reading import Reader
from sealrun.services.collection.collecting import CollectionPolicy, CollectionReport, Collector
from sealrun.services.keeping.pinning import Pins
from sealrun.services.keeping.retiring import Retirer

_DAY_S = 24 * 3600.0
_ALL = CollectionPolicy(max_delete_ratio=1.0)


def _collector(
    store: Store, clock: Clock, policy: CollectionPolicy = _ALL, name: str = "c1", remover: Remover | None = None
) -> Collector:
    return Collector(store, remover or cast("Remover", store), clock, FakeEntropy(sum(name.encode())), name, policy)


def _collect(world: World, policy: CollectionPolicy = _ALL) -> CollectionReport:
    collector = _collector(world.store, world.clock, policy)
    return collector.execute(collector.plan())


def _collecting(world: World, name: str, policy: CollectionPolicy = _ALL) -> Life:
    def work(store: Store) -> object:
        collector = _collector(store, world.clock, policy, name)
        return collector.execute(collector.plan())

    return Life(world.store, work)


def _bodies(store: ModelStore) -> set[bytes]:
    return {body for key, body in store.bodies.items() if key.startswith("store/objects/")}


def _old_and_new(world: World) -> tuple[AttemptId, AttemptId]:
    _, old = published(world, {"a": b"shared", "b": b"old"}, name="old", finished_at="2026-01-15T10:00:00Z")
    _, new = published(world, {"a": b"shared", "c": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
    return AttemptId(old.attempt), AttemptId(new.attempt)


def _reads_back(world: World, run: Planned) -> bool:
    reader = Reader(world.store, world.clock, FakeEntropy(5))
    view = reader.load(reader.resolve(f"train/{run.expected.run_id}"))
    return {e.path: b"".join(reader.chunks(view, e)) for e in view.manifest.entries} == run.expected.files


# ---------------------------------------------------------------- time


def test_a_years_old_object_that_a_run_of_today_deduplicated_against_is_kept() -> None:
    world = World()
    old, _ = _old_and_new(world)
    world.clock.advance(900 * _DAY_S)
    today = planned({"z": b"old"}, name="today", finished_at="2026-01-17T10:00:00Z")
    done = world.machine("m1").publish(today.run, today.sources)
    assert done.reused_objects == 1, "the old object was to be referenced"
    retire(world, old)
    world.clock.advance(2 * _DAY_S)

    assert _collect(world).objects == 0

    assert _reads_back(world, today)


def test_a_collector_suspended_anywhere_and_woken_hours_later_takes_nothing_that_was_needed_meanwhile() -> None:
    """At every call in turn: meanwhile the run it condemns is published again, by reference or by a new upload."""
    calls, suspended = 0, True
    while suspended:
        world = World()
        was = planned({"a": b"shared", "b": b"old"}, name="old", finished_at="2026-01-15T10:00:00Z")
        gone = world.machine("m1").publish(was.run, was.sources).attempt
        published(world, {"a": b"shared", "c": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
        retire(world, gone)
        world.clock.advance(2 * _DAY_S)
        sleeper = _collecting(world, "sleeper")
        suspended = not sleeper.go_on(calls)
        world.machine("m1").deliveries.clear()
        world.clock.advance(5 * 3600.0)
        world.machine("m1").publish(was.run, was.sources)
        world.clock.advance(5 * 3600.0)
        _collect(world)
        sleeper.go_on()
        assert sleeper.error is None, f"after {calls} calls"
        check_invariants(world.store)
        assert _reads_back(world, was), f"suspended after {calls} calls"
        calls += 1
    assert calls > 20


def test_a_publisher_suspended_anywhere_through_two_collections_loses_nothing() -> None:
    calls, suspended = 0, True
    while suspended:
        world = World()
        old, _ = _old_and_new(world)
        again = planned({"b": b"old", "z": b"zzz"}, name="again", finished_at="2026-01-16T12:00:00Z")
        machine = world.machine("m1")
        sleeper = Life(world.store, lambda store, w=machine, a=again: w.publish(a.run, a.sources, store))  # type: ignore[misc] # bound now
        suspended = not sleeper.go_on(calls)
        retire(world, old)
        for _ in range(2):
            world.clock.advance(2 * _DAY_S)
            world.machine("sweeper").recover()
            _collect(world)
        sleeper.go_on()
        assert sleeper.error is None, f"after {calls} calls"
        check_invariants(world.store)
        assert _reads_back(world, again), f"suspended after {calls} calls"
        calls += 1
    assert calls > 15


def test_a_collector_that_slept_while_another_swept_what_it_had_listed_goes_on() -> None:
    """It listed an attempt as live; by the time it reads the refs, they were swept and tidied away."""
    calls, suspended = 0, True
    while suspended:
        world = World()
        old, _ = _old_and_new(world)
        sleeper = _collecting(world, "sleeper")
        suspended = not sleeper.go_on(calls)
        retire(world, old)
        world.clock.advance(2 * _DAY_S)
        assert _collect(world).objects == 1
        sleeper.go_on()
        assert sleeper.error is None, f"after {calls} calls"
        calls += 1
    assert calls > 10


@pytest.mark.parametrize("skew_s", [-2 * _DAY_S, 2 * _DAY_S], ids=["behind", "ahead"])
def test_a_collector_whose_clock_is_two_days_wrong_still_grants_the_whole_grace_time(skew_s: float) -> None:
    world = World()
    old, _ = _old_and_new(world)
    world.clock.advance(9 * _DAY_S)
    retire(world, old)
    world.clock.advance(0.9 * _DAY_S)
    clock = SkewedClock(world.clock, skew_s)

    early = _collector(world.store, clock)
    assert early.execute(early.plan()).objects == 0
    world.clock.advance(0.2 * _DAY_S)
    late = _collector(world.store, clock, name="c2")
    assert late.execute(late.plan()).objects == 1


@pytest.mark.parametrize("skew_s", [-2 * _DAY_S, 2 * _DAY_S], ids=["behind", "ahead"])
def test_what_a_machine_with_a_wrong_clock_published_is_neither_taken_early_nor_kept_for_ever(skew_s: float) -> None:
    world = World()
    _, last = published(world, {"c": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
    wrong = View(world, skew_s)
    run, done = published(wrong, {"d": b"wrong"}, name="wrong", finished_at="2026-01-14T10:00:00Z")
    assert run.envelope().name == "wrong"
    assert _collect(world).objects == 0
    retire(world, done.attempt)
    assert _collect(world).objects == 0
    world.clock.advance(1.1 * _DAY_S)
    assert _collect(world).objects == 1
    assert retired_key(AttemptId(last.attempt)) not in world.store.bodies


# ---------------------------------------------------------------- listings that lie


class _Truncating(GatedStore):
    """Every listing below one prefix silently ends after so many keys, as when nobody asks for the next page."""

    def __init__(self, inner: ModelStore, prefix: str, most: int) -> None:
        super().__init__(inner, _as_is)
        self._prefix = prefix
        self._most = most

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        found = list(super().list(prefix, limit=limit))
        return iter(found[: self._most] if prefix.startswith(self._prefix) else found)

    def list_folders(self, prefix: str) -> Iterator[str]:
        found = list(super().list_folders(prefix))
        return iter(found[: self._most] if prefix.startswith(self._prefix) else found)


def _as_is(call: Call, act: Callable[[], T]) -> T:  # noqa: ARG001 - the gate's
    return act()


def _busy_world() -> World:
    """Several experiments with several runs; some objects of each are garbage."""
    world = World()
    for experiment in ("backfill", "train"):
        for number in range(3):
            _, done = published(
                world,
                {"a": f"{experiment} {number}".encode()},
                experiment=experiment,
                name=f"r{number}",
                finished_at=f"2026-01-1{number}T10:00:00Z",
            )
            if number == 0:
                retire(world, done.attempt)
    world.clock.advance(2 * _DAY_S)
    return world


@pytest.mark.parametrize(
    ("prefix", "most"),
    [(ATTEMPTS, 1), (ATTEMPTS, 4), (ATTEMPTS, 10), ("experiments/", 1)],
)
def test_a_listing_that_answers_only_its_first_page_is_noticed_and_nothing_is_deleted(prefix: str, most: int) -> None:
    world = _busy_world()
    before = dict(world.store.bodies)
    collector = _collector(_Truncating(world.store, prefix, most), world.clock)

    with pytest.raises(CollectionRefusedError, match="not in the listing"):
        collector.execute(collector.plan())

    left = {key: body for key, body in world.store.bodies.items() if not key.startswith("probe/")}
    assert left == before


def test_wherever_a_listing_of_attempts_ends_too_early_it_is_noticed_or_costs_nothing() -> None:
    whole = sum(key.startswith(ATTEMPTS) for key in _busy_world().store.bodies)
    for most in range(1, whole):
        world = _busy_world()
        collector = _collector(_Truncating(world.store, ATTEMPTS, most), world.clock)
        outcomes = [key for key in sorted(world.store.bodies) if key.startswith(ATTEMPTS)][most:]
        try:
            collector.execute(collector.plan())
        except CollectionRefusedError:
            continue
        assert not [key for key in outcomes if key.endswith("outcome.json")], "an attempt was overlooked"
        check_invariants(world.store)


@pytest.mark.parametrize("prefix", ["gc/", "store/objects/", "experiments/train/pointers/latest/"])
def test_a_truncated_listing_of_batches_objects_or_generations_costs_nothing_live(prefix: str) -> None:
    """These cannot be noticed, and need not be: what is not listed is not deleted, and the newest sorts first."""
    world = _busy_world()
    store = _Truncating(world.store, prefix, 1)
    collector = _collector(store, world.clock)

    collector.execute(collector.plan())

    check_invariants(world.store)


# ---------------------------------------------------------------- deletes that are refused


class _Forbidding:
    """A remover that may not delete some keys; with `all_of_them`, it raises instead of reporting."""

    def __init__(self, inner: ModelStore, body: bytes, *, raises: bool = False) -> None:
        self._inner = inner
        self._body = body
        self._raises = raises

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        denied = {key for key in keys if self._inner.bodies.get(key) == self._body}
        if denied and self._raises:
            raise AccessDeniedError(f"{min(denied)}: access denied")
        self._inner.delete([key for key in keys if key not in denied])
        return {key: f"{key}: access denied" for key in denied}

    unfinished = ModelStore.unfinished
    abort = ModelStore.abort


def test_access_denied_on_one_delete_is_reported_the_rest_goes_on_and_the_next_collection_finishes() -> None:
    world = World()
    _, old = published(world, {"a": b"1", "b": b"2", "c": b"3"}, name="old", finished_at="2026-01-15T10:00:00Z")
    published(world, {"z": b"new"}, name="new", finished_at="2026-01-16T10:00:00Z")
    retire(world, old.attempt)
    world.clock.advance(2 * _DAY_S)
    remover = cast("Remover", _Forbidding(world.store, b"2"))
    collector = _collector(world.store, world.clock, remover=remover)

    report = collector.execute(collector.plan())

    assert report.objects == 2
    assert [why.rpartition(": ")[2] for why in report.failures.values()] == ["access denied"]
    assert _bodies(world.store) == {b"2", b"new"}
    assert refs_key(AttemptId(old.attempt)) in world.store.bodies, "they say which run used the object that is left"
    check_invariants(world.store)
    assert _collect(world).objects >= 1
    assert _bodies(world.store) == {b"new"}


def test_access_denied_on_the_whole_request_leaves_a_batch_that_somebody_with_the_right_finishes() -> None:
    world = World()
    old, _ = _old_and_new(world)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    collector = _collector(
        world.store, world.clock, remover=cast("Remover", _Forbidding(world.store, b"old", raises=True))
    )
    with pytest.raises(AccessDeniedError):
        collector.execute(collector.plan())
    check_invariants(world.store)

    assert _collect(world).objects == 1

    assert not [key for key in world.store.bodies if key.startswith("gc/condemned/")]


# ---------------------------------------------------------------- roots


def _live(_world: World, _attempt: AttemptId, _ref: str) -> None:
    """It is sealed, and that is all."""


def _pointer(world: World, attempt: AttemptId, ref: str) -> None:
    world.machine("m1").move(ref, "best")
    retire(world, attempt)


def _name(world: World, attempt: AttemptId, _ref: str) -> None:
    assert any(key.startswith("names/only/") for key in world.store.bodies)
    retire(world, attempt)


def _pin(world: World, attempt: AttemptId, ref: str, *, hold: bool = False) -> None:
    Pins(world.store, world.clock, FakeEntropy(8), "me").pin("train", ref.partition("/")[2], "mine", hold=hold)
    retire(world, attempt)


def _hold(world: World, attempt: AttemptId, ref: str) -> None:
    _pin(world, attempt, ref, hold=True)


def _intent(world: World, attempt: AttemptId, ref: str) -> None:
    retire(world, attempt)
    other = attempt_id("20260117T160000Z", "e" * 16)
    intent = Intent(
        attempt=other,
        nonce="e" * 32,
        owner="m7",
        purpose="publish",
        experiment="train",
        run_id=ref.partition("/")[2],
        created_at="2026-01-17T16:00:00Z",
        heartbeat_at="2026-01-17T16:00:00Z",
        digests=(sha256(b"only"),),
    )
    world.store.create(intent_key(other), intent.encode())


def _nothing(world: World, attempt: AttemptId, _ref: str) -> None:
    retire(world, attempt)


@pytest.mark.parametrize(
    ("root", "kept"),
    [(_live, True), (_pointer, True), (_name, True), (_pin, True), (_hold, True), (_intent, True), (_nothing, False)],
)
def test_each_kind_of_root_keeps_the_bytes_all_by_itself(
    root: Callable[[World, AttemptId, str], None],
    kept: bool,  # noqa: FBT001 - of the table
) -> None:
    world = World()
    names = {"a": "only"} if root is _name else None
    _, done = published(world, {"a": b"only"}, name="it", finished_at="2026-01-15T10:00:00Z", publish_names=names)
    published(world, {"z": b"latest"}, name="new", finished_at="2026-01-16T10:00:00Z")
    root(world, AttemptId(done.attempt), done.ref)
    for _ in range(2):
        world.clock.advance(2 * _DAY_S)
        _collect(world)

    assert (b"only" in _bodies(world.store)) is kept


# ---------------------------------------------------------------- people


def test_a_retention_typo_that_retires_nine_runs_of_ten_costs_no_byte_without_a_second_yes() -> None:
    world = World()
    for number in range(10):
        published(world, {"a": b"%d" % number}, name=f"r{number}", finished_at=f"2026-01-1{number}T10:00:00Z")
    world.clock.advance(3 * _DAY_S)
    retirer = Retirer(world.store, world.clock, FakeEntropy(4), "m1", by="retention")
    retirer.execute(retirer.plan_policy("train", Policy(keep_last=1)))
    world.clock.advance(2 * _DAY_S)

    with pytest.raises(CollectionRefusedError, match=r"9 of 10 objects \(90%\)"):
        _collect(world, CollectionPolicy())

    assert len(_bodies(world.store)) == 10


def test_daemons_of_different_state_collect_one_bucket_and_each_others_unfinished_work_is_safe() -> None:
    world = World()
    old, _ = _old_and_new(world)
    other = world.machine("other")
    begun = planned({"b": b"old", "q": b"theirs"}, name="theirs", finished_at="2026-01-16T11:00:00Z")
    other.begin_attempt(begun.run, begun.sources)
    retire(world, old)
    world.clock.advance(2 * _DAY_S)
    first, second = _collecting(world, "c1"), _collecting(world, "c2")
    while not (first.ended and second.ended):
        first.go_on(3)
        second.go_on(2)
        check_invariants(world.store)
    assert (first.error, second.error) == (None, None)

    other.publish(begun.run, begun.sources)

    assert _reads_back(world, begun)
    assert REGISTRY_ID in other.hints.known


def test_the_machines_clock_is_not_asked_what_is_too_young() -> None:
    """The clock of the collector's machine stands years ahead; the store's says that everything is of today."""
    world = World()
    old, _ = _old_and_new(world)
    retire(world, old)
    ahead = SkewedClock(world.clock, 3650 * _DAY_S)
    collector = _collector(world.store, ahead)

    assert collector.plan().doomed.objects == 0
