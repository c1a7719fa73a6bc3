"""Who works at the same time as whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.builders.worlds import World
from tests.faults.scenarios import Planned, kill_before, planned
from tests.interleavings.baton import Task
from tests.invariants import Expected, check_settled

from sealrun.domain.address import outcome_key
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.pointing import Generation
from sealrun.domain.registry.publication import Outcome
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Store

_TWO_DAYS_S = 2 * 24 * 3600.0
OLD = planned({"a": b"1"}, name="old", finished_at="2026-01-16T10:00:00Z", publish_names={"a": "a"})
NEW = planned({"a": b"1", "b": b"2"}, name="new", finished_at="2026-01-17T10:00:00Z", publish_names={"b": "a"})
LAST = planned({"c": b"3"}, name="last", finished_at="2026-01-18T10:00:00Z")
_ID = "20260117T143052Z-fit-abc123"
ONE_WAY = planned({"a": b"one"}, run_id=_ID)
OTHER_WAY = planned({"a": b"two"}, run_id=_ID)


class PlayBase:
    """A play; `done` lists what must be there in the end."""

    PACKS: ClassVar[PackOptions | None] = None
    page: int | None = None

    def __init__(self) -> None:
        self.world = World(links=False, packs=self.PACKS)
        self.expected: list[Expected] = []
        self.pointers: dict[str, str] = {}

    def has(self, what: Planned, machine: str = "m0") -> None:
        """It was published before."""
        self.world.machine(machine).publish(what.run, what.sources)
        self.expected.append(what.expected)

    def publishes(self, machine: str, what: Planned, *, ahead: bool = False) -> Task:
        """`machine` publishes it now, with all bytes `ahead` of everything else."""
        if what.expected not in self.expected:
            self.expected.append(what.expected)
        return lambda store: self.world.machine(machine).publish(what.run, what.sources, store, ahead=ahead)

    def tasks(self) -> Mapping[str, Task]:
        raise NotImplementedError

    def conclude(self, results: Mapping[str, object], /) -> None:
        for name, result in results.items():
            if isinstance(result, Published):
                assert result.experiment == "train", f"{name} published elsewhere"
        self.world.clock.advance(_TWO_DAYS_S)
        self.world.machine("sweeper").recover()
        check_settled(self.world.store, self.expected, pointers=self.pointers)


class SameRunTwice(PlayBase):
    """Two machines see the same folder."""

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", OLD), "m2": self.publishes("m2", OLD)}


class SameRunTwiceAhead(PlayBase):
    """The same, and both have sent everything before they look who is there."""

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", OLD, ahead=True), "m2": self.publishes("m2", OLD, ahead=True)}


class SameNameTwice(PlayBase):
    """Two runs give themselves the same name at the same time: both are kept."""

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", ONE_WAY), "m2": self.publishes("m2", OTHER_WAY)}

    def conclude(self, results: Mapping[str, object], /) -> None:
        ends = {"m1": ONE_WAY, "m2": OTHER_WAY}
        self.expected = []
        for name, what in ends.items():
            result = results[name]
            assert isinstance(result, Published), result
            self.expected.append(Expected("train", result.run_id, what.expected.files))
        ids = {run.run_id for run in self.expected}
        assert ids == {_ID, f"{_ID}.r2"}, f"one of the two was lost: {ids}"
        super().conclude(results)


class SharedBytes(PlayBase):
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


class VoidedAnyTime(PlayBase):
    """A stranger takes a live publisher for dead."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", OLD),
            "stranger": lambda store: self.world.machine("m2").recover(store, dead_after_s=-1),
        }


class VoidedOnReturn(VoidedAnyTime):
    """The same, when the publisher was dead indeed and comes back to its attempt at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.world.machine("m1").begin_attempt(OLD.run, OLD.sources)


class ReplayedTwice(PlayBase):
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


class TwoMovers(PlayBase):
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

    def conclude(self, results: Mapping[str, object], /) -> None:
        history = self.world.reader().history("train", "best")
        made = [result for result in results.values() if isinstance(result, Generation)]
        assert all(generation in history for generation in made), "a mover was told of a move that did not happen"
        super().conclude(results)


class MoverAndPublishers(TwoMovers):
    """A person moves a pointer while runs arrive."""

    def tasks(self) -> Mapping[str, Task]:
        return {"mover": self.moves("m1", OLD), "m2": self.publishes("m2", NEW), "m3": self.publishes("m3", ONE_WAY)}


class Listed(PlayBase):
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
            assert Outcome.decode(outcome, row.attempt).decision == "sealed", f"{row.run_id} is listed and void"
            self.world.reader().load(self.world.target(f"train/{row.run_id}"))
        reader = self.world.reader(store)
        view = reader.load(reader.resolve("train@latest"))
        return [b"".join(reader.chunks(view, entry)) for entry in view.manifest.entries]


class TwoCompactors(PlayBase):
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
