from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.journal import JOURNAL_FILE, SqliteJournal, open_journal
from sealrun.adapters.journal.events import EventRoom
from sealrun.adapters.journal.file import JournalFile
from sealrun.adapters.journal.schema import APPLICATION_ID, MIGRATIONS
from sealrun.domain.address import AttemptId, Digest, object_key, pack_key
from sealrun.domain.errors import ConfigurationError, NoSpaceError, UnavailableError, UnsupportedFormatError
from sealrun.domain.records import sha256
from sealrun.domain.registry.places import PackPlaces, Places
from sealrun.domain.registry.publication import Hint, Stored
from sealrun.ports import FileFacts, FolderRecord

AN_ATTEMPT = AttemptId("20260117T143052Z-0123456789abcdef")
_A_DAY_S = 24 * 3600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def journal(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteJournal]:
    journal = reopened(tmp_path, clock)
    yield journal
    journal.close()


def reopened(tmp_path: Path, clock: FakeClock, seed: int = 0) -> SqliteJournal:
    return open_journal(tmp_path / "state", clock, FakeEntropy(seed))


def digest(text: str) -> Digest:
    return sha256(text.encode())


def hashes(*paths: str) -> list[tuple[str, FileFacts, Digest]]:
    return [
        (path, FileFacts(number, 5, 1_768_660_252_123_456_789, 2, executable=number % 2 == 0), digest(path))
        for number, path in enumerate(paths)
    ]


# ---------------------------------------------------------------- the file


def test_the_state_id_stays_when_the_journal_is_opened_again(tmp_path: Path, clock: FakeClock) -> None:
    first = reopened(tmp_path, clock, seed=1)
    second = reopened(tmp_path, clock, seed=2)
    assert first.state_id == second.state_id
    assert len(first.state_id) == 32


def test_everything_is_there_when_the_journal_is_opened_again(tmp_path: Path, clock: FakeClock) -> None:
    before = reopened(tmp_path, clock)
    before.facts.set_fact("a", {"b": [1, None]})
    before.hashes.remember("/run", hashes("x"))
    before.close()
    after = reopened(tmp_path, clock)
    assert after.facts.fact("a") == {"b": [1, None]}
    assert list(after.hashes.known("/run")) == hashes("x")


def test_many_who_make_the_journal_at_the_same_time_make_one(tmp_path: Path) -> None:
    opening = """
import sys
from pathlib import Path
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.journal import open_journal
print("ready", flush=True)
sys.stdin.readline()
print(open_journal(Path(sys.argv[1]), SystemClock(), SystemEntropy()).state_id)
"""
    with contextlib.ExitStack() as stack:
        openers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", opening, str(tmp_path / "state")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(4)
        ]
        for opener in openers:
            assert opener.stdout is not None
            assert opener.stdout.readline() == "ready\n"
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write("\n")
            opener.stdin.flush()
        answers = {opener.communicate()[0] for opener in openers}
        assert len(answers) == 1
        assert {opener.returncode for opener in openers} == {0}


def test_every_commit_is_forced_to_the_disk(journal: SqliteJournal) -> None:
    assert journal._file.rows("PRAGMA synchronous") == [(2,)]
    assert journal._file.rows("PRAGMA journal_mode") == [("wal",)]
    assert journal._file.rows("PRAGMA foreign_keys") == [(1,)]


def test_a_damaged_journal_is_refused_with_what_to_do_about_it(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / JOURNAL_FILE).write_bytes(b"no database " * 1000)
    with pytest.raises(UnsupportedFormatError, match=r"journal\.sqlite.*damaged.*move the file away.*hashing"):
        reopened(tmp_path, clock)


def test_a_journal_that_is_damaged_inside_is_told_when_it_is_read(tmp_path: Path, clock: FakeClock) -> None:
    journal = reopened(tmp_path, clock)
    for number in range(200):
        journal.facts.set_fact(f"fact-{number}", "x" * 1000)
    journal.close()
    path = tmp_path / "state" / JOURNAL_FILE
    body = bytearray(path.read_bytes())
    body[4096 * 20 :] = b"\xff" * (len(body) - 4096 * 20)
    path.write_bytes(body)
    with pytest.raises(UnsupportedFormatError, match="move the file away"):
        _read_all_facts(reopened(tmp_path, clock))


def _read_all_facts(journal: SqliteJournal) -> None:
    for number in range(200):
        journal.facts.fact(f"fact-{number}")


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    reopened(tmp_path, clock).close()
    with sqlite3.connect(tmp_path / "state" / JOURNAL_FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UnsupportedFormatError, match=r"newer sealrun \(journal version 99"):
        reopened(tmp_path, clock)


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "state").mkdir()
    with sqlite3.connect(tmp_path / "state" / JOURNAL_FILE) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(UnsupportedFormatError, match="another program"):
        reopened(tmp_path, clock)
    with sqlite3.connect(tmp_path / "state" / JOURNAL_FILE) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    connection.close()


def test_a_state_folder_that_cannot_be_made_is_a_matter_of_settings(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigurationError, match="state"):
        reopened(tmp_path, clock)


def test_a_full_disk_is_told_and_leaves_the_journal_as_it_was(journal: SqliteJournal) -> None:
    journal.facts.set_fact("before", 1)
    (pages,) = journal._file.rows("PRAGMA page_count")[0]
    journal._file.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(NoSpaceError, match="no space left for the journal"):
        journal.facts.set_fact("large", "x" * 1_000_000)
    assert journal.facts.fact("large") is None
    journal._file.rows(f"PRAGMA max_page_count = {pages + 1000}")
    journal.facts.set_fact("large", "x" * 1_000_000)
    assert journal.facts.fact("before") == 1


def test_a_transaction_that_raises_leaves_no_trace(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / JOURNAL_FILE)

    def half() -> None:
        with file.write() as connection:
            connection.execute("INSERT INTO facts VALUES ('a', '1')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert file.rows("SELECT * FROM facts") == []
    file.close()


def test_a_closed_journal_says_so(journal: SqliteJournal) -> None:
    journal.close()
    journal.close()
    with pytest.raises(UnavailableError, match="closed"):
        journal.facts.fact("a")


# ---------------------------------------------------------------- hashes


def test_what_is_remembered_of_a_folder_replaces_what_was(journal: SqliteJournal) -> None:
    journal.hashes.remember("/run", hashes("a", "b"))
    journal.hashes.remember("/run", hashes("c"))
    journal.hashes.remember("/other", hashes("d"))
    assert list(journal.hashes.known("/run")) == hashes("c")
    assert list(journal.hashes.known("/never")) == []


def test_ten_thousand_files_are_remembered_exactly(journal: SqliteJournal) -> None:
    many = hashes(*(f"deep/er/file-{number:05d}.bin" for number in range(10_000)))
    journal.hashes.remember("/run", many)
    assert list(journal.hashes.known("/run")) == many


def test_a_folder_whose_name_is_not_utf8_is_remembered(journal: SqliteJournal) -> None:
    journal.hashes.remember("/run-\udcff", hashes("a"))
    assert list(journal.hashes.known("/run-\udcff")) == hashes("a")


def test_nothing_is_kept_of_files_that_are_there_no_more(journal: SqliteJournal) -> None:
    journal.hashes.remember("/run", hashes(*(f"{number:05d}" for number in range(10_000))))
    journal.hashes.remember("/run", hashes("a"))
    assert list(journal.hashes.known("/run")) == hashes("a")


def test_hashes_of_a_folder_that_has_long_been_gone_are_dropped(
    journal: SqliteJournal, clock: FakeClock, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for folder in (str(here), "/gone/for/long"):
        journal.hashes.remember(folder, hashes("a"))
    clock.advance(8 * _A_DAY_S)
    journal.hashes.remember("/gone/since/yesterday", hashes("a"))
    journal.tidy()
    assert list(journal.hashes.known(str(here)))
    assert list(journal.hashes.known("/gone/since/yesterday"))
    assert not list(journal.hashes.known("/gone/for/long"))
    clock.advance(400 * _A_DAY_S)
    journal.tidy()
    assert not list(journal.hashes.known(str(here)))


# ---------------------------------------------------------------- hints


def test_places_in_columns_are_learned_like_those_in_a_dictionary(journal: SqliteJournal) -> None:
    packs = [pack_key(digest(name), AN_ATTEMPT) for name in "pq"]
    held = [{digest(f"{name}{n}"): (n * 100, n) for n in range(300)} for name in "pq"]
    columns = [pack for key, some in zip(packs, held, strict=True) if (pack := PackPlaces.of(key, some)) is not None]
    places = Places({digest("alone"): a_stored("alone")}, columns)
    journal.hints.learn("r1", places, AN_ATTEMPT)
    journal.hints.learn("r2", dict(places), AN_ATTEMPT)
    found = journal.hints.places_of("r1", places)
    assert found == {digest: Hint(stored, AN_ATTEMPT) for digest, stored in places.items()}
    assert found == journal.hints.places_of("r2", places)


def a_stored(letter: str, size: int = 1) -> Stored:
    return Stored(object_key(digest(letter), AN_ATTEMPT), size)


def test_a_hint_is_the_most_recent_place_in_its_registry(journal: SqliteJournal) -> None:
    old, new = a_stored("a"), Stored(pack_key(digest("p"), AN_ATTEMPT), 1, 94)
    journal.hints.learn("r1", {digest("a"): old}, AN_ATTEMPT)
    assert journal.hints.places_of("r1", [digest("a"), digest("b")]) == {digest("a"): Hint(old, AN_ATTEMPT)}
    journal.hints.learn("r1", {digest("a"): new}, None)
    assert journal.hints.places_of("r1", [digest("a")]) == {digest("a"): Hint(new)}
    assert journal.hints.places_of("r2", [digest("a")]) == {}


def test_a_key_that_belongs_to_another_digest_is_remembered_as_it_is(journal: SqliteJournal) -> None:
    journal.hints.learn("r1", {digest("a"): a_stored("b")}, AN_ATTEMPT)
    assert journal.hints.places_of("r1", [digest("a")]) == {digest("a"): Hint(a_stored("b"), AN_ATTEMPT)}


def test_thousands_of_hints_are_learnt_and_asked_for_at_once(journal: SqliteJournal) -> None:
    pack = pack_key(digest("p"), AN_ATTEMPT)
    places = {digest(str(n)): Stored(pack, 7, n) if n % 2 else a_stored(str(n), 7) for n in range(3_000)}
    journal.hints.learn("r1", places, AN_ATTEMPT)
    found = journal.hints.places_of("r1", iter(places))
    assert found == {each: Hint(stored, AN_ATTEMPT) for each, stored in places.items()}


def test_hints_of_an_earlier_version_are_still_known(tmp_path: Path, clock: FakeClock) -> None:
    a_folder = tmp_path / "state"
    a_folder.mkdir()
    with contextlib.closing(sqlite3.connect(a_folder / JOURNAL_FILE, isolation_level=None)) as old:
        for statements in MIGRATIONS[:2]:
            for statement in statements:
                old.execute(statement)
        old.execute("INSERT INTO registries (registry_id) VALUES ('r1')")
        row = (bytes.fromhex(digest("a")), AN_ATTEMPT, 7)
        old.execute("INSERT INTO hints (registry, digest, place, size) VALUES (1, ?, ?, ?)", row)
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute("PRAGMA user_version = 2")
    hints = reopened(tmp_path, clock).hints
    assert hints.places_of("r1", [digest("a")]) == {digest("a"): Hint(a_stored("a", 7))}
    assert set(hints.sizes_known("r1", [7, 8])) == {7}


def test_forgotten_hints_are_gone_and_forgetting_them_twice_is_harmless(journal: SqliteJournal) -> None:
    journal.hints.learn("r1", {digest("a"): a_stored("a")}, AN_ATTEMPT)
    journal.hints.learn("r2", {digest("a"): a_stored("a")}, AN_ATTEMPT)
    for _ in range(2):
        journal.hints.forget("r1", [digest("a")])
    assert journal.hints.places_of("r1", [digest("a")]) == {}
    assert journal.hints.places_of("r2", [digest("a")])


def test_sizes_are_known_once_learnt_by_this_process_or_an_earlier_one(tmp_path: Path, clock: FakeClock) -> None:
    journal = reopened(tmp_path, clock)
    assert set(journal.hints.sizes_known("r1", [10])) == set()
    journal.hints.learn("r1", {digest(f"{n}"): a_stored(f"{n}", n) for n in range(0, 3_000, 3)}, AN_ATTEMPT)
    assert set(journal.hints.sizes_known("r1", range(3_000))) == set(range(0, 3_000, 3))
    later = reopened(tmp_path, clock).hints
    assert set(later.sizes_known("r1", iter([9, 10, 9]))) == {9}
    assert set(later.sizes_known("r2", [9])) == set()


# ---------------------------------------------------------------- folders, events, facts


def a_record(path: str, watch: str = "w", **fields: object) -> FolderRecord:
    return FolderRecord(watch=watch, path=path, state="settling", reason="young", since=1.5, **fields)  # type: ignore[arg-type] # fields of the record


def test_folders_are_known_by_watch_and_path(journal: SqliteJournal) -> None:
    records = [a_record("/a", "v"), a_record("/a"), a_record("/b", fingerprint="f", run_id="r", manifest_sha256="m")]
    for record in reversed(records):
        journal.folders.set(record)
    assert journal.folders.all() == records
    assert journal.folders.all("w") == records[1:]
    assert journal.folders.get("w", "/b") == records[2]
    assert journal.folders.get("v", "/b") is None


def test_a_folder_record_replaces_the_one_before(journal: SqliteJournal) -> None:
    journal.folders.set(a_record("/a", fingerprint="f"))
    journal.folders.set(a_record("/a"))
    assert journal.folders.all() == [a_record("/a")]


def test_events_are_told_newest_first_and_by_kind(journal: SqliteJournal, clock: FakeClock) -> None:
    journal.events.record("run.sealed", "e/1", path="/p")
    clock.advance(1)
    journal.events.record("run.published", "e/1")
    assert [event["kind"] for event in journal.events.recent()] == ["run.published", "run.sealed"]
    assert [event["kind"] for event in journal.events.recent(limit=1)] == ["run.published"]
    (sealed,) = journal.events.recent(kind="run.sealed")
    assert sealed == {"at": clock.now().timestamp() - 1, "kind": "run.sealed", "subject": "e/1", "path": "/p"}


def test_the_oldest_events_are_dropped(journal: SqliteJournal, clock: FakeClock) -> None:
    events = EventRoom(journal._file, clock, keep=3)
    for number in range(5):
        events.record("k", str(number))
    assert [event["subject"] for event in events.recent()] == ["4", "3", "2"]


def test_an_event_about_a_name_that_is_not_utf8_is_recorded(journal: SqliteJournal) -> None:
    journal.events.record("run.rejected", "/run-\udcff", reason="'/run-\udcff' is not UTF-8")
    assert "run-" in journal.events.recent()[0]["subject"]


def test_a_fact_that_was_never_set_is_none_and_a_later_one_replaces_it(journal: SqliteJournal) -> None:
    assert journal.facts.fact("x") is None
    journal.facts.set_fact("x", 1)
    journal.facts.set_fact("x", ["two"])
    assert journal.facts.fact("x") == ["two"]
