"""Runs in packs are restored, verified and repaired on every store that creates exclusively."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.builders.packs import flipped
from tests.builders.runs import BytesSource, a_run
from tests.conformance.factories import FACTORIES, SINGLE_WRITER
from tests.fakes.hints import FakeHints

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.adapters.stores import open_remover
from sealrun.adapters.stores.spooling import SpoolStage
from sealrun.domain.address import OBJECTS, PACKS, AttemptId, Key
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.sealed import Published
from sealrun.ports import ObjectStat, Source, Store
from sealrun.services.access.reading import Reader
from sealrun.services.access.restoring import restore
from sealrun.services.mending.repairing import Repairer
from sealrun.services.mending.scrubbing import Scrubber
from sealrun.services.mending.verifying import Verifier
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher

_CLOCK, _ENTROPY, _REGISTRY = SystemClock(), SystemEntropy(), "0" * 32
_FILES = {**{f"part/{n:03}": b"%03d" % n * 400 * (1 + n % 9) for n in range(300)}, "empty": b""}
_LARGE = bytes(range(256)) * 24 * 1024  # more than one piece, and not a whole number of them
_OTHER = {"copy": _FILES["part/007"], "large": _LARGE[:-77]}


class Originals:
    """`ports.Replica` that has every file."""

    name = "originals"

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:  # noqa: ARG002 - the port's signature
        return BytesSource({**_FILES, **_OTHER}[entry.path])


@pytest.fixture(params=sorted(set(FACTORIES) - SINGLE_WRITER))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with FACTORIES[request.param](tmp_path) as opened:
        yield opened
        opened.close()


@pytest.fixture
def packing(tmp_path: Path) -> Packing:
    """Small files go into packs of about a MiB."""
    return Packing(PackOptions(least=1, size=1 << 20), partial(SpoolStage, str(tmp_path)))


def _publish(store: Store, hints: FakeHints, packing: Packing, files: dict[str, bytes], name: str) -> Published:
    run, sources = a_run(files, name=name, finished_at="2026-01-15T10:00:00Z")
    attempt = AttemptId(f"20260117T150000Z-{_ENTROPY.hex(16)}")
    ticket = AttemptTicket(attempt=attempt, nonce=_ENTROPY.hex(32), created_at="2026-01-17T15:00:00Z", owner="m1")
    return Publisher(store, _REGISTRY, hints, _CLOCK, _ENTROPY, "m1", packing).publish(run, ticket, sources)


def _restored(reader: Reader, ref: str, folder: Path) -> dict[str, bytes]:
    restore(reader, reader.load(reader.resolve(ref)), LocalDestination(folder), sealed=False)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Rotten:
    """A store in which one byte of one key has flipped. It changes nothing but what is read."""

    def __init__(self, store: Store, key: Key, at: int) -> None:
        self._store = store
        self._key = key
        self._at = at

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        body = self._store.read(key, offset, length)
        inside = key == self._key and offset <= self._at < offset + len(body)
        return flipped(body, self._at - offset) if inside else body


class Short(Rotten):
    """A store in which one key ends early."""

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        body = self._store.read(key, offset, length)
        return body[: max(0, self._at - offset)] if key == self._key else body

    def stat(self, key: Key) -> ObjectStat | None:
        found = self._store.stat(key)
        return found if found is None or key != self._key else ObjectStat(key, self._at, found.modified)


def test_packed_and_large_files_are_restored_and_verified(store: Store, packing: Packing, tmp_path: Path) -> None:
    hints = FakeHints()
    old = _publish(store, hints, packing, _FILES, "old")
    new = _publish(store, hints, packing, _OTHER, "new")
    reader = Reader(store, _CLOCK, _ENTROPY)
    assert _restored(reader, old.ref, tmp_path / "old") == _FILES
    assert _restored(reader, new.ref, tmp_path / "new") == _OTHER
    view = reader.load(reader.resolve(new.ref))
    assert b"".join(reader.chunks(view, view.entry("copy"))) == _OTHER["copy"]
    report = Verifier(reader).everything()
    assert report.damages == ()
    assert report.bytes_read == sum(map(len, {*_FILES.values(), *_OTHER.values()}))
    assert Scrubber(reader, _CLOCK).scrub(0.4, 1.0).report.damages == ()


def test_a_flipped_or_missing_end_of_a_pack_is_repaired(store: Store, packing: Packing, tmp_path: Path) -> None:
    hints = FakeHints()
    old = _publish(store, hints, packing, _FILES, "old")
    new = _publish(store, hints, packing, _OTHER, "new")
    view = Reader(store, _CLOCK, _ENTROPY).load(Reader(store, _CLOCK, _ENTROPY).resolve(old.ref))
    hit = view.objects[view.entry("part/007").sha256]
    begin = hit.offset or 0
    inside = {entry.path for entry in view.manifest.entries if view.objects[entry.sha256].key == hit.key}
    for rotten in (Rotten(store, hit.key, begin), Short(store, hit.key, begin + 1)):
        sick: Store = rotten  # type: ignore[assignment] # a store but for what it reads
        reader = Reader(sick, _CLOCK, _ENTROPY)
        beyond = {path for path in inside if (view.objects[view.entry(path).sha256].offset or 0) >= begin}
        wrong = {"part/007"} if type(rotten) is Rotten else beyond
        expected = {(old.ref, path) for path in wrong} | {(new.ref, "copy")}
        assert {(damage.ref, damage.path) for damage in Verifier(reader).everything().damages} == expected

    sick = Rotten(store, hit.key, begin)  # type: ignore[assignment] # a store but for what it reads
    repairer = Repairer(sick, _REGISTRY, hints, _CLOCK, _ENTROPY, "m1", "somebody", packing=packing)
    plan = repairer.plan(Verifier(Reader(sick, _CLOCK, _ENTROPY), copies=True).everything(), [Originals()])
    assert plan.upload == len(_FILES["part/007"])
    done = repairer.execute(plan, [Originals()])
    assert (done.remaining, {run.ref for run in done.repaired}) == ((), {old.ref, new.ref})
    reader = Reader(sick, _CLOCK, _ENTROPY)
    assert Verifier(reader).everything().damages == ()
    assert _restored(reader, old.ref, tmp_path / "old") == _FILES
    assert _restored(reader, new.ref, tmp_path / "new") == _OTHER


def test_a_lost_pack_is_found_and_repaired(store: Store, packing: Packing, tmp_path: Path) -> None:
    hints = FakeHints()
    old = _publish(store, hints, packing, _FILES, "old")
    reader = Reader(store, _CLOCK, _ENTROPY)
    lost = next(iter(store.list(PACKS))).key
    assert open_remover(store).delete([lost]) == {}
    found = Verifier(reader).everything()
    assert {damage.kind for damage in found.damages} == {"missing"}
    repairer = Repairer(store, _REGISTRY, hints, _CLOCK, _ENTROPY, "m1", "somebody", packing=packing)
    done = repairer.execute(repairer.plan(found, [Originals()]), [Originals()])
    assert done.remaining == ()
    assert Verifier(reader).everything().damages == ()
    assert _restored(reader, old.ref, tmp_path / "old") == _FILES
    assert next(iter(store.list(OBJECTS)), None) is None
