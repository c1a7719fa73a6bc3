"""The same work with small files in packs, and what can only happen to packs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from tests.builders.worlds import EVERYTHING_PACKED, REGISTRY_ID
from tests.fakes.gated import GatedStore
from tests.faults.scenarios import planned
from tests.interleavings.baton import Task
from tests.interleavings.collected import TWINS, Collected
from tests.interleavings.collectors import collects
from tests.interleavings.plays import PlayBase

from sealrun.domain.address import Key, intent_key
from sealrun.domain.pieces import Body
from sealrun.domain.registry.publication import Intent
from sealrun.ports import Creation, Store

OTHER = planned({"b": b"2"}, name="other", finished_at="2026-01-16T11:00:00Z")
SMALL = planned({"a": b"1"}, name="small", finished_at="2026-01-16T10:00:00Z")


_MADE: dict[type[PlayBase], type[PlayBase]] = {}


def packed(play: type[PlayBase]) -> type[PlayBase]:
    """The same play in a world that packs every file. Of the same play it is the same."""
    if play not in _MADE:
        made = type(f"Packed{play.__name__}", (play,), {"PACKS": EVERYTHING_PACKED, "__doc__": play.__doc__})
        _MADE[play] = cast("type[PlayBase]", made)
    return _MADE[play]


class SharedPack(Collected):
    """Two publishers each reference another member of one pack, whose only run is retired and collected."""

    PACKS = EVERYTHING_PACKED
    WAS = TWINS

    def __init__(self) -> None:
        super().__init__()
        self.world.machine("m2").hints.known = {REGISTRY_ID: dict(self.world.machine("m1").hints.known[REGISTRY_ID])}

    def tasks(self) -> Mapping[str, Task]:
        return {
            "m1": self.publishes("m1", SMALL),
            "m2": self.publishes("m2", OTHER),
            "collector": collects(self.world, "c1"),
        }


class ResumedWithHints(Collected):
    """A publisher died early, learnt of a pack since, and goes on with an intent that does not name it."""

    PACKS = EVERYTHING_PACKED

    def __init__(self) -> None:
        super().__init__()
        hints = self.world.machine("m1").hints
        known, hints.known = hints.known, {}
        self.world.machine("m1").begin_attempt(SMALL.run, SMALL.sources)
        hints.known = known

    def tasks(self) -> Mapping[str, Task]:
        return {"m1": self.publishes("m1", SMALL), "collector": collects(self.world, "c1")}


class LateIntent(Collected):
    """The same, when the intent of the earlier life was on its way still, and overtakes that of the later one."""

    PACKS = EVERYTHING_PACKED

    def tasks(self) -> Mapping[str, Task]:
        publish = self.publishes("m1", SMALL)
        return {"m1": lambda store: publish(self.overtaken(store)), "collector": collects(self.world, "c1")}

    def overtaken(self, store: Store) -> Store:
        """What the earlier life sent arrives first: before it had an answer, it had sent nothing else."""
        ticket, run = self.world.machine("m1").ticket(SMALL.run), SMALL.run.envelope()
        intent = Intent(
            attempt=ticket.attempt,
            nonce=ticket.nonce,
            owner=ticket.owner,
            purpose="publish",
            experiment=run.experiment,
            run_id=run.run_id,
            created_at=ticket.created_at,
            heartbeat_at=ticket.created_at,
            digests=tuple(sorted(SMALL.run.manifest().digests())),
        )
        assert isinstance(store, GatedStore)
        return _Overtaken(store, intent)


class _Overtaken(GatedStore):
    """A store in which an attempt's intent stands a moment before it is created."""

    def __init__(self, store: GatedStore, early: Intent) -> None:
        super().__init__(store._inner, store._gate, store._page)
        self._early = early

    def create(self, key: Key, body: Body) -> Creation:
        if key == intent_key(self._early.attempt):
            self._inner.create(key, self._early.encode())
        return super().create(key, body)
