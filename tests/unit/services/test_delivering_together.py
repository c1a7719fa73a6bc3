"""A line with several deliveries in flight: each keeps its promise, and none disturbs another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.builders.runs import a_run
from tests.fakes.delivery import FakeRegistry, PostOffice

from sealrun.adapters.journal import SqliteJournal
from sealrun.domain.errors import ConflictError, NoSpaceError, RunChangedError, UnavailableError, UsageError
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.sealed import SealedRun
from sealrun.services.delivery.availability import read_standing
from sealrun.services.delivery.delivering import DeliveryLine
from sealrun.services.delivery.parts import Sources

PATIENCE_S = 120.0
WIDTH = 4


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    office = PostOffice(tmp_path / "state")
    yield office
    office.close()


class Gate:
    """Publications that say when they begin, and end when they are told, in the way they are told."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._changed = threading.Condition()
        self.begun: list[str] = []
        self.inside: set[str] = set()
        self.attempts: dict[str, list[str]] = {}
        self._ends: dict[str, Exception | None] = {}
        registry.during = self._during

    def _during(self, run: SealedRun, ticket: AttemptTicket, sources: Sources) -> None:
        name = run.envelope().name
        with self._changed:
            self.begun.append(name)
            self.attempts.setdefault(name, []).append(ticket.attempt)
            self.inside.add(name)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: name in self._ends, PATIENCE_S)
            self.inside.discard(name)
            error = self._ends[name]
        if error is not None:
            raise error
        for entry in run.manifest().entries:
            sources(entry)

    def end(self, *names: str, error: Exception | None = None) -> None:
        with self._changed:
            self._ends.update(dict.fromkeys(names, error))
            self._changed.notify_all()

    def wait_for(self, *names: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: set(names) <= set(self.begun), PATIENCE_S), self.begun


def a_line(office: PostOffice, registry: FakeRegistry, width: int = WIDTH) -> DeliveryLine:
    return DeliveryLine(registry.name, registry.open, office.line(registry)._parts, width=width)


def until(line: DeliveryLine, done: Callable[[], bool]) -> None:
    """Step, as the line's loop does, until something is the case."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline
        line.woken.clear()
        if line.step() > 0:
            line.woken.wait(0.01)


def a_full_line(office: PostOffice, registry: FakeRegistry, gate: Gate) -> tuple[DeliveryLine, list[str]]:
    """A line with as many runs in flight as it takes, and their names."""
    names = [f"r{number}" for number in range(WIDTH)]
    for name in names:
        office.accept(name)
    line = a_line(office, registry)
    until(line, lambda: len(gate.inside) == WIDTH)
    return line, names


def states(office: PostOffice) -> dict[int, str]:
    return {delivery.sealed: delivery.state for delivery in office.journal.deliveries.all()}


def all_published(office: PostOffice) -> Callable[[], bool]:
    return lambda: set(states(office).values()) == {"published"}


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def gate(registry: FakeRegistry) -> Gate:
    return Gate(registry)


def test_one_slow_run_does_not_hold_up_the_others(office: PostOffice, registry: FakeRegistry, gate: Gate) -> None:
    names = [f"r{number}" for number in range(12)]
    for name in ("slow", *names):
        office.accept(name)
    gate.end(*names)
    line = a_line(office, registry)
    until(line, lambda: len(registry.published) == 12)
    assert gate.inside == {"slow"}
    gate.end("slow")
    until(line, all_published(office))
    line.close()


def test_deliveries_begin_in_the_order_in_which_they_are_due(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    names = [f"r{number}" for number in range(8)]
    for name in names:
        office.accept(name)
    line = a_line(office, registry, width=2)
    until(line, lambda: len(gate.begun) == 2)
    assert set(gate.begun) == {"r0", "r1"}
    assert line.step() > 0
    gate.end(*names)
    until(line, all_published(office))
    line.close()


def test_what_fails_for_one_run_is_written_down_for_that_run_alone(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    endings: dict[str, Exception | None] = {
        "fine": None,
        "bad": UsageError("a bad name"),
        "odd": ZeroDivisionError("secret"),
        "void": ConflictError("void"),
    }
    numbers = {name: office.accept(name) for name in endings}
    line = a_line(office, registry)
    until(line, lambda: len(gate.begun) == 4)
    for name, error in endings.items():
        gate.end(name, error=error)
    until(line, lambda: not gate.inside and line._hands.has_room(1))
    found = {delivery.sealed: delivery for delivery in office.journal.deliveries.all()}
    assert (found[numbers["fine"]].state, found[numbers["bad"]].state) == ("published", "parked")
    assert found[numbers["odd"]].state == "queued"
    assert "ZeroDivisionError" in (found[numbers["odd"]].error or "")
    gate.end("void", "odd")
    office.clock.advance(10)
    until(line, lambda: sorted(registry.names()) == ["fine", "odd", "void"])
    line.close()
    assert len(gate.attempts["odd"]) == 2
    assert len(set(gate.attempts["odd"])) == 1
    assert len(set(gate.attempts["void"])) == len(gate.attempts["void"]) > 1


def test_two_deliveries_of_one_folder_never_run_at_once_and_keep_their_order(
    office: PostOffice, registry: FakeRegistry
) -> None:
    order: list[bytes] = []
    inside: set[str] = set()
    lock = threading.Lock()

    def during(run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        with lock:
            assert run.folder not in inside
            inside.add(run.folder)
            order.append(bytes(run.manifest_json))
        time.sleep(0.001)
        with lock:
            inside.discard(run.folder)

    registry.during = during
    revisions = [a_run({"a": b"%d" % number})[0] for number in range(10)]
    assert len({run.folder for run in revisions}) == 1
    for run in revisions:
        office.journal.deliveries.accept(run, ["main"])
    line = a_line(office, registry)
    until(line, all_published(office))
    line.close()
    assert order == [run.manifest_json for run in revisions]


def test_large_runs_are_delivered_one_at_a_time_and_small_ones_beside_them(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    for name in ("large1", "large2"):
        office.journal.deliveries.accept(a_run({"a": bytes(5 << 20)}, name=name)[0], ["main"])
    office.accept("small")
    line = a_line(office, registry)
    until(line, lambda: {"large1", "small"} <= gate.inside)
    assert "large2" not in gate.begun
    gate.end("large1", "small", "large2")
    until(line, all_published(office))
    line.close()


def test_an_outage_that_several_deliveries_meet_is_one_outage(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    line, names = a_full_line(office, registry, gate)
    gate.end(*names, error=UnavailableError("main: no answer"))
    until(line, lambda: not gate.inside and line._hands.has_room(1))
    assert line._availability._failures == 1
    assert office.kinds().count("registry.down") == 1
    assert {delivery.tries for delivery in office.journal.deliveries.all()} == {1}
    assert registry.closed == 1
    assert line.step() > 0
    assert len(gate.begun) == WIDTH
    line.close()


def test_after_an_outage_one_delivery_tries_the_registry_and_the_rest_follow_when_it_works(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    registry.trouble = UnavailableError("main: no answer")
    for number in range(6):
        office.accept(f"r{number}")
    line = a_line(office, registry)
    line.step()
    standing = read_standing(office.journal.facts, "main")
    assert standing is not None
    assert standing.state == "down"
    registry.trouble = None
    office.clock.advance(300)
    until(line, lambda: len(gate.begun) == 1)
    assert line.step() > 0
    assert len(gate.begun) == 1
    gate.end(*gate.begun)
    until(line, lambda: len(gate.inside) == WIDTH)
    gate.end(*(f"r{number}" for number in range(6)))
    until(line, all_published(office))
    line.close()


def test_a_success_that_began_before_an_outage_does_not_end_it(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    office.accept("before")
    office.accept("during")
    line = a_line(office, registry)
    until(line, lambda: len(gate.inside) == 2)
    gate.end("during", error=NoSpaceError("main: no space left"))
    until(line, lambda: line._hands.has_room(2) or gate.inside == {"before"})
    until(line, lambda: not line._availability.is_up)
    gate.end("before")
    until(line, lambda: registry.names() == ["before"] and line._hands.has_room(1))
    assert line._availability.held_s() > 0
    assert not line._availability.is_up
    line.close()


class Opening:
    """One opening of a registry, closed by itself."""

    def __init__(self, registry: FakeRegistry) -> None:
        self.registry_id = registry.registry_id
        self.publish = registry.publish
        self.recover = registry.recover
        self.compact = registry.compact
        self.close = registry.close


def test_a_registry_is_closed_behind_the_last_delivery_in_flight_and_opened_anew_for_the_next(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    office.accept("slow")
    office.accept("odd")
    parts = office.line(registry)._parts
    line = DeliveryLine("main", lambda: Opening(registry.open()), parts, width=WIDTH)
    until(line, lambda: len(gate.inside) == 2)
    gate.end("odd", error=ZeroDivisionError())
    until(line, lambda: gate.inside == {"slow"} and line._hands.has_room(2))
    assert registry.closed == 0
    office.accept("next")
    gate.end("next")
    until(line, lambda: registry.names() == ["next"])
    assert registry.opened == 2
    gate.end("slow")
    until(line, lambda: registry.closed == 1)
    line.close()
    assert registry.closed == 2


def test_a_stop_interrupts_all_in_flight_and_their_attempts_are_resumed(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    line, names = a_full_line(office, registry, gate)
    line.stop()
    closing = threading.Thread(target=line.close)
    closing.start()
    assert closing.is_alive()
    assert registry.closed == 0
    gate.end(*names)
    closing.join(PATIENCE_S)
    assert registry.closed == 1
    found = office.journal.deliveries.all()
    assert {delivery.state for delivery in found} == {"queued"}
    assert all("interrupted" in (delivery.error or "") for delivery in found)
    begun = sorted(ticket.attempt for ticket in registry.tickets)
    after = a_line(office, registry)
    until(after, all_published(office))
    after.close()
    assert sorted(ticket.attempt for ticket in registry.tickets[WIDTH:]) == begun


def test_a_folder_that_changed_settles_again_while_others_are_delivered(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    changed = office.accept("changed")
    office.accept("other")
    line = a_line(office, registry)
    until(line, lambda: len(gate.inside) == 2)
    gate.end("changed", error=RunChangedError("a.txt: is not what was sealed"))
    until(line, lambda: states(office)[changed] == "parked")
    assert gate.inside == {"other"}
    gate.end("other")
    until(line, lambda: registry.names() == ["other"])
    line.close()


def test_a_journal_that_cannot_be_written_is_told_by_the_lines_own_thread_and_nothing_stays_claimed(
    office: PostOffice, registry: FakeRegistry, gate: Gate
) -> None:
    office.accept("r1")
    line = a_line(office, registry)
    until(line, lambda: gate.inside == {"r1"})
    journal = office.journal
    assert isinstance(journal, SqliteJournal)
    journal._file._connection.execute("PRAGMA query_only = 1")
    gate.end("r1")
    while not line._hands.has_room(1):
        time.sleep(0.001)
    with pytest.raises(NoSpaceError):
        line.step()
    journal._file._connection.execute("PRAGMA query_only = 0")
    office.clock.advance(600)
    until(line, all_published(office))
    line.close()


def test_hundreds_of_runs_arrive_once_each(office: PostOffice, registry: FakeRegistry) -> None:
    names = [f"r{number:03d}" for number in range(200)]
    for name in names:
        office.accept(name)
    line = a_line(office, registry, width=16)
    until(line, all_published(office))
    line.close()
    assert sorted(registry.names()) == names
    assert len({ticket.attempt for ticket in registry.tickets}) == 200
    assert office.kinds().count("run.published") == 100  # the newest hundred events are shown
