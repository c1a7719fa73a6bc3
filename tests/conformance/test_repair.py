"""Scrub and repair on every store that creates exclusively: a directory, moto, a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders.runs import BytesSource, a_run
from tests.conformance.factories import FACTORIES, SINGLE_WRITER
from tests.fakes.hints import FakeHints

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores import open_remover
from sealrun.domain.address import AttemptId, Key
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Source, Store
from sealrun.services.access.reading import Reader
from sealrun.services.mending.repairing import Repairer
from sealrun.services.mending.scrubbing import Scrubber
from sealrun.services.mending.verifying import Verifier
from sealrun.services.publication.publishing import Publisher

_CLOCK, _ENTROPY, _REGISTRY = SystemClock(), SystemEntropy(), "0" * 32
_FILES = {"shared": b"shared", **{f"part/{number}": f"part {number}".encode() for number in range(20)}}


@pytest.fixture(params=sorted(set(FACTORIES) - SINGLE_WRITER))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with FACTORIES[request.param](tmp_path) as opened:
        yield opened
        opened.close()


class Originals:
    """`ports.Replica` that has every file."""

    name = "originals"

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:  # noqa: ARG002 - the port's signature
        return BytesSource(_FILES[entry.path])


def _publish(store: Store, hints: FakeHints, files: dict[str, bytes], name: str, finished_at: str) -> Published:
    run, sources = a_run(files, name=name, finished_at=finished_at, publish_names={"shared": "shared.bin"})
    attempt = AttemptId(f"20260117T150000Z-{_ENTROPY.hex(16)}")
    ticket = AttemptTicket(attempt=attempt, nonce=_ENTROPY.hex(32), created_at="2026-01-17T15:00:00Z", owner="m1")
    return Publisher(store, _REGISTRY, hints, _CLOCK, _ENTROPY, "m1").publish(run, ticket, sources)


def test_a_lost_object_is_found_by_rounds_of_scrubbing_and_repaired_in_every_run(store: Store) -> None:
    hints = FakeHints()
    old = _publish(store, hints, {"shared": b"shared", "a": b"a"}, "old", "2026-01-15T10:00:00Z")
    new = _publish(store, hints, _FILES, "new", "2026-01-16T10:00:00Z")
    reader = Reader(store, _CLOCK, _ENTROPY)
    view = reader.load(reader.resolve(new.ref))
    lost: Key = view.objects[view.entry("shared").sha256].key
    assert open_remover(store).delete([lost]) == {}

    position, read, damaged = 0.7, 0, set()
    for _ in range(4):
        report = Scrubber(reader, _CLOCK).scrub(position, 0.25)
        position, read = report.next, read + report.report.objects
        damaged |= {(damage.ref, damage.path, damage.kind) for damage in report.report.damages}
    assert read == 21
    assert damaged == {(old.ref, "shared", "missing"), (new.ref, "shared", "missing")}

    repairer = Repairer(store, _REGISTRY, hints, _CLOCK, _ENTROPY, "m1", "somebody")
    plan = repairer.plan(Verifier(reader, copies=True).everything(), [Originals()])
    done = repairer.execute(plan, [Originals()])

    assert done.remaining == ()
    assert {run.ref for run in done.repaired} == {old.ref, new.ref}
    assert sum(run.uploaded_objects for run in done.repaired) == 1
    assert done.remaining == ()
    assert Verifier(reader, copies=True).everything().damages == ()
    for name in (old.ref, new.ref, "train@latest", "shared.bin"):
        found = reader.load(reader.resolve(name))
        assert b"".join(reader.chunks(found, found.entry("shared"))) == b"shared"
