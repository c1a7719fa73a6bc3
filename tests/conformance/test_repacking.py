"""Collecting and repacking packs on every store that creates exclusively: a directory, moto, a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.builders.runs import a_run
from tests.conformance.factories import FACTORIES, SINGLE_WRITER
from tests.fakes.hints import FakeHints

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores import open_remover
from sealrun.adapters.stores.spooling import SpoolStage
from sealrun.domain.address import OBJECTS, PACKS, AttemptId, retired_key
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import AttemptTicket, Retired
from sealrun.domain.runs.sealed import Published
from sealrun.domain.upkeep.repacking import RepackLimits
from sealrun.ports import Store
from sealrun.services.access.reading import Reader
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.mending.repacking import Repacker, plan_repack
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher

_AT_ONCE = CollectionPolicy(grace_s=0.0, max_delete_ratio=1.0, repack=RepackLimits(worth=0))
_CLOCK, _ENTROPY = SystemClock(), SystemEntropy()
_REGISTRY_ID = "0" * 32


@pytest.fixture(params=sorted(set(FACTORIES) - SINGLE_WRITER))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Collected are only stores that create exclusively."""
    with FACTORIES[request.param](tmp_path) as opened:
        yield opened
        opened.close()


@pytest.fixture
def packing(tmp_path: Path) -> Packing:
    """Whatever is small goes into packs of about a MiB."""
    return Packing(PackOptions(least=1, size=1 << 20), partial(SpoolStage, str(tmp_path)))


def _publish(
    store: Store, hints: FakeHints, packing: Packing, files: dict[str, bytes], name: str, finished_at: str
) -> Published:
    run, sources = a_run(files, name=name, finished_at=finished_at)
    attempt = AttemptId(f"20260117T150000Z-{_ENTROPY.hex(16)}")
    ticket = AttemptTicket(attempt=attempt, nonce=_ENTROPY.hex(32), created_at="2026-01-17T15:00:00Z", owner="m1")
    publisher = Publisher(store, _REGISTRY_ID, hints, _CLOCK, _ENTROPY, "m1", packing)
    return publisher.publish(run, ticket, sources)


def _sizes(store: Store) -> list[int]:
    return [found.size for found in store.list(PACKS)]


def test_a_run_leaves_mostly_dead_packs_and_they_are_collected(store: Store, packing: Packing) -> None:
    hints = FakeHints()
    many = {f"part/{number:04}": b"%06d" % number * 1000 for number in range(400)}  # packs of about a MiB
    used = {path: body for path, body in many.items() if path.endswith("7")} | {"own": b"own"}
    old = _publish(store, hints, packing, many, "old", "2026-01-15T10:00:00Z")
    new = _publish(store, hints, packing, used, "new", "2026-01-16T10:00:00Z")
    before = _sizes(store)
    assert len(before) == 4
    assert new.reused_objects == 40
    store.create(
        retired_key(AttemptId(old.attempt)),
        Retired(attempt=AttemptId(old.attempt), retired_at="2026-01-18T00:00:00Z", by="m1", why="test").encode(),
    )
    collector = Collector(store, open_remover(store), _CLOCK, _ENTROPY, "m1", _AT_ONCE)
    repacker = Repacker(store, _REGISTRY_ID, hints, _CLOCK, _ENTROPY, "m1", "ann@m1", packing)

    found = collector.plan()
    assert collector.execute(found).objects == 0
    plan = plan_repack(store, found.sparse)
    report = repacker.execute(plan)

    assert [run.ref for run in plan.runs] == [new.ref]
    assert len(plan.packs) == 3
    assert [(run.copied_objects, run.copied_bytes) for run in report.runs] == [(40, 240_000)]
    assert not report.left
    again = collector.plan()
    assert not again.sparse.packs
    assert collector.execute(again).objects == 3
    after = _sizes(store)
    assert len(after) == 2
    assert sum(after) < 260_000
    reader = Reader(store, _CLOCK, _ENTROPY)
    view = reader.load(reader.resolve(new.ref))
    assert {entry.path: b"".join(reader.chunks(view, entry)) for entry in view.manifest.entries} == used
    assert reader.resolve("train@latest").attempt == report.runs[0].attempt
    assert not list(store.list(OBJECTS))
