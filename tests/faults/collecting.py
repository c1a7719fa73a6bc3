"""The collector that is hurt. Every life is another collector: it finishes, or cancels, what the one before left."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar, cast

from tests.builders.worlds import EVERYTHING_PACKED, World, retire
from tests.fakes.gated import Call, GatedStore
from tests.faults.lives import CrashError
from tests.faults.scenarios import kill_before, planned
from tests.invariants import Expected, unused_objects

from sealrun.domain.address import AttemptId, RunId
from sealrun.domain.registry.indexing import Dropped
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Remover, Store
from sealrun.services.collection.collecting import CollectionPolicy, CollectionReport, Collector
from sealrun.services.index.indexing import Index

T = TypeVar("T")
_TWO_DAYS_S = 2 * 24 * 3600.0
_IN_PEACE = CollectionPolicy(max_delete_ratio=1)
GONE = planned({"a": b"1", "b": b"2"}, name="gone", finished_at="2026-01-16T10:00:00Z")
KEPT = planned({"a": b"1", "c": b"3"}, name="kept", finished_at="2026-01-17T10:00:00Z")
FIRST = planned({"x": b"5"}, name="first", finished_at="2026-01-14T10:00:00Z")
AGAIN = planned({"y": b"6"}, name="again", finished_at="2026-01-15T10:00:00Z")
WRECK = planned({"w": b"4"}, name="wreck", finished_at="2026-01-17T10:00:00Z")


class Collecting:
    """A retired run that shares bytes with a live one, a void attempt's orphan, links and refs: two batches of one key.

    The next life does not wait until a batch is old enough to be taken for abandoned.
    """

    POLICY: ClassVar = CollectionPolicy(max_delete_ratio=1, batch=1, abandoned_s=-1)

    def __init__(self) -> None:
        self._lives = 0

    def prepare(self, world: World) -> None:
        was = world.machine("m1").publish(GONE.run, GONE.sources)
        world.machine("m1").publish(KEPT.run, KEPT.sources)
        kill_before(world, "wreck", WRECK, lambda call: call.op == "create" and "/runs/" in call.key)
        world.clock.advance(_TWO_DAYS_S)
        world.machine("m2").recover()
        _retire(world, was)
        world.clock.advance(_TWO_DAYS_S)

    def act(self, world: World, store: Store) -> None:
        self._lives += 1
        collect(world, store, f"collector {self._lives}", self.POLICY)

    def finish(self, world: World) -> None:
        """Whatever was left: it is gone after one more collection, in peace."""
        world.clock.advance(_TWO_DAYS_S)
        report = collect(world, world.store, "janitor", _IN_PEACE)
        assert not report.failures, f"not deleted: {report.failures}"
        assert not report.tidied.failures, f"not tidied: {report.tidied.failures}"
        store = world.store
        assert not list(unused_objects(store)), f"nobody needs {list(unused_objects(store))}"
        left = [key for key in store.bodies if key.startswith(("gc/condemned/", "probe/"))]
        assert not left, f"left behind: {left}"
        links = [key for key in store.bodies if "/artifacts/" in key and GONE.expected.run_id in key]
        assert not links, f"links of a collected run: {links}"

    def expect(self, _world: World, /) -> tuple[list[Expected], dict[str, str]]:
        return [KEPT.expected], {"train@latest": f"train/{KEPT.expected.run_id}"}


class FinishingOthers(Collecting):
    """A collector died when its verdict was durable: another one finishes the batch."""

    MOMENT = "/verdict.json"

    def prepare(self, world: World) -> None:
        super().prepare(world)
        gate = _DiesAfter(lambda call: call.op == "create" and self.MOMENT in call.key)
        try:
            collect(world, GatedStore(world.store, gate), "dead", self.POLICY)
        except CrashError:
            return
        raise AssertionError("it did not die")


class CancellingOthers(FinishingOthers):
    """A collector died when a batch was condemned: another one cancels it, and condemns the same key itself."""

    MOMENT = "gc/condemned/"


class Clearing(Collecting):
    """The same beside what an earlier collection and two compactions left, which nobody can need any more."""

    POLICY: ClassVar = CollectionPolicy(max_delete_ratio=1, batch=1, abandoned_s=-1, history_s=0)

    def prepare(self, world: World) -> None:
        first = world.machine("m1").publish(FIRST.run, FIRST.sources)
        index = Index(world.store, world.clock, world.machine("m2").entropy, "train")
        index.compact()
        _retire(world, first)
        super().prepare(world)
        collect(world, world.store, "before", CollectionPolicy(max_delete_ratio=1))
        world.clock.advance(_TWO_DAYS_S)
        was = world.machine("m1").publish(AGAIN.run, AGAIN.sources)
        assert index.compact()
        _retire(world, was)
        world.clock.advance(_TWO_DAYS_S)
        assert {key.rsplit("/", 1)[-1] for key in self._left(world)} > {"verdict.json", "deleted.jsonl"}

    def finish(self, world: World) -> None:
        super().finish(world)
        world.clock.advance(_TWO_DAYS_S)
        collect(world, world.store, "janitor", self.POLICY)
        assert not self._left(world), f"left behind: {self._left(world)}"

    @staticmethod
    def _left(world: World) -> list[str]:
        bases = sorted(key for key in world.store.bodies if "/index/base/" in key)[1:]
        return [*bases, *(key for key in world.store.bodies if key.startswith("gc/"))]


class SendingAhead:
    """A run's bytes are sent ahead of everything else; of an attempt that dies then nobody knows but its objects."""

    def act(self, world: World, store: Store) -> None:
        world.machine("m1").publish(KEPT.run, KEPT.sources, store, ahead=True)

    def prepare(self, world: World) -> None:
        """Nothing happened before."""

    def finish(self, world: World) -> None:
        """What was sent in vain is gone after two more collections: one that declares attempts void, one that takes."""
        for name in ("janitor", "next janitor"):
            world.clock.advance(_TWO_DAYS_S)
            world.machine("sweeper").recover()
            report = collect(world, world.store, name, _IN_PEACE)
            assert not report.failures, f"not deleted: {report.failures}"
        garbage = list(unused_objects(world.store))
        assert not garbage, f"nobody needs {garbage}"

    def expect(self, _world: World, /) -> tuple[list[Expected], dict[str, str]]:
        return [KEPT.expected], {"train@latest": f"train/{KEPT.expected.run_id}"}


class SendingPacksAhead(SendingAhead):
    """The same with all files in a pack."""

    PACKS: ClassVar = EVERYTHING_PACKED


class SendingAheadInVain(SendingAhead):
    """The same when another machine has published the run before."""

    def prepare(self, world: World) -> None:
        world.machine("m0").publish(KEPT.run, KEPT.sources)


class DeclaringVoid(Collecting):
    """A collector finds, beside all else, what an attempt sent that nobody has heard of for two days."""

    def prepare(self, world: World) -> None:
        super().prepare(world)
        kill_before(world, "ahead", WRECK, lambda call: call.op == "create", ahead=True)
        world.clock.advance(_TWO_DAYS_S)

    def finish(self, world: World) -> None:
        world.clock.advance(_TWO_DAYS_S)
        collect(world, world.store, "before the janitor", _IN_PEACE)
        super().finish(world)


def _retire(world: World, was: Published) -> None:
    retire(world, was.attempt)
    dropped = Dropped(
        experiment="train", run_id=RunId(was.run_id), attempt=AttemptId(was.attempt), retired_at="", by="m2"
    )
    Index(world.store, world.clock, world.machine("m2").entropy, "train").drop(dropped)


class _DiesAfter:
    """A gate of somebody who dies after a certain call."""

    def __init__(self, moment: Callable[[Call], bool]) -> None:
        self._moment = moment
        self._dead = False

    def __call__(self, call: Call, act: Callable[[], T]) -> T:
        if self._dead:
            raise CrashError
        answer = act()
        if self._moment(call):
            self._dead = True
            raise CrashError
        return answer


def collect(world: World, store: Store, name: str, policy: CollectionPolicy) -> CollectionReport:
    """Plan and execute one collection, in a new process."""
    entropy = world.machine(name).entropy
    collector = Collector(store, cast("Remover", store), world.clock, entropy, name, policy)
    return collector.execute(collector.plan())


COLLECTIONS = [
    Collecting,
    FinishingOthers,
    CancellingOthers,
    Clearing,
    SendingAhead,
    SendingPacksAhead,
    SendingAheadInVain,
    DeclaringVoid,
]
