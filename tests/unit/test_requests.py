"""The formulas of `benchmarks.requests` against a store that counts: equal, for every point that is measured here."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.counting import CountingRemover, CountingStore
from benchmarks.growing import NAME, Shape, Written, grow
from benchmarks.places import InMemory
from benchmarks.requests import (
    Extent,
    History,
    Requests,
    Reused,
    packs_of,
    pages,
    reads_of_packed,
    requests_of_cat,
    requests_of_get,
    requests_of_list,
    requests_of_plan,
    requests_of_publish,
    requests_of_publish_again,
    requests_of_recovery,
    requests_of_resolve_pointer,
    requests_of_resolve_run,
    requests_of_show,
    requests_of_sweep,
    requests_of_verify,
)
from benchmarks.sealed_records import EXPERIMENT, OWNER
from tests.builders.runs import Sources, a_run
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.hints import FakeHints
from tests.fakes.record_cache import FakeCache

from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.adapters.stores.memory import MemoryRemover, MemoryStore
from sealrun.adapters.stores.spooling import SpoolStage
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.verification import verify
from sealrun.domain.address import EXPERIMENTS, NAMES, QUARANTINE, attempt_id, retired_key
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import AttemptTicket, Retired
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.domain.upkeep.damage import VerifyReport, Window
from sealrun.services.access.reading import Reader
from sealrun.services.access.restoring import restore
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.recovering import Recovery

_LATER = "2026-06-01T00:00:00Z"
_RUNS = 40
_SMALL_PACK = 1 << 20


class Bench:
    """A registry of some runs in memory, whose store counts, and one machine that publishes to it."""

    def __init__(self, name: str, runs: int = _RUNS, files: int = 3, packing: Packing | None = None) -> None:
        self.held = MemoryStore(name, parallel=1)
        self.written: list[Written] = list(grow(InMemory(self.held), Shape(runs, files)))
        self.hints = FakeHints()
        self.store = CountingStore(self.held)
        self._packing = packing
        self._attempts = 0

    @property
    def history(self) -> History:
        """What its collections left."""
        return History(quarantined=sum(1 for _ in self.held.list(QUARANTINE)))

    @property
    def pending(self) -> int:
        """Rows that no base holds."""
        return sum(1 for _ in self.held.list(f"experiments/{EXPERIMENT}/index/pending/"))

    def extent(self, known: Extent) -> Extent:
        """Add how many keys there are below experiments and names."""
        below = {f"below_{at[:-1]}": sum(1 for _ in self.held.list(at)) for at in (EXPERIMENTS, NAMES)}
        return known._replace(**below)

    def publish(self, run: SealedRun, sources: Sources) -> Published:
        """Publish as a new attempt."""
        self._attempts += 1
        ticket = AttemptTicket(
            attempt=attempt_id("20260601T000000Z", f"{self._attempts:016x}"),
            nonce=f"{self._attempts:032x}",
            created_at=_LATER,
            owner=OWNER,
            fresh=True,
        )
        publisher = Publisher(
            self.store, OWNER, self.hints, FakeClock(), FakeEntropy(), by=OWNER, packing=self._packing
        )
        return publisher.publish(run, ticket, sources)

    def reader(self) -> Reader:
        """Reads through the store that counts."""
        return Reader(self.store, FakeClock(), FakeEntropy())

    def asked(self) -> Requests:
        """What was asked since the last time."""
        counts = Requests(**{kind: self.store.counts[kind] for kind in Requests._fields})
        self.store.counts.clear()
        return counts


def verify_all(bench: Bench) -> VerifyReport:
    """Verify the registry as the command does."""
    spec = RegistrySpec(name="main", url=bench.held.url)
    return verify(spec, bench.reader(), None, None, read_bytes=True, window=Window(), advance=None, engine=None)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.node.name)


def new_run(files: int, name: str = "new", **facts: object) -> tuple[SealedRun, Sources]:
    bodies = {f"{name}/{i}": f"{name} {i}".encode() for i in range(files)}
    return a_run(bodies, experiment=EXPERIMENT, name=name, finished_at=_LATER, **facts)  # type: ignore[arg-type] # facts of a run


@pytest.mark.parametrize("files", [0, 1, 7, 300])
def test_a_new_run_asks_for_its_files_and_a_fixed_number_more(bench: Bench, files: int) -> None:
    bench.publish(*new_run(files))

    assert bench.asked() == requests_of_publish(files, history=bench.history)


@pytest.mark.parametrize("names", [1, 2])
def test_each_published_name_asks_for_as_much_again(bench: Bench, names: int) -> None:
    published = [NAME, "other.bin"][:names]
    bench.publish(*new_run(3, "first", publish_names={f"first/{i}": name for i, name in enumerate(published)}))
    bench.asked()
    bench.publish(*new_run(3, "zweit", publish_names={f"zweit/{i}": name for i, name in enumerate(published)}))

    assert bench.asked() == requests_of_publish(3, names=names, history=bench.history)


def test_the_same_run_again_asks_for_nothing_but_its_records(bench: Bench) -> None:
    bench.publish(*new_run(300))
    bench.asked()
    bench.publish(*new_run(300))

    assert bench.asked() == requests_of_publish_again()


@pytest.mark.parametrize("known", [2, 50])
def test_what_is_there_already_is_asked_about_by_attempt_or_by_key(bench: Bench, known: int) -> None:
    bench.publish(*new_run(known, "known"))
    bench.asked()
    bodies = {f"known/{i}": f"known {i}".encode() for i in range(known)} | {"other": b"other"}
    bench.publish(*a_run(bodies, experiment=EXPERIMENT, name="grown", finished_at="2026-06-02T00:00:00Z"))

    assert bench.asked() == requests_of_publish(1, reused=Reused(attempts=1, keys=known), history=bench.history)


@pytest.mark.parametrize("files", [40, 2_500])
def test_packed_files_ask_for_their_packs(request: pytest.FixtureRequest, tmp_path: Path, files: int) -> None:
    packing = Packing(PackOptions(size=_SMALL_PACK, least=2), lambda: SpoolStage(str(tmp_path)))
    bench = Bench(request.node.name, packing=packing)
    bodies = {f"{i}": f"{i} ".encode() * 200 for i in range(files)}
    bench.publish(*a_run(bodies, experiment=EXPERIMENT, name="packed", finished_at=_LATER))

    packs = packs_of(files, sum(map(len, bodies.values())), _SMALL_PACK)
    assert packs == (1 if files < 100 else packs)
    assert bench.asked() == requests_of_publish(0, packs, history=bench.history)


def test_resolving_and_showing_ask_for_a_fixed_number(bench: Bench) -> None:
    ref = f"{EXPERIMENT}/{bench.written[5].row.run_id}"
    reader = bench.reader()

    reader.resolve(f"{EXPERIMENT}@latest")
    assert bench.asked() == requests_of_resolve_pointer()
    reader.resolve(NAME)
    assert bench.asked() == requests_of_resolve_pointer()
    reader.resolve(ref)
    assert bench.asked() == requests_of_resolve_run()
    reader.load(reader.resolve(ref))
    assert bench.asked() == requests_of_show()


def test_one_file_takes_two_records_beside_the_pointer_and_its_bytes(bench: Bench) -> None:
    reader = bench.reader()
    target = reader.resolve(f"{EXPERIMENT}@latest")
    path = reader.load(target).manifest.entries[0].path
    bench.asked()

    assert b"".join(reader.chunks_at(reader.resolve(f"{EXPERIMENT}@latest"), path))
    assert bench.asked() == requests_of_cat()


def test_restoring_asks_for_each_object(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    bench = Bench(request.node.name, files=30)
    reader = bench.reader()
    view = reader.load(reader.resolve(f"{EXPERIMENT}/{bench.written[5].row.run_id}"))
    restore(reader, view, LocalDestination(tmp_path / "got"), sealed=False)

    assert bench.asked() == requests_of_get(30)


@pytest.mark.parametrize("files", [40, 2_500])
def test_packed_files_are_restored_and_verified_by_few_reads(
    request: pytest.FixtureRequest, tmp_path: Path, files: int
) -> None:
    packing = Packing(PackOptions(size=_SMALL_PACK * 8, least=2), lambda: SpoolStage(str(tmp_path)))
    bench = Bench(request.node.name, runs=0, packing=packing)
    size = 3_000
    bodies = {f"{i}": f"{i} ".encode().ljust(size, b".") for i in range(files)}
    bench.publish(*a_run(bodies, experiment=EXPERIMENT, name="packed", finished_at=_LATER))
    reads = reads_of_packed(files, size)
    assert reads == (1 if files < 100 else 2)
    restoring = reads_of_packed(files, size, restored=True)
    assert restoring == 1
    bench.asked()

    reader = bench.reader()
    restore(
        reader, reader.load(reader.resolve(f"{EXPERIMENT}@latest")), LocalDestination(tmp_path / "got"), sealed=False
    )
    resolved = requests_of_resolve_pointer().plus(Requests(get=4))
    assert bench.asked() == resolved.plus(Requests(get=restoring))

    assert not verify_all(bench).damages
    extent = bench.extent(Extent(objects=0, packs=1, attempts=1, moves=1, pending=1))
    without_base = Requests(get=-1)
    assert bench.asked() == requests_of_verify(extent, reads).plus(without_base)


@pytest.mark.parametrize("runs", [10, 100])
def test_a_listing_asks_for_each_row_that_waits(request: pytest.FixtureRequest, runs: int) -> None:
    bench = Bench(request.node.name, runs)
    assert len(bench.reader().runs(EXPERIMENT)) == runs

    assert bench.asked() == requests_of_list(bench.pending)


@pytest.mark.parametrize("runs", [10, 1_500])
def test_a_look_for_wrecks_lists_every_attempt(request: pytest.FixtureRequest, runs: int) -> None:
    bench = Bench(request.node.name, runs, files=1)
    assert Recovery(bench.store, FakeClock(), FakeEntropy(), OWNER).plan() == []

    assert bench.asked() == requests_of_recovery(Extent(objects=runs, attempts=runs))


@pytest.mark.parametrize("runs", [10, 400])
def test_verifying_asks_for_every_record_and_every_file(request: pytest.FixtureRequest, runs: int) -> None:
    bench = Bench(request.node.name, runs)
    report = verify_all(bench)
    assert (report.runs, report.objects) == (runs, 3 * runs)

    known = Extent(objects=3 * runs, attempts=runs, pointers=1, names=1, moves=2 * runs, pending=bench.pending)
    extent = bench.extent(known)
    assert (extent.below_experiments < 1000) == (runs < 100)
    assert bench.asked() == requests_of_verify(extent, 3 * runs)


@pytest.mark.parametrize("runs", [20, 400])
def test_a_collection_asks_as_the_formulas_say(request: pytest.FixtureRequest, runs: int) -> None:
    bench = Bench(request.node.name, runs)
    retired = bench.written[: runs // 10]
    for written in retired:
        record = Retired(attempt=written.row.attempt, retired_at=_LATER, by=OWNER, why="old")
        bench.held.put(retired_key(written.row.attempt), record.encode())
    deleted, batch = 3 * len(retired), 40
    records = 2 + len(retired) / runs
    extent = Extent(objects=3 * runs, attempts=runs, records=records, names=1, pending=bench.pending)
    extent = bench.extent(extent._replace(in_base=runs - bench.pending - len(retired)))
    assert (extent.below_experiments < 1000) == (runs < 100)
    history, cache = bench.history, FakeCache()
    clock, policy = FakeClock(), CollectionPolicy(grace_s=0.0, batch=batch)
    remover = CountingRemover(MemoryRemover(bench.held), bench.store)
    collector = Collector(bench.store, remover, clock, FakeEntropy(), OWNER, policy, cache=cache)

    plan = collector.plan()
    assert plan.doomed.objects == deleted
    assert bench.asked() == requests_of_plan(extent, history)
    plan = collector.plan()
    assert plan.doomed.objects == deleted
    assert bench.asked() == requests_of_plan(extent, history, kept=True)
    report = collector.execute(plan)
    assert report.objects == deleted
    swept = requests_of_sweep(extent, deleted, batch=batch)
    tidied = _tidying(len(retired))
    assert bench.asked() == swept.plus(tidied)


def _tidying(retired: int) -> Requests:
    """What is tidied behind each retired run: whether it stands again, asked twice, and its refs; and the litter."""
    return Requests(list=2 * retired + 1, get=retired, head=retired, delete=pages(retired))
