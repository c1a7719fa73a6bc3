"""Who works while a run leaves a pack that is mostly dead. No grace time is waited for: no clock may hide a race."""

from __future__ import annotations

from collections.abc import Mapping

from tests.builders.sparse import EAGER, bodies, repacker
from tests.builders.worlds import EVERYTHING_PACKED
from tests.faults.scenarios import Planned, planned
from tests.interleavings.baton import Task
from tests.interleavings.collected import CollectedBase
from tests.interleavings.collectors import AT_ONCE, collects, planned_by, retires
from tests.invariants import check_no_loss

from sealrun.domain.address import AttemptId, RunId, intent_key, retired_key
from sealrun.domain.registry.publication import Retired
from sealrun.ports import Store
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.mending.repacking import plan_repack
from sealrun.services.storage.standing import attempts_of

_SMALL = planned(bodies("ax"), name="small", finished_at="2026-01-16T10:00:00Z")
_AGAIN = planned(bodies("aby"), name="again", finished_at="2026-01-16T11:00:00Z")
_LOOKING = CollectionPolicy(grace_s=-1, max_delete_ratio=1, repack=EAGER)


class Repacked(CollectedBase):
    """A retired run left a pack of which a live one uses a tenth, and a collector is there at once."""

    PACKS = EVERYTHING_PACKED
    WAS = planned(bodies("abcdefghij"), name="gone", finished_at="2026-01-15T10:00:00Z")

    def __init__(self) -> None:
        super().__init__()
        self.small = self._published(_SMALL)
        self.is_retired()
        store, clock = self.world.store, self.world.clock
        looker = Collector(store, store, clock, self.world.machine("looker").entropy, "looker", _LOOKING)
        self.plan = plan_repack(store, planned_by(looker).sparse)
        assert [run.ref for run in self.plan.runs] == [f"train/{_SMALL.expected.run_id}"]

    def _published(self, what: Planned) -> AttemptId:
        published = self.world.machine("m1").publish(what.run, what.sources)
        self.expected.append(what.expected)
        return AttemptId(published.attempt)

    def repacks(self, name: str) -> Task:
        """`name` carries the plan out."""
        return lambda store: repacker(self.world, store, name).execute(self.plan)

    def tasks(self) -> Mapping[str, Task]:
        return {"keeper": self.repacks("keeper"), "collector": collects(self.world, "c1", AT_ONCE)}


class RepackedTwice(Repacked):
    """Two keepers empty the same pack."""

    def tasks(self) -> Mapping[str, Task]:
        return {"keeper": self.repacks("keeper"), "other": self.repacks("other")}


class ReferencedWhileRepacked(Repacked):
    """Somebody publishes by reference what is alive in the pack, and what was dead."""

    def tasks(self) -> Mapping[str, Task]:
        return {**super().tasks(), "m1": self.publishes("m1", _AGAIN)}


class MovedWhileRepacked(Repacked):
    """A person moves a pointer to the run that leaves the pack."""

    def __init__(self) -> None:
        super().__init__()
        self.pointers = {"train@best": f"train/{_SMALL.expected.run_id}"}

    def tasks(self) -> Mapping[str, Task]:
        return {"keeper": self.repacks("keeper"), "mover": self.move}

    def move(self, store: Store) -> object:
        """Move it."""
        return self.world.machine("m2").move(f"train/{_SMALL.expected.run_id}", "best", store)


class FollowedWhileRetired(Repacked):
    """A pointer stands on the run that leaves the pack. Retention, which looked before it did, retires it all."""

    def __init__(self) -> None:
        super().__init__()
        self.pointers = {"train@best": f"train/{_SMALL.expected.run_id}"}
        self.world.machine("m2").move(self.pointers["train@best"], "best", self.world.store)

    def tasks(self) -> Mapping[str, Task]:
        return {**super().tasks(), "retention": self.retire_all}

    def retire_all(self, store: Store) -> object:
        """Retire every attempt that holds the run, oldest first."""
        run_id = RunId(_SMALL.expected.run_id)
        for attempt in reversed(attempts_of(store, "train", run_id)):
            if store.stat(intent_key(attempt)) is None and store.stat(retired_key(attempt)) is None:
                retires(self.world, attempt, run_id)(store)
        return None

    def conclude(self, _results: Mapping[str, object], /) -> None:
        check_no_loss(self.world.store)


class RetiredWhileRepacked(Repacked):
    """Retention retires the run that leaves the pack: unless it came too late, the run does not come back."""

    def tasks(self) -> Mapping[str, Task]:
        retention = retires(self.world, self.small, RunId(_SMALL.expected.run_id))
        return {"keeper": self.repacks("keeper"), "retention": retention}

    def conclude(self, results: Mapping[str, object], /) -> None:
        key = retired_key(self.small)
        if Retired.decode(self.world.store.bodies[key], key).by == "retention":
            self.expected.remove(_SMALL.expected)
        super().conclude(results)
