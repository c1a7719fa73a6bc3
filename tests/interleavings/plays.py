"""Who works at the same time as whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sealrun.domain.address import outcome_key
from sealrun.domain.errors import NotFoundError
from sealrun.domain.publication import Outcome
from sealrun.domain.sealed import Published
from sealrun.ports import Store
from tests.builders.runs import a_run
from tests.builders.worlds import World, retire
from tests.fakes.gated import GatedStore
from tests.faults.scenarios import Planned, kill_before, planned
from tests.interleavings.baton import Task
from tests.interleavings.collector import Collector
from tests.invariants import Expected, check_settled

_TWO_DAYS_S = 2 * 24 * 3600.0
OLD = planned({"a": b"1"}, name="old", finished_at="2026-01-16T10:00:00Z", publish_names={"a": "a"})
NEW = planned({"a": b"1", "b": b"2"}, name="new", finished_at="2026-01-17T10:00:00Z", publish_names={"b": "a"})
LAST = planned({"c": b"3"}, name="last", finished_at="2026-01-18T10:00:00Z")
_ID = "20260117T143052Z-fit-abc123"
ONE_WAY = planned({"a": b"one"}, run_id=_ID)
OTHER_WAY = planned({"a": b"two"}, run_id=_ID)


class _Base:
    """A play; `done` lists what must be there in the end."""

    page: int | None = None

    def __init__(self) -> None:
        self.world = World(links=False)
        self.expected: list[Expected] = []
        self.pointers: dict[str, str] = {}

    def has(self, what: Planned, machine: str = "m0") -> None:
        """It was published before."""
        self.world.machine(machine).publish(what.run, what.sources)
        self.expected.append(what.expected)

    def publishes(self, machine: str, what: Planned) -> Task:
        """`machine` publishes it now."""
        if what.expected not in self.expected:
            self.expected.append(what.expected)
        return lambda store: self.world.machine(machine).publish(what.run, what.sources, store)

    def tasks(self) -> Mapping[str, Task]:
        raise NotImplementedError

    def conclude(self, results: Mapping[str, object]) -> None:
        for name, result in results.items():
            if isinstance(result, Published):
                assert result.experiment == "train", name
        self.world.clock.advance(_TWO_DAYS_S)
        self.world.machine("sweeper").recover()
        check_settled(self.world.store, self.expected, pointers=self.pointers)


class SameRunTwice(_Base):
    """Two machines see the same folder."""

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", OLD), "m2": self.publishes("m2", OLD)}


class SameNameTwice(_Base):
    """Two runs give themselves the same name at the same time: both are kept."""

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", ONE_WAY), "m2": self.publishes("m2", OTHER_WAY)}

    def conclude(self, results: Mapping[str, object]) -> None:
        ends = {"m1": ONE_WAY, "m2": OTHER_WAY}
        self.expected = []
        for name, what in ends.items():
            result = results[name]
            assert isinstance(result, Published)
            self.expected.append(Expected("train", result.run_id, what.expected.files))
        assert {run.run_id for run in self.expected} == {_ID, f"{_ID}.r2"}
        super().conclude(results)


class SharedBytes(_Base):
    """Two runs that share bytes with a third, by hints; both publish under one name."""

    def __init__(self) -> None:
        super().__init__()
        self.has(planned({"a": b"1", "b": b"2"}, name="base", finished_at="2026-01-15T10:00:00Z"))
        known = self.world.machine("m0").hints.known
        for machine in ("m1", "m2"):
            self.world.machine(machine).hints.known = {registry: dict(keys) for registry, keys in known.items()}
        self.pointers = {"a": f"train/{NEW.expected.run_id}"}

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", OLD), "m2": self.publishes("m2", NEW)}


class VoidedAnyTime(_Base):
    """A stranger takes a live publisher for dead."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "stranger": lambda store: self.world.machine("m2").recover(store, dead_after_s=-1),
        }


class ReplayedTwice(_Base):
    """A sealed attempt is announced by its owner and by a stranger."""

    def __init__(self) -> None:
        super().__init__()
        self.has(LAST)
        kill_before(self.world, "m1", OLD, lambda call: "/seals/" in call.key and call.writes)

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "stranger": lambda store: self.world.machine("m2").recover(store),
        }


class TwoMovers(_Base):
    """Two people move one pointer."""

    def __init__(self) -> None:
        super().__init__()
        self.has(OLD)
        self.has(LAST)

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.moves("m1", OLD), "m2": self.moves("m2", LAST)}

    def moves(self, machine: str, what: Planned) -> Task:
        """`machine` moves ``best`` to it now."""
        return lambda store: self.world.machine(machine).move(f"train/{what.expected.run_id}", "best", store)

    def conclude(self, results: Mapping[str, object]) -> None:
        history = self.world.reader().history("train", "best")
        assert all(result in history for result in results.values() if not isinstance(result, Published))
        super().conclude(results)


class MoverAndPublishers(TwoMovers):
    """A person moves a pointer while runs arrive."""

    def tasks(self) -> Mapping[str, Task]:
        return {"mover": self.moves("m1", OLD), "m2": self.publishes("m2", NEW), "m3": self.publishes("m3", ONE_WAY)}


class Listed(_Base):
    """A reader looks while a run is published and the index is compacted."""

    def __init__(self) -> None:
        super().__init__()
        self.has(OLD)

    def tasks(self) -> Mapping[str, Task]:
        return {
            "compactor": lambda store: self.world.machine("m1").compact(store=store),
            "m2": self.publishes("m2", LAST),
            "reader": self.reads,
        }

    def reads(self, store: Store) -> object:
        """Everything announced before is listed, and whatever is listed or pointed at is sealed and whole."""
        announced = {row.run_id for row in self.world.reader().runs("train")}
        rows = self.world.reader(store).runs("train")
        assert announced <= {row.run_id for row in rows}, "a run that was announced before is not listed"
        for row in rows:
            outcome = self.world.store.bodies.get(outcome_key(row.attempt))
            assert outcome is not None, f"{row.run_id} is listed and undecided"
            assert Outcome.decode(outcome, row.attempt).decision == "sealed"
            self.world.reader().load(self.world.target(f"train/{row.run_id}"))
        reader = self.world.reader(store)
        view = reader.load(reader.resolve("train@latest"))
        return [b"".join(reader.chunks(view, entry)) for entry in view.manifest.entries]


class TwoCompactors(_Base):
    """Two compactors, and a publisher whose row must survive them."""

    def __init__(self) -> None:
        super().__init__()
        self.has(OLD)
        self.world.machine("m0").compact()
        self.has(NEW)

    def tasks(self) -> Mapping[str, Task]:
        return {
            "c1": lambda store: self.world.machine("m1").compact(store=store),
            "c2": lambda store: self.world.machine("m2").compact(store=store),
            "m3": self.publishes("m3", LAST),
        }


class Collected(_Base):
    """A run is published by reference while the only other run with its bytes, retired, is collected."""

    def __init__(self) -> None:
        super().__init__()
        gone = planned({"a": b"1"}, name="gone", finished_at="2026-01-15T10:00:00Z")
        was = self.world.machine("m1").publish(gone.run, gone.sources)
        # Something else moves ``latest`` on, or the retired run would be kept as its target.
        self.has(LAST)
        self.gone = Expected("train", was.run_id, gone.expected.files)
        retire(self.world, was.attempt)

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "collector": lambda store: Collector(store, self.world.store, "b1").collect(),
        }

    def conclude(self, results: Mapping[str, object]) -> None:
        for run in self.expected:
            reader = self.world.reader()
            view = reader.load(reader.resolve(f"train/{run.run_id}"))
            assert {e.path: b"".join(reader.chunks(view, e)) for e in view.manifest.entries} == run.files


class CollectedVoid(Collected):
    """The bytes that are hinted at belong to a void attempt, whose late upload may still arrive or be collected."""

    def __init__(self) -> None:
        _Base.__init__(self)
        self.has(LAST)
        run, sources = a_run({"a": b"1", "z": b"zz"}, name="wreck", finished_at="2026-01-15T10:00:00Z")
        wreck = Planned(run, sources, Expected("train", run.envelope().run_id, {"a": b"1", "z": b"zz"}))
        kill_before(self.world, "wreck", wreck, lambda call: call.op == "create" and "/runs/" in call.key)
        self.world.machine("m2").recover(dead_after_s=-1)
        hints = self.world.machine("m1").hints
        for key in self.world.store.bodies:
            if key.startswith("store/") and len(self.world.store.bodies[key]) == 1:
                from sealrun.domain.address import Key, parse_object_key
                from tests.builders.worlds import REGISTRY_ID

                hints.learn(REGISTRY_ID, {parse_object_key(key).digest: (Key(key), 1)})


__all__ = ["Callable", "GatedStore", "NotFoundError"]
