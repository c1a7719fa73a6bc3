from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.builders.runs import a_run
from tests.fakes.delivery import PostOffice

from sealrun.adapters.journal import SqliteJournal, sealed_runs
from sealrun.adapters.journal.claims import is_alive, process_claim
from sealrun.domain.address import AttemptId
from sealrun.domain.errors import NoSpaceError, NotFoundError
from sealrun.domain.pieces import Pieces
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Delivery, FolderRecord

AN_ATTEMPT = AttemptId("20260117T143052Z-0123456789abcdef")
DONE = Published(experiment="train", run_id="r", attempt=AN_ATTEMPT, root_sha256="0" * 64, new=True)
A_MONTH_S = 31 * 24 * 3600.0
CLAIMING = """
import sys
from pathlib import Path
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.journal import open_journal

journal = open_journal(Path(sys.argv[1]), SystemClock(), SystemEntropy())
print("open", flush=True)
for line in sys.stdin:
    claimed = []
    while (delivery := journal.deliveries.claim("main", float(line))) is not None:
        claimed.append(str(delivery.id))
    print(",".join(claimed), flush=True)
"""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    office = PostOffice(tmp_path / "state")
    yield office
    office.close()


def now(office: PostOffice) -> float:
    return office.clock.now().timestamp()


def claim(office: PostOffice, registry: str = "main") -> Delivery | None:
    return office.journal.deliveries.claim(registry, now(office))


class Other:
    """Another process on the same journal, which claims all it can when it is told to."""

    def __init__(self, state: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLAIMING, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._line() == "open"

    def claims(self, at: float) -> list[int]:
        self.ask(at)
        return self.answer()

    def ask(self, at: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{at}\n")
        self.process.stdin.flush()

    def answer(self) -> list[int]:
        return [int(word) for word in self._line().split(",") if word]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def other(office: PostOffice) -> Iterator[Other]:
    process = Other(office.state)
    yield process
    process.kill()


# ---------------------------------------------------------------- accepting


def test_a_sealed_run_is_queued_for_every_registry_and_its_folder_remembers_it(office: PostOffice) -> None:
    run, _ = a_run()
    folder = FolderRecord(watch="w", path=run.folder, state="sealed", reason="marker", since=1.0)
    sealed = office.journal.deliveries.accept(run, ["main", "cloud"], folder)
    assert office.journal.deliveries.run(sealed) == run
    assert office.journal.folders.get("w", run.folder) == msgspec.structs.replace(folder, sealed=sealed)
    queued = office.journal.deliveries.all(state="queued")
    assert [(d.registry, d.sealed, d.tries, d.attempt) for d in queued] == [
        ("cloud", sealed, 0, None),
        ("main", sealed, 0, None),
    ]


def test_a_long_manifest_is_kept_as_it_is_however_it_is_given(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_runs, "_LONG_BYTES", 10)
    run, _ = a_run()
    body = bytes(run.manifest_json)
    long = msgspec.structs.replace(run, manifest_json=Pieces(lambda: [body[:7], body[7:]]))
    sealed = office.journal.deliveries.accept(long, ["main"])
    assert office.journal.deliveries.accept(run, ["main"]) == sealed
    found = office.journal.deliveries.run(sealed)
    assert (found.manifest_json, found) == (body, run)


def test_accepting_the_same_bytes_again_adds_only_the_missing_deliveries(office: PostOffice) -> None:
    first = office.accept("r1", "main")
    delivery = claim(office)
    assert delivery is not None
    office.journal.deliveries.finish(delivery.id, DONE)
    assert office.accept("r1", "main", "cloud") == first
    assert {d.registry: d.state for d in office.journal.deliveries.all()} == {"main": "published", "cloud": "queued"}
    assert office.accept("r2") != first


def test_accepting_bytes_whose_delivery_was_parked_queues_it_again(office: PostOffice) -> None:
    office.accept("r1")
    delivery = claim(office)
    assert delivery is not None
    office.journal.deliveries.park(delivery.id, "changed")
    office.accept("r1")
    again = claim(office)
    assert again is not None
    assert again.id == delivery.id


def changed_folder(office: PostOffice, *, held: bool) -> list[Delivery]:
    """A folder is sealed; one registry has it (or not), the other gave up; then the folder is sealed anew."""
    first, _ = a_run({"a": b"1"})
    second, _ = a_run({"a": b"2"})
    deliveries = office.journal.deliveries
    deliveries.accept(first, ["main", "cloud"])
    for registry in ("main", "cloud"):
        delivery = claim(office, registry)
        assert delivery is not None
        if held and registry == "main":
            deliveries.finish(delivery.id, DONE)
        else:
            deliveries.park(delivery.id, "changed")
    deliveries.accept(second, ["main", "cloud"])
    return list(deliveries.all(state="parked"))


def test_parked_deliveries_of_what_a_folder_was_before_are_dropped_when_nobody_has_the_bytes(
    office: PostOffice,
) -> None:
    assert changed_folder(office, held=False) == []
    assert len(office.journal.deliveries.all(state="queued")) == 2


def test_parked_deliveries_are_kept_while_a_registry_holds_the_bytes(office: PostOffice) -> None:
    assert [d.registry for d in changed_folder(office, held=True)] == ["cloud"]


def test_records_of_a_run_are_dropped_a_month_after_every_registry_has_it(office: PostOffice) -> None:
    journal = office.reopened()
    done, waiting = office.accept("r1"), office.accept("r2")
    delivery = journal.deliveries.claim("main", now(office), done)
    assert delivery is not None
    journal.deliveries.finish(delivery.id, DONE)
    journal.tidy()
    assert journal.deliveries.run(done).envelope().name == "r1"
    office.clock.advance(A_MONTH_S)
    journal.tidy()
    with pytest.raises(NotFoundError, match="every registry has them"):
        journal.deliveries.run(done)
    assert journal.deliveries.run(waiting).envelope().name == "r2"
    office.accept("r1", "cloud")
    assert journal.deliveries.run(done).envelope().name == "r1"


# ---------------------------------------------------------------- claiming


def test_deliveries_are_claimed_once_in_order_of_due_time(office: PostOffice) -> None:
    office.accept("late")
    late = claim(office)
    assert late is not None
    office.journal.deliveries.postpone(late.id, now(office) + 10, "busy")
    soon = office.accept("soon")
    first = claim(office)
    assert first is not None
    assert first.sealed == soon
    assert claim(office) is None
    office.clock.advance(10)
    second = claim(office)
    assert second is not None
    assert (second.id, second.tries, second.error) == (late.id, 1, "busy")


def test_one_run_can_be_claimed_by_itself(office: PostOffice) -> None:
    office.accept("a")
    wanted = office.accept("b")
    delivery = office.journal.deliveries.claim("main", now(office), wanted)
    assert delivery is not None
    assert delivery.sealed == wanted
    assert office.journal.deliveries.claim("main", now(office), wanted) is None


def test_the_next_due_time_is_that_of_an_unclaimed_delivery(office: PostOffice) -> None:
    assert office.journal.deliveries.next_due("main") is None
    office.accept("a")
    office.clock.advance(5)
    office.accept("b")
    assert office.journal.deliveries.next_due("main") == now(office) - 5
    claim(office)
    assert office.journal.deliveries.next_due("main") == now(office)
    claim(office)
    assert office.journal.deliveries.next_due("main") is None


def test_of_some_runs_those_are_told_that_a_registry_has_yet_to_get(office: PostOffice) -> None:
    done, parked, twice, claimed, other = (office.accept(name) for name in ("a", "b", "c", "d", "e"))
    office.accept("c", "main", "second")
    for sealed in (done, parked, twice, claimed):
        delivery = office.journal.deliveries.claim("main", now(office), sealed)
        assert delivery is not None
        if sealed == parked:
            office.journal.deliveries.park(delivery.id, "no")
        elif sealed != claimed:
            office.journal.deliveries.finish(delivery.id, DONE)
    asked = [done, parked, twice, claimed, 99]
    for deliveries in (office.journal.deliveries, office.reopened().deliveries):
        assert {*deliveries.queued_of(asked)} == {twice, claimed}
        assert {*deliveries.queued_of([other])} == {other}
        assert not deliveries.queued_of([])


def test_an_attempt_is_remembered_until_it_is_void(office: PostOffice) -> None:
    office.accept("a")
    delivery = claim(office)
    assert delivery is not None
    deliveries = office.journal.deliveries
    deliveries.begin(delivery.id, AN_ATTEMPT, "n" * 32, "2026-01-17T15:00:00Z")
    deliveries.postpone(delivery.id, 0.0, "away")
    again = claim(office)
    assert again is not None
    assert (again.attempt, again.nonce, again.attempt_created_at) == (AN_ATTEMPT, "n" * 32, "2026-01-17T15:00:00Z")
    deliveries.postpone(delivery.id, 0.0, "void", new_attempt=True)
    third = claim(office)
    assert third is not None
    assert (third.attempt, third.nonce, third.tries) == (None, None, 2)


def test_what_was_published_says_where(office: PostOffice) -> None:
    office.accept("a")
    delivery = claim(office)
    assert delivery is not None
    office.journal.deliveries.finish(delivery.id, DONE)
    assert office.only().published == DONE
    assert office.only().state == "published"


def test_what_was_published_is_queued_again_as_a_new_attempt_where_somebody_asks(office: PostOffice) -> None:
    deliveries = office.journal.deliveries
    office.accept("a", "main", "cloud", "third")
    for registry in ("main", "cloud"):
        delivery = claim(office, registry)
        assert delivery is not None
        deliveries.begin(delivery.id, AN_ATTEMPT, "n", "2026-01-17T14:30:52Z")
        deliveries.finish(delivery.id, DONE)
    (sealed,) = {delivery.sealed for delivery in deliveries.all()}
    deliveries.repeat(sealed, ["main", "third"])
    deliveries.repeat(sealed + 1, ["cloud"])
    states = {delivery.registry: (delivery.state, delivery.attempt) for delivery in deliveries.of(sealed)}
    assert states == {"cloud": ("published", AN_ATTEMPT), "main": ("queued", None), "third": ("queued", None)}
    again = claim(office)
    assert again is not None
    assert again.registry == "main"


def test_a_release_queues_what_is_parked_and_hastens_what_waits(office: PostOffice) -> None:
    deliveries = office.journal.deliveries
    office.accept("a", "main", "cloud")
    for registry in ("main", "cloud"):
        delivery = claim(office, registry)
        assert delivery is not None
        deliveries.park(delivery.id, "damaged")
    assert claim(office) is None
    assert deliveries.release("main") == 1
    main = claim(office)
    assert main is not None
    deliveries.postpone(main.id, now(office) + 100, "full")
    assert deliveries.release() == 2
    assert claim(office) is not None
    assert claim(office, "cloud") is not None


def test_many_threads_never_claim_the_same_delivery(office: PostOffice) -> None:
    for number in range(30):
        office.accept(f"r{number}")
    together = threading.Barrier(6)

    def claim_all(_: int) -> list[int]:
        together.wait()
        found = []
        while (delivery := claim(office)) is not None:
            found.append(delivery.id)
        return found

    with ThreadPoolExecutor(6) as pool:
        claimed = [number for numbers in pool.map(claim_all, range(6)) for number in numbers]
    assert sorted(claimed) == list(range(1, 31))


def test_two_processes_never_claim_the_same_delivery(office: PostOffice, other: Other) -> None:
    for number in range(40):
        office.accept(f"r{number}")
    other.ask(now(office))
    mine = []
    while (delivery := claim(office)) is not None:
        mine.append(delivery.id)
    assert sorted(mine + other.answer()) == list(range(1, 41))


def test_the_claims_of_a_dead_process_are_free_and_those_of_a_living_one_are_not(
    office: PostOffice, other: Other
) -> None:
    office.accept("a")
    assert other.claims(now(office)) == [1]
    assert claim(office) is None
    assert office.journal.deliveries.next_due("main") is None
    other.process.kill()
    other.process.wait()
    assert office.journal.deliveries.next_due("main") is not None
    assert claim(office) is not None


def test_a_process_is_not_taken_for_a_later_one_with_its_number() -> None:
    boot, pid, started = process_claim().split(":")
    assert is_alive(f"{boot}:{pid}:{started}")
    assert not is_alive(f"{boot}:{pid}:{int(started) - 1}")
    assert not is_alive(f"another-boot:{pid}:{started}")
    assert is_alive(f"{boot}:{pid}:")
    assert not is_alive(f"{boot}:999999999:")


def test_a_claim_ends_even_if_the_journal_cannot_be_told(office: PostOffice) -> None:
    journal = office.journal
    assert isinstance(journal, SqliteJournal)
    office.accept("a")
    delivery = claim(office)
    assert delivery is not None
    (pages,) = journal._file.rows("PRAGMA page_count")[0]
    journal._file.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(NoSpaceError):
        journal.deliveries.postpone(delivery.id, 0.0, "x" * 100_000)
    journal._file.rows("PRAGMA max_page_count = 1000000")
    again = claim(office)
    assert again is not None
    assert (again.id, again.tries) == (delivery.id, 0)


def test_a_journal_that_is_closed_gives_its_claims_back(office: PostOffice) -> None:
    office.accept("a")
    assert claim(office) is not None
    second = office.reopened()
    assert second.deliveries.claim("main", now(office)) is None
    office.journal.close()
    assert second.deliveries.claim("main", now(office)) is not None
