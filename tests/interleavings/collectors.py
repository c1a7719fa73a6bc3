"""Collectors and retention as tasks of a play.

Nothing is too young to be collected here and every batch is abandoned at once: time must never hide a race.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec
from tests.builders.worlds import World
from tests.fakes.clock import FakeEntropy
from tests.interleavings.baton import Task

from sealrun.domain.address import AttemptId, Key, RunId, retired_key
from sealrun.domain.registry.indexing import Dropped
from sealrun.domain.registry.publication import Retired
from sealrun.ports import RecordCache, Remover, Store, Unfinished
from sealrun.services.collection.collecting import CollectionPlan, CollectionPolicy, Collector
from sealrun.services.index.indexing import Index

AT_ONCE = CollectionPolicy(grace_s=-1, abandoned_s=-1, max_delete_ratio=1)
IN_PEACE = CollectionPolicy(max_delete_ratio=1)


class _Echo:
    """A remover whose deletes of objects arrive once more at the end, as by a network that delivers late."""

    def __init__(self, inner: Remover) -> None:
        self._inner = inner
        self._sent: list[Key] = []

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        self._sent += [key for key in keys if key.startswith("store/")]
        return self._inner.delete(keys)

    def arrive(self) -> None:
        """Deliver everything again."""
        self._inner.delete(self._sent)

    def unfinished(self) -> Iterator[Unfinished]:
        return iter(())

    def abort(self, upload: Unfinished) -> None:
        """There are none."""


def planned_by(collector: Collector) -> CollectionPlan:
    """Plan without asking for the store's time, which is the world's here: those calls would only be in the way."""
    return msgspec.structs.replace(collector.plan(write=False), by_store_clock=True)


def collects(
    world: World,
    name: str,
    policy: CollectionPolicy = AT_ONCE,
    *,
    echo: bool = False,
    cache: RecordCache | None = None,
) -> Task:
    """Let `name` plan and execute one collection, with what `cache` keeps of the records."""

    def task(store: Store) -> object:
        gated = cast("Remover", store)
        echoing = _Echo(gated)
        collector = Collector(
            store, echoing if echo else gated, world.clock, FakeEntropy(sum(name.encode())), name, policy, cache=cache
        )
        report = collector.execute(planned_by(collector))
        if echo:
            echoing.arrive()
        return report

    return task


def retires(world: World, attempt: AttemptId, run_id: RunId) -> Task:
    """Retire a run as retention does once its mind is made up."""

    def task(store: Store) -> object:
        now = "2026-02-01T00:00:00Z"
        record = Retired(attempt=attempt, retired_at=now, by="retention", why="too old")
        store.create(retired_key(attempt), record.encode())
        dropped = Dropped(experiment="train", run_id=run_id, attempt=attempt, retired_at=now, by="retention")
        Index(store, world.clock, FakeEntropy(1), "train").drop(dropped)
        return None

    return task
