"""Blocks of several threads that are committed together, and what each of them may rely on."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf
from pathlib import Path

import pytest
from tests.builders.runs import a_run
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.journal import JOURNAL_FILE, open_journal
from sealrun.adapters.journal.file import JournalFile
from sealrun.domain.errors import SealrunError

THREADS = 12


class FairLock:
    """A reentrant lock that serves threads in the order in which they came, which the interpreter's own does not."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[int] = []
        self._owner: int | None = None
        self._depth = 0

    def queue(self) -> int:
        with self._changed:
            return len(self._waiting)

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002 - the signature of a lock
        me = threading.get_ident()
        with self._changed:
            if self._owner != me:
                if not blocking and (self._owner is not None or self._waiting):
                    return False
                self._waiting.append(me)
                self._changed.wait_for(lambda: self._owner is None and self._waiting[0] == me)
                self._owner = self._waiting.pop(0)
            self._depth += 1
            return True

    def release(self) -> None:
        with self._changed:
            self._depth -= 1
            if self._depth == 0:
                self._owner = None
                self._changed.notify_all()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_error: object) -> None:
        self.release()


class Watched:
    """A journal file, and what its writing connection was told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
        self.file = JournalFile(self.path)
        self.lock = FairLock()
        self.file._lock = self.lock  # type: ignore[assignment] # it is used as one
        self.told: list[str] = []
        self.file._connection.set_trace_callback(self.told.append)

    def put(self, key: str, *, lasting: bool = True) -> None:
        with self.file.write(lasting=lasting) as connection:
            connection.execute("INSERT INTO facts VALUES (?, '1')", (key,))

    def commits(self) -> int:
        return self.told.count("COMMIT")

    def kept(self) -> list[str]:
        """What another process sees."""
        connection = sqlite3.connect(self.path)
        try:
            return [key for (key,) in connection.execute("SELECT key FROM facts ORDER BY key")]
        finally:
            connection.close()

    def together(self, *works: Callable[[], object]) -> list[BaseException | None]:
        """Let all of `works` come while somebody is at it, so that they share a commit; return what each raised."""
        with ThreadPoolExecutor(len(works)) as pool:
            with self.lock:
                futures: list[Future[object]] = []
                for number, work in enumerate(works, start=1):  # one after the other: they are served in this order
                    futures.append(pool.submit(work))
                    while self.lock.queue() < number:
                        time.sleep(0.001)
            return [future.exception(30) for future in futures]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.file.close()


def test_those_who_come_at_once_share_a_commit_and_all_of_it_is_there(watched: Watched) -> None:
    keys = [f"k{number:02d}" for number in range(THREADS)]
    assert watched.together(*(lambda key=key: watched.put(key) for key in keys)) == [None] * THREADS
    assert watched.commits() == 1
    assert watched.kept() == keys


def test_whoever_is_alone_commits_at_once(watched: Watched) -> None:
    for number in range(3):
        watched.put(f"k{number}")
        assert watched.kept() == [f"k{other}" for other in range(number + 1)]
    assert watched.commits() == 3


def test_nobody_is_told_before_the_commit(watched: Watched) -> None:
    seen: list[list[str]] = []

    def put(key: str) -> None:
        watched.put(key)
        seen.append([key, *watched.kept()])

    watched.together(*(lambda key=key: put(key) for key in "abcdef"))
    assert len(seen) == 6
    assert all(key in kept for key, *kept in seen)


def test_a_block_that_raises_leaves_no_trace_and_the_others_stay(watched: Watched) -> None:
    def half() -> None:
        with watched.file.write() as connection:
            connection.execute("INSERT INTO facts VALUES ('half', '1')")
            raise ZeroDivisionError

    errors = watched.together(lambda: watched.put("a"), half, lambda: watched.put("b"), half)
    assert [type(error) for error in errors] == [type(None), ZeroDivisionError, type(None), ZeroDivisionError]
    assert watched.kept() == ["a", "b"]


def test_a_commit_that_fails_fails_everybody_in_it_and_nobody_after_it(watched: Watched) -> None:
    def leads_nowhere() -> None:
        with watched.file.write() as connection:
            connection.execute("PRAGMA defer_foreign_keys = 1")  # is looked at by the commit
            connection.execute(
                "INSERT INTO deliveries (sealed, registry, state, tries, due) VALUES (9, 'r', 'q', 0, 0)"
            )

    errors = watched.together(lambda: watched.put("a"), leads_nowhere, lambda: watched.put("b"))
    assert all(isinstance(error, SealrunError) for error in errors)
    assert watched.kept() == []
    watched.put("c")
    assert watched.kept() == ["c"]


def test_what_ends_the_whole_transaction_fails_everybody_in_it(watched: Watched) -> None:
    def end_it() -> None:
        with watched.file.write() as connection:
            connection.execute("ROLLBACK")  # as SQLite does by itself when the disk is full
            raise sqlite3.OperationalError("disk I/O error")

    errors = watched.together(lambda: watched.put("a"), end_it, lambda: watched.put("b"))
    assert [isinstance(error, SealrunError) for error in errors] == [True, True, False]
    assert watched.kept() == ["b"]


def test_readers_see_only_what_is_committed_and_do_not_wait(watched: Watched) -> None:
    watched.put("before")
    inside, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        with watched.file.write() as connection:
            connection.execute("INSERT INTO facts VALUES ('slow', '1')")
            inside.set()
            assert may_end.wait(120)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(slow)
        assert inside.wait(120)
        assert watched.file.rows("SELECT key FROM facts") == [("before",)]
        may_end.set()
        assert writing.exception(30) is None
    assert watched.file.rows("SELECT key FROM facts ORDER BY key") == [("before",), ("slow",)]


def test_what_need_not_last_costs_no_sync_and_never_weakens_what_must(watched: Watched) -> None:
    def level() -> object:
        return watched.file._connection.execute("PRAGMA synchronous").fetchone()[0]

    watched.put("a", lasting=False)
    assert level() == 1  # no sync at the commit
    assert watched.kept() == ["a"]
    watched.put("b")
    assert level() == 2
    watched.together(*(lambda n=n: watched.put(f"c{n}", lasting=bool(n % 2)) for n in range(6)))
    begins = [number for number, text in enumerate(watched.told) if text == "BEGIN IMMEDIATE"]
    for begin, end in zip(begins, [*begins[1:], len(watched.told)], strict=True):
        levels = [text for text in watched.told[:begin] if text.startswith("PRAGMA synchronous =")]
        lasting = any("'b'" in text or "'c1'" in text or "'c3'" in text for text in watched.told[begin:end])
        assert not lasting or not levels or levels[-1].endswith("FULL")


def test_closing_commits_what_others_left_to_be_committed(watched: Watched) -> None:
    def close() -> None:
        watched.file._enter()
        try:
            watched.file.close()
        finally:
            watched.file._lock.release()

    errors = watched.together(lambda: watched.put("a"), close)
    assert errors == [None, None]
    assert watched.kept() == ["a"]


def test_nobody_waits_for_ever_for_somebody_who_came_and_gave_up(watched: Watched) -> None:
    def come_and_go() -> None:
        watched.file._enter()
        watched.file._lock.release()

    assert watched.together(lambda: watched.put("a"), come_and_go) == [None, None]
    assert watched.kept() == ["a"]


def test_a_storm_of_writers_and_readers_loses_nothing(watched: Watched) -> None:
    def work(number: int) -> None:
        for turn in range(20):
            watched.put(f"{number:02d}-{turn:02d}", lasting=turn % 3 > 0)
            assert watched.file.rows("SELECT 1 FROM facts WHERE key = ?", (f"{number:02d}-{turn:02d}",)) == [(1,)]

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [None] * THREADS
    assert len(watched.kept()) == THREADS * 20


def test_a_delivery_is_claimed_by_one_thread_at_a_time_however_often_it_is_given_back(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "state", FakeClock(), FakeEntropy())
    journal.deliveries.accept(a_run()[0], ["main"])
    holders: list[int] = []
    clashes: list[int] = []

    def take_and_give_back(number: int) -> None:
        for _ in range(60):
            claimed = journal.deliveries.claim("main", inf)
            if claimed is None:
                continue
            clashes.extend(holders)
            holders.append(number)
            time.sleep(0.0005)
            holders.remove(number)
            journal.deliveries.postpone(claimed.id, 0.0, "again")

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(take_and_give_back, range(6))) == [None] * 6
    journal.close()
    assert clashes == []
