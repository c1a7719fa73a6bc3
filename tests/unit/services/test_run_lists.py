"""Lists of runs: what is shown, and that a registry with very many is not read again for every page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.builders.crowds import a_crowded_registry, a_row
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.stores.metering_store import MeteredStore
from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.telling.metering import ProcessMeters
from sealrun.domain.address import base_log, dropped_key, generation_key, pending_key
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.oversight.board import RunQuestion
from sealrun.domain.oversight.metering import REQUESTS, requests_of
from sealrun.domain.registry.indexing import Dropped
from sealrun.ports import Store
from sealrun.services.access.reading import Reader
from sealrun.services.index.indexing import Index
from sealrun.services.oversight.run_lists import RunLists

MANY = 50_000


class Lists:
    """Lists over a store whose requests are counted, by a clock that is moved by hand."""

    def __init__(self, store: Store) -> None:
        self.clock = FakeClock()
        self._meters = ProcessMeters()
        counted = MeteredStore(store, self._meters, "main")
        self.lists = RunLists(Reader(counted, self.clock, FakeEntropy(1)), self.clock)

    def page(self, **asked: object) -> tuple[list[str], int]:
        """Run ids of a page, and how many there are; some time later than before."""
        self.clock.sleep(100.0)
        found = self.lists.page(msgspec.convert({"registry": "main", **asked}, RunQuestion))
        return [row.run_id for _, row in found.rows], found.total

    def requests_of(self, work: Callable[[], object]) -> dict[str, int]:
        """What is asked of the store while `work` is done."""
        before = requests_of(self._meters.totals(REQUESTS), "main")
        work()
        after = requests_of(self._meters.totals(REQUESTS), "main")
        return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> PosixStore:
    return a_crowded_registry(tmp_path_factory.mktemp("crowd") / "registry", MANY, 5, waiting=3)


@pytest.fixture
def few(tmp_path: Path) -> tuple[Lists, PosixStore]:
    store = a_crowded_registry(tmp_path / "registry", 10, 1, waiting=2)
    return Lists(store), store


def test_fifty_thousand_runs_are_read_once_and_then_only_looked_at(crowd: PosixStore) -> None:
    lists = Lists(crowd)
    assert lists.requests_of(lists.page) == {"list": 10, "list_folders": 1, "read": 20}
    (_, total) = lists.page()
    assert total == MANY
    for asked in (
        {},
        {"page": 1000},
        {"status": "failed", "search": "RUN-04"},
        {"tag": "nightly", "page": 3},
        {"experiment": "experiment-3"},
    ):
        spent = lists.requests_of(lambda asked=asked: lists.page(**asked))  # type: ignore[misc]
        assert spent == {"list": 2 if "experiment" in asked else 10, "list_folders": 1}, asked


def test_within_two_seconds_nothing_is_asked_at_all(crowd: PosixStore) -> None:
    lists = Lists(crowd)
    lists.page()
    assert lists.requests_of(lambda: lists.lists.page(RunQuestion(registry="main", page=7))) == {}


def test_pages_are_the_newest_first_and_hold_every_run_once(crowd: PosixStore) -> None:
    lists = Lists(crowd).lists
    pages = [lists.page(RunQuestion(registry="main", page=number, size=1000)) for number in range(1, 52)]
    rows = [row for page in pages for _, row in page.rows]
    assert len({row.run_id for row in rows}) == len(rows) == MANY
    assert rows == sorted(rows, key=lambda row: row.order, reverse=True)
    assert pages[0].statuses == ["failed", "partial", "success"]
    nightly = lists.page(RunQuestion(registry="main", tag="nightly", status="success", search="-0490"))
    assert nightly.total == sum(n % 7 == 0 and n % 5 < 3 and f"-{n:06d}".find("-0490") >= 0 for n in range(MANY))


def test_one_new_run_costs_one_read(few: tuple[Lists, PosixStore]) -> None:
    lists, store = few
    lists.page()
    row = a_row(99_999, "experiment-0")
    store.create(pending_key("experiment-0", row.attempt), row.encode())
    assert lists.requests_of(lists.page)["read"] == 1
    assert lists.page()[0][0] == row.run_id
    assert "read" not in lists.requests_of(lists.page)


def test_what_is_folded_into_a_new_base_stays_listed(few: tuple[Lists, PosixStore]) -> None:
    lists, store = few
    before = lists.page()
    assert Index(store, lists.clock, FakeEntropy(2), "experiment-0").compact() == 2
    assert lists.page() == before
    assert "read" not in lists.requests_of(lists.page)


def test_a_run_that_was_retired_is_not_listed(few: tuple[Lists, PosixStore]) -> None:
    lists, store = few
    row = a_row(3, "experiment-0")
    assert lists.lists.find("experiment-0", row.run_id) is not None
    dropped = Dropped(
        experiment="experiment-0", run_id=row.run_id, attempt=row.attempt, retired_at="2026-02-01T00:00:00Z", by="x"
    )
    store.create(dropped_key("experiment-0", row.attempt), dropped.encode())
    ids, total = lists.page()
    assert (row.run_id in ids, total) == (False, 9)
    assert lists.lists.find("experiment-0", row.run_id) is None


def test_of_a_run_that_was_sealed_twice_the_last_attempt_is_listed(few: tuple[Lists, PosixStore]) -> None:
    lists, store = few
    later = msgspec.structs.replace(a_row(3, "experiment-0"), attempt="20260301T000000Z-ffffffffffffffff", size=777)
    store.create(pending_key("experiment-0", later.attempt), later.encode())
    found = lists.lists.find("experiment-0", later.run_id)
    assert found is not None
    assert (found.size, lists.page()[1]) == (777, 10)


def test_an_experiment_that_is_gone_takes_its_runs_along(few: tuple[Lists, PosixStore], tmp_path: Path) -> None:
    lists, _ = few
    assert lists.page()[1] == 10
    shutil.rmtree(tmp_path / "registry" / "experiments" / "experiment-0")
    assert lists.page() == ([], 0)
    with pytest.raises(NotFoundError):
        lists.page(experiment="experiment-0")


def test_a_base_that_is_none_is_said_to_be_damaged(few: tuple[Lists, PosixStore]) -> None:
    lists, store = few
    store.create(generation_key(base_log("experiment-0"), 2, ".jsonl"), b'{"kind": "row"}\n')
    with pytest.raises(UnsupportedFormatError, match="experiment-0"):
        lists.page()


@pytest.mark.parametrize("asked", [{"page": 0}, {"size": 0}, {"size": 1001}])
def test_a_page_that_is_none_is_refused(few: tuple[Lists, PosixStore], asked: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        few[0].page(**asked)
