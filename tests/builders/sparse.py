"""Runs whose small files lie in packs, packs that come to be mostly dead, and who repacks them."""

from __future__ import annotations

from typing import cast

import msgspec
from tests.builders.runs import a_run
from tests.builders.worlds import REGISTRY_ID, World
from tests.fakes.stage import MemoryStage

from sealrun.domain.address import PACKS, Key
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.domain.upkeep.repacking import RepackLimits, RepackPlan, RepackReport
from sealrun.ports import Remover, Store
from sealrun.services.collection.collecting import CollectionPlan, CollectionPolicy, CollectionReport, Collector
from sealrun.services.mending.repacking import Repacker, plan_repack
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher

EAGER = RepackLimits(worth=0)
POLICY = CollectionPolicy(max_delete_ratio=1, repack=EAGER)


def packing(least: int = 1) -> Packing:
    """Pack whatever is small."""
    return Packing(PackOptions(least=least), lambda: MemoryStage(outlived=True))


def bodies(names: str, size: int = 1000) -> dict[str, bytes]:
    """Files with one letter for a name, of `size` bytes that no other file has."""
    return {f"{name}.txt": (name * size).encode() for name in names}


def publish_packed(
    world: World, files: dict[str, bytes], *, machine: str = "m1", store: Store | None = None, **facts: object
) -> tuple[SealedRun, Published]:
    """Publish a run in peace, its files in a pack."""
    run, sources = a_run(files, **facts)  # type: ignore[arg-type] # the facts of `a_run`
    owner = world.machine(machine)
    publisher = Publisher(
        store or world.store, REGISTRY_ID, owner.hints, world.clock, owner.entropy, by=machine, packing=packing()
    )
    return run, publisher.publish(run, owner.ticket(run), sources)


def packs(store: Store) -> list[Key]:
    """Packs that are there."""
    return [found.key for found in store.list(PACKS)]


class Round(msgspec.Struct, frozen=True):
    """One round of a keeper: what it found, and what it did."""

    found: CollectionPlan
    report: CollectionReport
    plan: RepackPlan
    repacked: RepackReport


def repacker(world: World, store: Store, name: str) -> Repacker:
    """A repacker in a new process."""
    owner = world.machine(name)
    return Repacker(store, REGISTRY_ID, owner.hints, world.clock, owner.entropy, name, f"ann@{name}", packing=packing())


def look(world: World, policy: CollectionPolicy = POLICY) -> tuple[CollectionPlan, RepackPlan]:
    """What a keeper would find."""
    store = world.store
    found = Collector(store, store, world.clock, world.machine("looker").entropy, "looker", policy).plan()
    return found, plan_repack(store, found.sparse)


def keep(world: World, store: Store | None = None, name: str = "keeper", policy: CollectionPolicy = POLICY) -> Round:
    """Collect, and then repack, as the daemon does."""
    used = store or world.store
    collector = Collector(used, cast("Remover", used), world.clock, world.machine(name).entropy, name, policy)
    found = collector.plan()
    report = collector.execute(found)
    plan = plan_repack(used, found.sparse)
    return Round(found, report, plan, repacker(world, used, name).execute(plan))
