"""What a run costs in memory for who goes through all of an experiment: of a hundred thousand, each KiB is 100 MiB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.builders.memory import SOME, peak, per_file
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.unit.domain.test_index_rows import rows_up_to

from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.shelving import FileShelf
from sealrun.domain.address import base_log, experiment_manifest_key, generation_key
from sealrun.domain.curation.tabulating import arrange
from sealrun.domain.registry.indexing import Rows
from sealrun.domain.registry.pointing import PointerName, Target
from sealrun.domain.shelves import use_shelves
from sealrun.services.access.reading import Reader
from sealrun.services.index.indexing import Index
from sealrun.services.index.pointers import Pointers
from sealrun.services.mending.comparing import compare_index, end_of_log


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep little in memory, and have a place for the rest, as every command has."""
    monkeypatch.setattr("sealrun.domain.shelves._NEAR", 1)
    monkeypatch.setattr("sealrun.services.index.bases._PIECE", 64 << 10)
    monkeypatch.setattr("sealrun.services.index.bases._IN_LINES", 16 << 10)
    use_shelves(lambda: FileShelf(str(tmp_path)))
    yield
    use_shelves(None)


def a_store(folder: Path, runs: int) -> PosixStore:
    """A registry with a base of so many rows."""
    store = PosixStore(folder / f"store{len(list(folder.iterdir()))}", make=True)
    store.create(generation_key(base_log("train"), 1, ".jsonl"), Rows.of(rows_up_to(runs)).base())
    return store


def reader_of(store: PosixStore) -> Reader:
    return Reader(store, FakeClock(), FakeEntropy())


def test_of_an_index_nothing_stays_in_memory(tmp_path: Path) -> None:
    def go_through(runs: int) -> Callable[[], object]:
        reader = reader_of(a_store(tmp_path, runs))

        def act() -> object:
            rows = reader.runs("train")
            assert len(rows) == runs
            assert sum(1 for _ in arrange((row.to_json() for row in rows), ())) == runs
            return rows

        return act

    assert per_file(go_through) < 10


def test_of_all_experiments_nothing_stays_in_memory(tmp_path: Path) -> None:
    def go_through(runs: int) -> Callable[[], object]:
        return reader_of(a_store(tmp_path, runs)).runs

    assert per_file(go_through) < 10


def test_who_compares_an_index_with_its_runs_holds_their_names(tmp_path: Path) -> None:
    def compare(runs: int) -> Callable[[], object]:
        reader = reader_of(a_store(tmp_path, runs))
        sealed = {row.run_id for row in rows_up_to(runs)}

        def act() -> object:
            assert not list(compare_index(reader, "train", sealed))
            return None

        return act

    assert per_file(compare) < 80


def test_who_folds_rows_holds_those_that_wait(tmp_path: Path) -> None:
    def fold(runs: int) -> int:
        new = runs // 15
        store = a_store(tmp_path, runs - new)
        index = Index(store, FakeClock(), FakeEntropy(), "train")
        for row in rows_up_to(runs)[-new:]:
            index.add(row)
        held = peak(index.compact)
        assert list(index.rows()) == rows_up_to(runs)
        base = generation_key(base_log("train"), 2, ".jsonl")
        assert store.read(base) == store.read(experiment_manifest_key("train")) == bytes(index.rows().base())
        return held

    fold(300)  # caches that are filled once do not count
    assert (fold(3 * SOME) - fold(SOME)) / (2 * SOME) < 250


def test_of_a_pointer_s_log_the_newest_generation_is_kept(tmp_path: Path) -> None:
    best = PointerName.of_experiment("train", "best")

    def walk(moves: int) -> Callable[[], object]:
        store = a_store(tmp_path, 1)
        pointers = Pointers(store, FakeClock(), FakeEntropy(), by="ann")
        for row in rows_up_to(moves):
            target = Target(
                experiment="train",
                run_id=row.run_id,
                attempt=row.attempt,
                root_sha256=row.root_sha256,
                finished_at=row.finished_at,
            )
            pointers.propose(best, target, "")
        reader = reader_of(store)
        return lambda: end_of_log(reader, best)

    assert per_file(lambda number: walk(number // 10)) < 20
