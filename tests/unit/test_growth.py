"""What a registry has seen before costs nothing: publish, resolve, show and get ask as much of the store as ever.

Listings are counted by pages of few keys, so that a thousand runs show what takes a million elsewhere.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from benchmarks.counting import CountingStore
from benchmarks.growing import NAME, Shape, Written, grow
from benchmarks.places import Directory, InMemory
from benchmarks.sealed_records import EXPERIMENT, OWNER
from tests.builders.runs import a_run
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.hints import FakeHints

from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.adapters.stores.memory import MemoryStore
from sealrun.adapters.stores.posix import PosixStore
from sealrun.domain.address import attempt_id
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.ports import Store
from sealrun.services.access.reading import Reader
from sealrun.services.access.restoring import restore
from sealrun.services.index.indexing import Index
from sealrun.services.publication.publishing import Publisher

RUNS = (10, 100, 1_000)
_PAGE = 5
_LATER = "2026-06-01T00:00:00Z"

Act = Callable[[Store, Written, Path], object]


class Grown:
    """Registries of so many runs, each made once. Those in memory are a copy for each test."""

    @functools.cache  # noqa: B019 - lives as long as the tests of this page
    def bodies(self, runs: int) -> tuple[dict[str, bytes], Written]:
        """Every key of a registry, and the run in the middle of its history."""
        held = MemoryStore(f"grown-{runs}")
        written = list(grow(InMemory(held), Shape(runs=runs, files=3)))
        bodies: dict[str, bytes] = {found.key: held.read(found.key) for found in held.list("")}
        return bodies, written[len(written) // 2]


GROWN = Grown()


@pytest.fixture
def make() -> Callable[[int], tuple[CountingStore, Written]]:
    """Makes a registry of so many runs whose store counts."""
    made = Counter[int]()

    def one(runs: int) -> tuple[CountingStore, Written]:
        made[runs] += 1
        store = MemoryStore(f"growth-{runs}-{made[runs]}-{id(made)}")
        bodies, middle = GROWN.bodies(runs)
        place = InMemory(store)
        for key, body in bodies.items():
            place.write(key, body)
        return CountingStore(store, _PAGE), middle

    return one


def publish(store: Store, _middle: Written, _folder: Path) -> object:
    run, sources = a_run({"a.txt": b"new", "b.txt": b"too"}, experiment=EXPERIMENT, finished_at=_LATER)
    ticket = AttemptTicket(
        attempt=attempt_id("20260601T000000Z", "f" * 16), nonce="e" * 32, created_at=_LATER, owner=OWNER
    )
    publisher = Publisher(store, OWNER, FakeHints(), FakeClock(), FakeEntropy(), by=OWNER)
    return publisher.publish(run, ticket, sources)


def publish_under_a_name(store: Store, _middle: Written, _folder: Path) -> object:
    run, sources = a_run({"a.txt": b"new"}, experiment=EXPERIMENT, finished_at=_LATER, publish_names={"a.txt": NAME})
    ticket = AttemptTicket(
        attempt=attempt_id("20260601T000000Z", "f" * 16), nonce="e" * 32, created_at=_LATER, owner=OWNER
    )
    publisher = Publisher(store, OWNER, FakeHints(), FakeClock(), FakeEntropy(), by=OWNER)
    return publisher.publish(run, ticket, sources)


def resolve_a_pointer(store: Store, _middle: Written, _folder: Path) -> object:
    return _reader(store).resolve(f"{EXPERIMENT}@latest")


def resolve_a_name(store: Store, _middle: Written, _folder: Path) -> object:
    return _reader(store).resolve(NAME)


def resolve_a_run(store: Store, middle: Written, _folder: Path) -> object:
    return _reader(store).resolve(f"{EXPERIMENT}/{middle.row.run_id}")


def show(store: Store, middle: Written, _folder: Path) -> object:
    reader = _reader(store)
    return reader.load(reader.resolve(f"{EXPERIMENT}/{middle.row.run_id}"))


def get(store: Store, middle: Written, folder: Path) -> object:
    reader = _reader(store)
    view = reader.load(reader.resolve(f"{EXPERIMENT}/{middle.row.run_id}"))
    restore(reader, view, LocalDestination(folder / f"got-{middle.row.run_id}"), sealed=False)
    return view


READS: list[Act] = [resolve_a_pointer, resolve_a_name, resolve_a_run, show, get]
WRITES: list[Act] = [publish, publish_under_a_name]


@pytest.mark.parametrize("act", [*READS, *WRITES])
def test_the_store_is_asked_as_much_however_many_runs_there_are(
    act: Act, make: Callable[[int], tuple[CountingStore, Written]], tmp_path: Path
) -> None:
    asked = {}
    for runs in RUNS:
        store, middle = make(runs)
        act(store, middle, tmp_path)
        asked[runs] = dict(store.prefixes)

    assert asked[RUNS[0]] == asked[RUNS[1]] == asked[RUNS[2]]
    assert sum(asked[RUNS[0]].values()) > 0


@pytest.mark.parametrize("act", WRITES)
def test_a_publication_lists_the_same_whatever_collections_left(
    act: Act, make: Callable[[int], tuple[CountingStore, Written]], tmp_path: Path
) -> None:
    asked = {}
    for runs in RUNS:
        store, middle = make(runs)
        act(store, middle, tmp_path)
        asked[runs] = dict(store.prefixes)

    assert asked[RUNS[0]] == asked[RUNS[1]] == asked[RUNS[2]]


@pytest.mark.parametrize(
    "act",
    [
        resolve_a_run,
        show,
        get,
        publish,
        resolve_a_pointer,
        resolve_a_name,
    ],
)
def test_a_directory_looks_at_as_many_names_however_many_runs_there_are(
    act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Counter[int]()
    for runs in RUNS:
        root = tmp_path / str(runs)
        root.mkdir()
        written = list(grow(Directory(root), Shape(runs=runs, files=3)))
        store, plain = PosixStore(str(root)), os.scandir

        def counted(
            path: str,
            runs: int = runs,
            plain: Callable[[str], AbstractContextManager[Iterator[os.DirEntry[str]]]] = plain,
        ) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
            with plain(path) as entries:
                names = list(entries)
            seen[runs] += len(names)
            return nullcontext(iter(names))

        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", counted)
            act(store, written[len(written) // 2], tmp_path)
        store.close()

    assert seen[RUNS[0]] == seen[RUNS[1]] == seen[RUNS[2]]


def test_a_compaction_that_is_not_worth_it_asks_the_same_however_many_rows_wait(
    make: Callable[[int], tuple[CountingStore, Written]],
) -> None:
    asked = {}
    for runs in RUNS[1:]:
        store, _ = make(runs)
        Index(store, FakeClock(), FakeEntropy(), EXPERIMENT).compact()
        asked[runs] = store.counts["get"]

    assert asked[RUNS[1]] == asked[RUNS[2]]


def _reader(store: Store) -> Reader:
    return Reader(store, FakeClock(), FakeEntropy())
