"""What a daemon says of itself to probes and supervisors, and that a page that cannot be had is an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.bootstrap.daemon.surface import Surface
from sealrun.domain.oversight.progress import PATIENCE_S
from sealrun.services.oversight.alarming import standing
from sealrun.services.threads.progress import Works


class ADaemon:
    """A daemon, as far as a surface needs one."""

    def __init__(self, clock: FakeClock) -> None:
        self.started = False
        self.ended: list[str] = []
        self.works = Works(clock.monotonic)
        self.lines = [SimpleNamespace(registry=name, tried=False) for name in ("main", "cold")]
        self.parts = self

    def gone(self) -> list[str]:
        return self.ended


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def daemon(clock: FakeClock) -> ADaemon:
    return ADaemon(clock)


@pytest.fixture
def journal(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteJournal]:
    with closing(open_journal(tmp_path, clock, FakeEntropy())) as opened:
        yield opened


@pytest.fixture
def surface(daemon: ADaemon, journal: SqliteJournal, clock: FakeClock) -> Surface:
    return Surface(None, daemon, journal, clock, lambda _accept: (b"", ""))  # type: ignore[arg-type] # as far as it needs them


def test_a_daemon_is_ready_when_it_has_started_and_tried_every_registry(surface: Surface, daemon: ADaemon) -> None:
    assert surface.unready() == ["starting"]
    daemon.started = True
    assert surface.unready() == ["registry main was not tried yet", "registry cold was not tried yet"]
    daemon.lines[0].tried = True
    assert surface.unready() == ["registry cold was not tried yet"]
    daemon.lines[1].tried = True
    assert surface.unready() == []


def test_a_journal_that_cannot_be_read_is_said_without_its_path(
    surface: Surface, daemon: ADaemon, journal: SqliteJournal, tmp_path: Path
) -> None:
    daemon.started = True
    journal.close()
    (reason,) = surface.unready()
    assert "journal cannot be read" in reason
    assert str(tmp_path) not in reason


def test_a_thread_that_ended_and_work_that_hangs_are_no_health(
    surface: Surface, daemon: ADaemon, clock: FakeClock
) -> None:
    assert surface.unhealthy() == []
    with daemon.works.under_way("delivery-main"):
        clock.advance(PATIENCE_S)
        assert surface.unhealthy() == []
        clock.advance(1)
        assert surface.unhealthy() == ["delivery-main hangs"]
    daemon.ended = ["intake-outbox"]
    assert surface.unhealthy() == ["intake-outbox has ended"]


def test_a_place_that_is_taken_is_an_alarm_until_it_is_free_or_another_is_asked_for(
    surface: Surface, journal: SqliteJournal
) -> None:
    surface.report("127.0.0.1:1", "cannot listen on 127.0.0.1:1: Address already in use")
    assert [(alarm.kind, alarm.subject) for alarm in standing(journal)] == [("http-unavailable", "127.0.0.1:1")]
    surface.report("127.0.0.1:2", None)
    assert standing(journal) == ()
    surface.report("127.0.0.1:2", "taken")
    surface.report("127.0.0.1:2", None)
    assert standing(journal) == ()
