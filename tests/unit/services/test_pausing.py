"""Pauses that people ask for, and what they hold back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.board import Pause
from sealrun.domain.oversight.quiet_hours import Quiet, parse_quiet_hours
from sealrun.services.delivery.pausing import (
    ASK_AGAIN_S,
    Hold,
    held_registry,
    pause,
    paused_registry,
    paused_watch,
    resume,
)

HOUR = 3600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()  # 15:00 UTC, a Saturday


@pytest.fixture
def journal(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteJournal]:
    with closing(open_journal(tmp_path, clock, FakeEntropy())) as opened:
        yield opened


def kinds(journal: SqliteJournal) -> list[str]:
    return [str(event["kind"]) for event in reversed(journal.events.recent(100))]


def test_a_pause_lasts_until_somebody_resumes(journal: SqliteJournal, clock: FakeClock) -> None:
    made = pause(journal, clock, "registry", "main", by="ada@box", reason="  the link\nis needed ")
    assert made == Pause(
        cause="person", since="2026-01-17T15:00:00Z", until=None, reason="the link is needed (ada@box)"
    )
    clock.advance(1000 * HOUR)
    assert paused_registry(journal.facts, "main", clock.now()) == made
    assert resume(journal, clock, "registry", "main", by="ada@box")
    assert paused_registry(journal.facts, "main", clock.now()) is None
    assert kinds(journal) == ["registry.paused", "registry.resumed"]


def test_a_pause_with_an_end_ends_by_itself(journal: SqliteJournal, clock: FakeClock) -> None:
    made = pause(journal, clock, "watch", "outbox", by="http", for_s=2 * HOUR)
    assert (made.until, made.reason) == ("2026-01-17T17:00:00Z", "by http")
    clock.advance(2 * HOUR - 1)
    assert paused_watch(journal.facts, "outbox", clock.now()) == made
    clock.advance(1)
    assert paused_watch(journal.facts, "outbox", clock.now()) is None
    assert not resume(journal, clock, "watch", "outbox", by="http")
    assert kinds(journal) == ["watch.paused"]


def test_a_second_pause_replaces_the_first(journal: SqliteJournal, clock: FakeClock) -> None:
    pause(journal, clock, "registry", "main", by="ada", reason="one")
    pause(journal, clock, "registry", "main", by="bob", for_s=60)
    clock.advance(60)
    assert paused_registry(journal.facts, "main", clock.now()) is None


def test_registries_and_watches_of_one_name_are_different_things(journal: SqliteJournal, clock: FakeClock) -> None:
    pause(journal, clock, "watch", "main", by="ada")
    assert paused_registry(journal.facts, "main", clock.now()) is None
    assert paused_registry(journal.facts, "other", clock.now()) is None
    assert not resume(journal, clock, "registry", "main", by="ada")
    assert paused_watch(journal.facts, "main", clock.now()) is not None


@pytest.mark.parametrize("seconds", [0, -1, 11 * 365 * 86400, float("inf"), float("nan")])
def test_a_time_that_cannot_be_meant_is_refused_and_pauses_nothing(
    journal: SqliteJournal, clock: FakeClock, seconds: float
) -> None:
    with pytest.raises(UsageError, match="a pause is for"):
        pause(journal, clock, "registry", "main", by="ada", for_s=seconds)
    assert paused_registry(journal.facts, "main", clock.now()) is None


def test_a_reason_is_short(journal: SqliteJournal, clock: FakeClock) -> None:
    made = pause(journal, clock, "registry", "main", by="ada", reason="x" * 5000)
    assert len(made.reason) < 320


def test_quiet_hours_hold_a_registry_and_a_person_says_more(journal: SqliteJournal, clock: FakeClock) -> None:
    quiet = Quiet((parse_quiet_hours("14:00-16:00"),), UTC)
    assert held_registry(journal.facts, "main", quiet, clock.now()) == Pause(
        cause="quiet-hours", until="2026-01-17T16:00:00Z"
    )
    made = pause(journal, clock, "registry", "main", by="ada")
    assert held_registry(journal.facts, "main", quiet, clock.now()) == made
    resume(journal, clock, "registry", "main", by="ada")
    clock.advance(HOUR)
    assert held_registry(journal.facts, "main", quiet, clock.now()) is None
    assert held_registry(journal.facts, "main", None, clock.now()) is None


def test_who_is_held_asks_again_soon_and_at_the_end_of_the_pause(journal: SqliteJournal, clock: FakeClock) -> None:
    hold = Hold(lambda now: paused_registry(journal.facts, "main", now), clock)
    assert hold.left_s() == 0
    pause(journal, clock, "registry", "main", by="ada", for_s=60)
    assert hold.left_s() == ASK_AGAIN_S
    clock.advance(58)
    assert 2 <= hold.left_s() < 2.1
    clock.advance(hold.left_s())
    assert hold.left_s() == 0


def test_a_clock_that_is_set_back_lengthens_a_pause_by_as_much(journal: SqliteJournal, clock: FakeClock) -> None:
    pause(journal, clock, "registry", "main", by="ada", for_s=60)
    assert paused_registry(journal.facts, "main", clock.now() - timedelta(days=1)) is not None
