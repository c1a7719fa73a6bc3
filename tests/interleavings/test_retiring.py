"""Retirements, undos and pins at the same time as each other, and as publishers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.builders.worlds import REGISTRY_ID, World
from tests.fakes.clock import FakeEntropy
from tests.faults.scenarios import Planned, planned
from tests.interleavings.baton import Play, Task, explore, sample
from tests.invariants import check_settled

from sealrun.domain.errors import NotFoundError
from sealrun.domain.runs.sealed import Published
from sealrun.domain.upkeep.keeping import Pin
from sealrun.domain.upkeep.retention import Policy
from sealrun.ports import Store
from sealrun.services.keeping.pinning import Pins
from sealrun.services.keeping.retiring import RetiredRun, Retirer
from sealrun.services.keeping.undoing import Undoer
from sealrun.services.storage.standing import find_standing

_TWO_DAYS_S = 2 * 24 * 3600.0
OLD = planned({"a": b"1"}, name="old", finished_at="2026-01-16T10:00:00Z")
NEW = planned({"b": b"2"}, name="new", finished_at="2026-01-17T10:00:00Z")


class _Base:
    """An old run that a policy retires, and the newest, which stays."""

    page: int | None = None

    def __init__(self) -> None:
        self.world = World(links=False)
        for what in (OLD, NEW):
            self.world.machine("m0").publish(what.run, what.sources)
        self.world.machine("m0").compact()
        self.plan = self.retirer("planner", self.world.store).plan_policy("train", Policy(keep_last=1), write=False)

    def retirer(self, name: str, store: Store) -> Retirer:
        return Retirer(store, self.world.clock, FakeEntropy(sum(name.encode())), name, name)

    def retires(self, name: str) -> Task:
        return lambda store: self.retirer(name, store).execute(self.plan)

    def undoes(self, name: str) -> Task:
        def undo(store: Store) -> Published | None:
            undoer = Undoer(store, REGISTRY_ID, None, self.world.clock, FakeEntropy(sum(name.encode())), name)
            try:
                return undoer.execute(undoer.plan("train", OLD.expected.run_id))
            except NotFoundError:
                return None

        return undo

    def stands(self) -> bool:
        return find_standing(self.world.store, "train", OLD.expected.run_id) is not None

    def settle(self) -> None:
        """Let everything come to rest; the old run is listed if it stands, and only then."""
        self.world.clock.advance(_TWO_DAYS_S)
        self.world.machine("sweeper").recover()
        self.world.machine("sweeper").compact()
        expected: list[Planned] = [OLD, NEW] if self.stands() else [NEW]
        check_settled(self.world.store, [what.expected for what in expected])


class RetiredTwice(_Base):
    """Two machines carry out the same plan."""

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.retires("m1"), "m2": self.retires("m2")}

    def conclude(self, _results: Mapping[str, object], /) -> None:
        assert not self.stands()
        self.settle()


class PinnedMeanwhile(_Base):
    """Whoever pinned the run is told that it is gone, or the run stands, or whoever retired it is told of the pin."""

    def tasks(self) -> Mapping[str, Task]:
        def pin(store: Store) -> Pin | None:
            try:
                return Pins(store, self.world.clock, FakeEntropy(4), "ann").pin("train", OLD.expected.run_id, "why")
            except NotFoundError:
                return None

        return {"ann": pin, "m1": self.retires("m1")}

    def conclude(self, results: Mapping[str, object], /) -> None:
        done = results["m1"]
        assert isinstance(done, tuple)
        retired: RetiredRun = done[0]
        pinned = Pins(self.world.store, self.world.clock, FakeEntropy(5), "ann").standing("train")
        assert bool(pinned) is (results["ann"] is not None)
        if results["ann"] is not None:
            assert self.stands() or retired.note is not None, "a pin counts on a retired run, and nobody was told"
        self.settle()


class PublishedMeanwhile(_Base):
    """Another machine sees the folder of the run while it is retired."""

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.retires("m1"),
            "m2": lambda store: self.world.machine("m2").publish(OLD.run, OLD.sources, store),
        }

    def conclude(self, results: Mapping[str, object], /) -> None:
        done = results["m2"]
        assert isinstance(done, Published)
        assert self.stands() or not done.new, "a publication that was acknowledged was retired by an older plan"
        self.settle()


class UndoneMeanwhile(_Base):
    """An older plan is carried out once more while the retirement is undone."""

    def __init__(self) -> None:
        super().__init__()
        self.retirer("m0", self.world.store).execute(self.plan)

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.retires("m1"), "m2": self.undoes("m2")}

    def conclude(self, results: Mapping[str, object], /) -> None:
        assert isinstance(results["m2"], Published)
        assert self.stands(), "an older plan retired what was undone"
        self.settle()


ALL: list[tuple[type[Play], int]] = [
    (RetiredTwice, 1),
    (PinnedMeanwhile, 2),
    (PublishedMeanwhile, 2),
    (UndoneMeanwhile, 2),
]


@pytest.mark.parametrize(("play", "preemptions"), ALL, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_schedule_with_few_preemptions_keeps_what_was_promised(play: type[Play], preemptions: int) -> None:
    assert explore(play, preemptions) > 1


@pytest.mark.parametrize("play", [play for play, _ in ALL], ids=lambda play: play.__name__)
def test_random_schedules_keep_what_was_promised(play: type[Play]) -> None:
    sample(play, seed=20260117, times=60)
