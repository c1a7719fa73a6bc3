"""What pages ask of the journal: counts and pages that agree with everything there is, by SQLite and by the fake."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders.runs import a_run
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.journal import FakeJournal

from sealrun.adapters.journal import open_journal
from sealrun.adapters.journal.opening import JOURNAL_FILE
from sealrun.adapters.journal.schema import APPLICATION_ID, MIGRATIONS
from sealrun.ports import FolderRecord, FolderState, Journal

STATES: tuple[FolderState, ...] = ("settling", "sealed", "rejected", "stale")


@pytest.fixture(params=["sqlite", "fake"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made: Any = FakeJournal() if request.param == "fake" else open_journal(tmp_path, FakeClock(), FakeEntropy())
    yield made
    made.close()


def test_candidates_are_counted_and_paged_by_state(journal: Journal) -> None:
    for number in range(20):
        state = STATES[number % 4]
        record = FolderRecord(watch="w", path=f"/d/{number:02d}", state=state, reason="", since=float(number // 2))
        journal.folders.set(record)
    journal.folders.set(FolderRecord(watch="other", path="/o", state="gone", reason="", since=0.0))
    assert dict(journal.folders.counts("w")) == dict.fromkeys(STATES, 5)
    assert dict(journal.folders.counts("nobody")) == {}
    wanted = [record for record in journal.folders.all("w") if record.state in {"settling", "stale"}]
    wanted.sort(key=lambda record: (-record.since, record.path))
    assert journal.folders.page("w", {"settling", "stale"}) == wanted
    pages = [journal.folders.page("w", {"settling", "stale"}, begin, 3) for begin in range(0, 12, 3)]
    assert [record for page in pages for record in page] == wanted
    assert journal.folders.page("w", set()) == []


def test_deliveries_are_counted_and_what_waits_is_paged(journal: Journal) -> None:
    for number in range(6):
        run, _ = a_run({"a": b"x" * (number + 1)}, name=f"r{number}")
        journal.deliveries.accept(run, ["main", "cold"] if number % 2 else ["main"])
    late = journal.deliveries.claim("main", 10.0**10)
    assert late is not None
    journal.deliveries.postpone(late.id, 5.0 * 10**9, "down")
    parked = journal.deliveries.claim("main", 10.0**10, 3)
    assert parked is not None
    journal.deliveries.park(parked.id, "changed")
    found = Counter({(each.registry, each.state): each.count for each in journal.deliveries.counts()})
    assert found == Counter((each.registry, each.state) for each in journal.deliveries.all())
    waiting = journal.deliveries.waiting("main")
    assert [each.sealed for each in waiting] == [2, 4, 5, 6, 1, 3]
    assert [each.state for each in waiting] == ["queued"] * 5 + ["parked"]
    assert journal.deliveries.waiting("main", 1, 2) == waiting[1:3]
    assert journal.deliveries.last_error("main") == "changed"
    assert journal.deliveries.last_error("cold") is None


def test_what_waits_is_known_by_its_size_also_when_it_was_accepted_again(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, FakeClock(), FakeEntropy())
    run, _ = a_run({"a": b"x" * 1000})
    for _ in range(2):
        journal.deliveries.accept(run, ["main"])
    assert [(each.count, each.size) for each in journal.deliveries.counts()] == [(1, 1000)]
    journal.close()


def test_runs_of_an_older_version_count_no_bytes(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / JOURNAL_FILE, isolation_level=None)
    for statements in MIGRATIONS[:4]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 4")
    connection.execute("INSERT INTO sealed_runs (identity, folder, accepted) VALUES (x'00', '/r', 1.0)")
    connection.execute(
        "INSERT INTO deliveries (sealed, registry, state, tries, due) VALUES (1, 'main', 'queued', 0, 1)"
    )
    connection.close()
    journal = open_journal(tmp_path, FakeClock(), FakeEntropy())
    assert [(each.count, each.size) for each in journal.deliveries.counts()] == [(1, 0)]
    journal.close()


@given(
    st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 3)), max_size=12), st.integers(0, 5), st.integers(1, 5)
)
def test_the_fake_pages_like_a_list(made: list[tuple[FolderState, int]], begin: int, size: int) -> None:
    journal = FakeJournal()
    for number, (state, since) in enumerate(made):
        journal.folders.set(FolderRecord(watch="w", path=f"{number}", state=state, reason="", since=since))
    everything = journal.folders.page("w", set(STATES))
    assert journal.folders.page("w", set(STATES), begin, size) == everything[begin : begin + size]
    assert sum(journal.folders.counts("w").values()) == len(everything)
