"""Who works while objects are collected.

Time must never hide a race: see `tests.interleavings.collectors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec
from tests.builders.runs import BytesSource
from tests.builders.worlds import REGISTRY_ID
from tests.fakes.clock import FakeEntropy
from tests.fakes.record_cache import LyingCache
from tests.fakes.store import Kind, kind_of
from tests.faults.scenarios import kill_before, planned
from tests.interleavings.baton import Task
from tests.interleavings.collectors import AT_ONCE, IN_PEACE, collects, planned_by, retires
from tests.interleavings.plays import LAST, OLD, PlayBase
from tests.invariants import Expected, check_bytes, check_settled, unused_objects

from sealrun.domain.address import AttemptId, Key, RunId, is_pack, object_key, outcome_key
from sealrun.domain.errors import NotFoundError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import LOCAL_SIZE
from sealrun.domain.registry.pointing import Generation
from sealrun.domain.registry.publication import Outcome, Stored
from sealrun.domain.runs.sealed import Published
from sealrun.domain.upkeep.keeping import Pin
from sealrun.ports import Remover, Store
from sealrun.services.collection.collecting import CollectionPolicy, CollectionReport, Collector
from sealrun.services.keeping.pinning import Pins
from sealrun.services.keeping.undoing import Undoer

_TWO_DAYS_S = 2 * 24 * 3600.0
GONE = planned({"a": b"1"}, name="gone", finished_at="2026-01-15T10:00:00Z")
TWINS = planned({"a": b"1", "b": b"2"}, name="gone", finished_at="2026-01-15T10:00:00Z")


class CollectedBase(PlayBase):
    """A run was there, and something else moved ``latest`` on, or it would be kept as its target."""

    WAS = GONE

    def __init__(self) -> None:
        super().__init__()
        was = self.world.machine("m1").publish(self.WAS.run, self.WAS.sources)
        self.has(LAST)
        self.was, self.run_id = AttemptId(was.attempt), RunId(was.run_id)
        self.ref = f"train/{was.run_id}"

    def is_retired(self) -> None:
        """It was retired before."""
        retires(self.world, self.was, self.run_id)(self.world.store)

    def conclude(self, _results: Mapping[str, object], /) -> None:
        """Clear away every wreck and collect in peace: what is expected is there, and nothing else is."""
        store = self.world.store
        self.world.clock.advance(_TWO_DAYS_S)
        self.world.machine("sweeper").recover()
        self.world.clock.advance(_TWO_DAYS_S)
        report = collects(self.world, "janitor", IN_PEACE)(store)
        assert isinstance(report, CollectionReport)
        assert not report.failures, f"not deleted: {report.failures}"
        check_settled(store, self.expected, pointers=self.pointers)
        left = [key for key in store.bodies if key.startswith("gc/condemned/")]
        assert not left, f"left behind: {left}"
        garbage = list(unused_objects(store))
        assert not garbage, f"nobody needs {garbage}"


class Collected(CollectedBase):
    """A run is published by reference while the only other run with its bytes, retired, is collected."""

    def __init__(self) -> None:
        super().__init__()
        self.is_retired()

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", OLD), "collector": collects(self.world, "c1")}


class SentAhead(Collected):
    """A publisher sends its bytes ahead, and collectors take it for dead before anybody has heard of it, and after."""

    POLICY = msgspec.structs.replace(AT_ONCE, dead_after_s=-1)

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", OLD, ahead=True), "collector": self.twice}

    def twice(self, store: Store) -> object:
        """The first one declares void what the second one takes."""
        collects(self.world, "c1", self.POLICY)(store)
        return collects(self.world, "c2", self.POLICY)(store)


class OldPlan(Collected):
    """The same with a collector that was suspended after its plan, and goes on as if nothing had happened since."""

    def __init__(self) -> None:
        super().__init__()
        store = self.world.store
        self.plan = planned_by(Collector(store, store, self.world.clock, FakeEntropy(3), "c1", AT_ONCE))

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", OLD), "collector": self.go_on}

    def go_on(self, store: Store) -> object:
        """Execute the old plan."""
        collector = Collector(store, cast("Remover", store), self.world.clock, FakeEntropy(3), "c1", AT_ONCE)
        return collector.execute(self.plan)


class CollectedFromKept(Collected):
    """The same with collectors that keep records, and kept what everybody left before; some of it is damaged since.

    What they find instead of some refs are others, of a run without a single byte.
    """

    def __init__(self) -> None:
        super().__init__()
        store = self.world.store
        store.tells_md5 = True
        self.cache = LyingCache()
        planned_by(Collector(store, store, self.world.clock, FakeEntropy(3), "c0", AT_ONCE, cache=self.cache))
        assert self.cache.kept
        self.cache.damage()

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "c1": collects(self.world, "c1", echo=True, cache=self.cache),
            "c2": collects(self.world, "c2", cache=self.cache),
        }


class CollectedEcho(Collected):
    """The same with two objects in two batches, each of whose deletes arrive twice."""

    WAS = TWINS

    def tasks(self) -> Mapping[str, Task]:
        policy = CollectionPolicy(grace_s=-1, abandoned_s=-1, max_delete_ratio=1, batch=1)
        return {"m1": self.publishes("m1", OLD), "collector": collects(self.world, "c1", policy, echo=True)}


class SharedMark(Collected):
    """The same with two batches that share a second mark, and a publisher that wants what is in the second one."""

    WAS = TWINS
    TOGETHER = 2
    WHAT = planned({"a": b"2"}, name="new", finished_at="2026-01-16T10:00:00Z")

    def tasks(self) -> Mapping[str, Task]:
        policy = CollectionPolicy(grace_s=-1, abandoned_s=-1, max_delete_ratio=1, batch=1, together=self.TOGETHER)
        return {"m1": self.publishes("m1", self.WHAT), "collector": collects(self.world, "c1", policy, echo=True)}


class OneMarkEach(SharedMark):
    """The same with a second mark for each batch."""

    TOGETHER = 1


class TwoCollectors(Collected):
    """The same with two collectors, each of which takes the other for dead."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "c1": collects(self.world, "c1", echo=True),
            "c2": collects(self.world, "c2"),
        }


class TakenOver(Collected):
    """The same with somebody who only finishes what others left: a sleeping owner finds its batch decided."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "owner": collects(self.world, "c1", echo=True),
            "stranger": self.take_over,
        }

    def take_over(self, store: Store) -> object:
        """Finish and cancel, and collect nothing of one's own."""
        stranger = Collector(store, cast("Remover", store), self.world.clock, FakeEntropy(9), "c2", AT_ONCE)
        return list(stranger.finish_others(self.world.clock.now().timestamp()))


class WrongHints(Collected):
    """The publisher's hints are those of another registry: keys of other bytes, and keys that were never here."""

    def __init__(self) -> None:
        super().__init__()
        hints, one, never = self.world.machine("m1").hints, sha256(b"one"), sha256(b"x")
        self.what = planned({"a": b"1", "b": b"one", "c": b"x"}, name="new", finished_at="2026-01-16T10:00:00Z")
        there = hints.known[REGISTRY_ID][sha256(b"1")].stored
        outside = None if there.offset is None else there.offset + 1_000
        elsewhere = msgspec.structs.replace(there, size=3, offset=outside)
        wrong = {one: elsewhere, never: Stored(object_key(never, self.was), 1)}
        hints.learn(REGISTRY_ID, wrong, self.was)

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", self.what), "collector": collects(self.world, "c1")}


class CollectedVoid(CollectedBase):
    """The hinted key is that of a void attempt: it is collected, uploaded again by its late owner, deleted again."""

    WRECK = planned({"a": b"1"}, name="wreck", finished_at="2026-01-15T10:00:00Z")

    DIED_AT = "/runs/"

    def __init__(self) -> None:
        PlayBase.__init__(self)
        self.has(LAST)
        kill_before(self.world, "wreck", self.WRECK, lambda call: call.op == "create" and self.DIED_AT in call.key)
        self.world.machine("m2").recover(dead_after_s=-1)
        bodies = self.world.store.bodies
        outcomes = {key: Outcome.decode(body, key) for key, body in bodies.items() if key.endswith("/outcome.json")}
        (void,) = (outcome.attempt for outcome in outcomes.values() if outcome.decision == "void")
        (self.key,) = (Key(key) for key in bodies if kind_of(key) is Kind.OBJECT and void in key)
        place = Stored(self.key, 1, LOCAL_SIZE if is_pack(self.key) else None)
        self.world.machine("m1").hints.learn(REGISTRY_ID, {sha256(b"1"): place}, void)

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "collector": collects(self.world, "c1", echo=True),
            "zombie": self.arrives,
        }

    def arrives(self, store: Store) -> object:
        """The late owner's upload."""
        store.put_many([(self.key, BytesSource(self.world.store.history[self.key]))])
        return None


class CollectedVoidWithRefs(CollectedVoid):
    """The same with an attempt that came as far as its refs, and nothing that arrives late."""

    DIED_AT = "/outcome.json"

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", OLD), "collector": collects(self.world, "c1")}


class VoidedWhileCollected(CollectedBase):
    """A live publisher is taken for dead, and what it uploaded and references is collected."""

    def __init__(self) -> None:
        super().__init__()
        self.is_retired()

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes(
                "m1", planned({"a": b"1", "b": b"2"}, name="mine", finished_at="2026-01-16T10:00:00Z")
            ),
            "stranger": lambda store: self.world.machine("m2").recover(store, dead_after_s=-1),
            "collector": collects(self.world, "c1"),
        }


class RetiredMeanwhile(CollectedBase):
    """The run whose bytes are referenced is retired at some moment of the collection."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "retention": retires(self.world, self.was, self.run_id),
            "collector": collects(self.world, "c1"),
        }


class PublishedAgain(Collected):
    """The retired run itself is published again, by reference, while it is collected."""

    def __init__(self) -> None:
        super().__init__()
        self.world.machine("m3").hints.known = self.world.machine("m1").hints.known

    def tasks(self) -> Mapping[str, Task]:
        return {"m3": self.publishes("m3", GONE), "collector": collects(self.world, "c1")}


class SeenAgainWhileRetired(CollectedBase):
    """Another machine finds that the run is there already, at the moment in which it is retired and collected."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m3": lambda store: self.world.machine("m3").publish(GONE.run, GONE.sources, store),
            "retention": retires(self.world, self.was, self.run_id),
            "collector": collects(self.world, "c1"),
        }

    def conclude(self, results: Mapping[str, object], /) -> None:
        done = results["m3"]
        assert isinstance(done, Published)
        if done.new:
            self.expected.append(GONE.expected)
        super().conclude(results)


class UndoneWhileCollected(Collected):
    """The retirement is undone while the run is collected: it comes back whole, or whoever asked is told."""

    WAS = TWINS

    def tasks(self) -> Mapping[str, Task]:
        return {"undoer": self.undo, "collector": collects(self.world, "c1")}

    def undo(self, store: Store) -> object:
        """Undo, or be told that the bytes are gone."""
        undoer = Undoer(store, REGISTRY_ID, None, self.world.clock, FakeEntropy(7), "m2")
        try:
            return undoer.execute(undoer.plan("train", self.run_id))
        except NotFoundError as error:
            return error

    def conclude(self, results: Mapping[str, object], /) -> None:
        if isinstance(results["undoer"], Published):
            self.expected.append(Expected("train", self.run_id, self.WAS.expected.files))
        super().conclude(results)


class MovedWhileRetired(CollectedBase):
    """A pointer is moved to a run that is retired and collected at that moment."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "mover": self.move,
            "retention": retires(self.world, self.was, self.run_id),
            "collector": collects(self.world, "c1"),
        }

    def move(self, store: Store) -> object:
        """Move, or be told that the run is gone."""
        try:
            return self.world.machine("m1").move(self.ref, "best", store)
        except NotFoundError as error:
            return error

    def conclude(self, results: Mapping[str, object], /) -> None:
        stands = self.world.reader().pointers("train")
        moved = isinstance(results["mover"], Generation)
        assert moved == any(found.pointer == "train@best" for found in stands), "the mover was told something else"
        super().conclude(results)


class PinnedWhileRetired(CollectedBase):
    """A run is pinned while it is retired and collected: whoever was told that it is pinned finds its bytes."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "pinner": self.pin,
            "retention": retires(self.world, self.was, self.run_id),
            "collector": collects(self.world, "c1"),
        }

    def pin(self, store: Store) -> object:
        """Pin, or be told that the run is gone."""
        try:
            return Pins(store, self.world.clock, FakeEntropy(8), "ann").pin("train", self.run_id, "paper")
        except NotFoundError as error:
            return error

    def conclude(self, results: Mapping[str, object], /) -> None:
        super().conclude(results)
        if isinstance(results["pinner"], Pin):
            key = outcome_key(self.was)
            check_bytes(self.world.store, Outcome.decode(self.world.store.bodies[key], key))


class _Twin(CollectedBase):
    """Another run holds the same bytes: nothing is deleted, and only what the retired run left is tidied away."""

    def __init__(self) -> None:
        super().__init__()
        self.has(OLD, "m1")


class MovedWhileTidied(_Twin, MovedWhileRetired):
    """A pointer is moved to a run that is retired and tidied away at that moment."""


class PinnedWhileTidied(_Twin, PinnedWhileRetired):
    """A run is pinned while it is retired and tidied away."""
