"""What a pause holds back: deliveries to a registry, and looks at a watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.delivery import FakeRegistry, PostOffice

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.daemon.looking import WatchedIntake
from sealrun.services.delivery.delivering import POLL_S
from sealrun.services.delivery.pausing import ASK_AGAIN_S, Hold, pause, paused_registry, paused_watch, resume
from sealrun.services.watching.rounds import IntakeReport


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    office = PostOffice(tmp_path / "state")
    yield office
    office.close()


def hold_of(office: PostOffice) -> Hold:
    return Hold(lambda now: paused_registry(office.journal.facts, "main", now), office.clock)


def test_a_paused_registry_is_not_even_opened_and_its_queue_stays_as_it_is(office: PostOffice) -> None:
    registry = FakeRegistry()
    line = office.line(registry, hold_of(office))
    office.accept("run-1", "main")
    pause(office.journal, office.clock, "registry", "main", by="ada")
    for _ in range(3):
        assert not line.run_once()
        assert 0 < line.step() <= POLL_S
    delivery = office.only()
    assert (delivery.state, delivery.tries, delivery.error) == ("queued", 0, None)
    assert registry.opened == 0
    line.close()


def test_a_paused_registry_counts_as_tried_since_it_is_said_why_nothing_happens(office: PostOffice) -> None:
    line = office.line(FakeRegistry(), hold_of(office))
    pause(office.journal, office.clock, "registry", "main", by="ada")
    line.run_once()
    assert line.tried
    line.close()


def test_a_paused_registry_goes_on_where_it_was_when_it_is_resumed_or_the_time_is_over(office: PostOffice) -> None:
    line = office.line(FakeRegistry(), hold_of(office))
    office.accept("run-1", "main")
    pause(office.journal, office.clock, "registry", "main", by="ada")
    assert office.drain(line) == 0
    resume(office.journal, office.clock, "registry", "main", by="ada")
    assert office.drain(line) == 1
    office.accept("run-2", "main")
    pause(office.journal, office.clock, "registry", "main", by="ada", for_s=60)
    assert office.drain(line) == 0
    office.clock.advance(60)
    assert office.drain(line) == 1
    line.close()


def test_a_pause_counts_for_the_very_next_delivery(office: PostOffice) -> None:
    line = office.line(FakeRegistry(), hold_of(office))
    office.accept("run-1", "main")
    office.accept("run-2", "main")
    assert line.run_once()
    pause(office.journal, office.clock, "registry", "main", by="ada")
    assert not line.run_once()
    assert [each.state for each in office.journal.deliveries.all(registry="main")] == ["queued", "published"]
    line.close()


def test_a_pause_survives_the_process(office: PostOffice) -> None:
    office.accept("run-1", "main")
    pause(office.journal, office.clock, "registry", "main", by="ada")
    line = office.line(FakeRegistry(), hold_of(office))
    assert office.drain(line) == 0
    line.close()


class ALook:
    """`services.daemon.looking.Looking` that counts how often it looked."""

    def __init__(self) -> None:
        self.watch = WatchSpec(name="outbox", path="/outbox", experiment="training", registries=("main",))
        self.looks: list[str] = []

    def mark(self, path: str | None) -> None:
        self.looks.append(f"mark {path}")

    def wake_by(self, wake: Callable[[], None]) -> None:
        wake()

    def next_look(self) -> float:
        return 0.0

    def look(self, _now: float) -> IntakeReport:
        self.looks.append("look")
        return IntakeReport()

    def rescan(self, _now: float) -> IntakeReport:
        self.looks.append("rescan")
        return IntakeReport()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with closing(open_journal(tmp_path, FakeClock(), FakeEntropy())) as opened:
        yield opened


def test_a_paused_watch_is_not_looked_at_and_is_looked_at_as_a_whole_afterwards(journal: SqliteJournal) -> None:
    clock, look = FakeClock(), ALook()
    hold = Hold(lambda now: paused_watch(journal.facts, "outbox", now), clock)
    intake = WatchedIntake(look, clock, hold=hold)
    intake.step()
    intake.step()
    assert look.looks == ["rescan", "look"]
    pause(journal, clock, "watch", "outbox", by="ada", reason="the disk is moved")
    intake.mark("/outbox/run-1")
    assert intake.step() == ASK_AGAIN_S
    clock.advance(1000)
    assert intake.step() == ASK_AGAIN_S
    assert look.looks == ["rescan", "look", "mark /outbox/run-1"]
    resume(journal, clock, "watch", "outbox", by="ada")
    intake.step()
    assert look.looks[-1] == "rescan"
