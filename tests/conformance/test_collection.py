"""The collector on every store that creates exclusively: a directory, moto, a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders.runs import a_run
from tests.conformance.factories import FACTORIES, SINGLE_WRITER
from tests.fakes.hints import FakeHints

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores import open_remover
from sealrun.domain.address import OBJECTS, AttemptId, retired_key
from sealrun.domain.registry.publication import AttemptTicket, Retired
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Store
from sealrun.services.access.reading import Reader
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.collection.explaining import explain
from sealrun.services.mending.verifying import Verifier
from sealrun.services.publication.publishing import Publisher

_AT_ONCE = CollectionPolicy(grace_s=0.0, max_delete_ratio=1.0, batch=40)
_CLOCK, _ENTROPY = SystemClock(), SystemEntropy()


@pytest.fixture(params=sorted(set(FACTORIES) - SINGLE_WRITER))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Collected are only stores that create exclusively."""
    with FACTORIES[request.param](tmp_path) as opened:
        yield opened
        opened.close()


def _publish(store: Store, hints: FakeHints, files: dict[str, bytes], name: str, finished_at: str) -> Published:
    run, sources = a_run(files, name=name, finished_at=finished_at)
    attempt = AttemptId(f"20260117T150000Z-{_ENTROPY.hex(16)}")
    ticket = AttemptTicket(attempt=attempt, nonce=_ENTROPY.hex(32), created_at="2026-01-17T15:00:00Z", owner="m1")
    return Publisher(store, "0" * 32, hints, _CLOCK, _ENTROPY, "m1").publish(run, ticket, sources)


def _retire(store: Store, attempt: str) -> None:
    record = Retired(attempt=AttemptId(attempt), retired_at="2026-01-18T00:00:00Z", by="m1", why="test")
    store.create(retired_key(AttemptId(attempt)), record.encode())


def test_a_retired_run_is_collected_and_what_others_share_is_kept(store: Store) -> None:
    hints = FakeHints()
    many = {f"part/{number:03}": f"old {number}".encode() for number in range(100)}
    old = _publish(store, hints, {"shared": b"shared", **many}, "old", "2026-01-15T10:00:00Z")
    _publish(store, hints, {"shared": b"shared", "c": b"new"}, "new", "2026-01-16T10:00:00Z")
    _retire(store, old.attempt)
    collector = Collector(store, open_remover(store), _CLOCK, _ENTROPY, "m1", _AT_ONCE)

    plan = collector.plan()
    report = collector.execute(plan)

    assert (plan.objects, plan.doomed.objects) == (102, 100)
    assert (report.objects, report.batches, dict(report.failures)) == (100, 3, {})
    assert {share.ref for share in plan.shares} == {old.ref}
    assert sum(1 for _ in store.list(OBJECTS)) == 2
    left = Verifier(Reader(store, _CLOCK, _ENTROPY)).everything()
    assert [damage for damage in left.damages if damage.kind != "index"] == []
    (said,) = explain(store, next(iter(plan.doomed)).key)
    assert (said.state, old.ref in said.reasons[0]) == ("deleted", True)
    again = collector.plan()
    assert (again.objects, again.doomed.objects) == (2, 0)


def test_planning_for_a_dry_run_writes_nothing(store: Store) -> None:
    hints = FakeHints()
    _publish(store, hints, {"a": b"1"}, "only", "2026-01-15T10:00:00Z")
    before = [(found.key, found.size) for found in store.list("")]

    plan = Collector(store, open_remover(store), _CLOCK, _ENTROPY, "m1", _AT_ONCE).plan(write=False)

    assert plan.objects == 1
    assert [(found.key, found.size) for found in store.list("")] == before
