from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal

from sealrun.services.oversight.alarming import clear_alarm, raise_alarm
from sealrun.services.oversight.pinging import Pinger, PingTarget

Faked: TypeAlias = Any
"""A `FakeJournal`: its rooms are fakes, which the tests look into."""


class Switch:
    """A dead man's switch that remembers what it was told."""

    def __init__(self) -> None:
        self.got: list[tuple[bool, str]] = []
        self.asked = 0
        self.problem: str | None = None

    def send(self, well: bool, text: str) -> str | None:  # noqa: FBT001 - what a `Pinger` calls
        self.asked += 1
        if self.problem is None:
            self.got.append((well, text))
        return self.problem

    @property
    def how(self) -> list[bool]:
        return [well for well, _ in self.got]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def journal() -> Faked:
    return FakeJournal()


def look(journal: Faked, clock: FakeClock) -> None:
    journal.facts.set_fact("timer:alarms", clock.now().timestamp())


def test_it_pings_at_its_interval_and_at_once_when_how_it_is_changes(journal: Faked, clock: FakeClock) -> None:
    switch = Switch()
    targets = [PingTarget("p", 300, switch.send)]
    pinger = Pinger(journal, clock)
    for _ in range(61):
        pinger.round(targets)
        clock.advance(5)
    assert switch.how == [True, True]
    raise_alarm(journal, clock, "damage", "main", "critical", "bytes\ndiffer")
    pinger.round(targets)
    pinger.round(targets)
    assert switch.got[2:] == [
        (
            False,
            "critical damage main: bytes differ; do: sealrun repair --registry NAME --dry-run, then without --dry-run",
        )
    ]
    clear_alarm(journal, clock, "damage", "main")
    pinger.round(targets)
    assert switch.how == [True, True, False, True]


def test_a_restart_does_not_ping_anew(journal: Faked, clock: FakeClock) -> None:
    switch = Switch()
    targets = [PingTarget("p", 300, switch.send)]
    Pinger(journal, clock).round(targets)
    clock.advance(100)
    Pinger(journal, clock).round(targets)
    assert switch.asked == 1


def test_what_fails_is_tried_again_ever_later_but_never_later_than_its_interval(
    journal: Faked, clock: FakeClock
) -> None:
    switch = Switch()
    switch.problem = "answered 500"
    targets = [PingTarget("p", 60, switch.send)]
    pinger = Pinger(journal, clock)
    for _ in range(120):
        look(journal, clock)
        pinger.round(targets)
        clock.advance(5)
    assert 9 <= switch.asked <= 14
    known = pinger.known(targets[0])
    assert known is not None
    assert known.problem == "answered 500"
    switch.problem = None
    clock.advance(60)
    pinger.round(targets)
    assert switch.how == [True]
    known = pinger.known(targets[0])
    assert known is not None
    assert known.problem is None


def test_warnings_do_not_count_for_one_who_asks_for_critical_ones(journal: Faked, clock: FakeClock) -> None:
    strict, lax = Switch(), Switch()
    targets = [PingTarget("s", 60, strict.send), PingTarget("l", 60, lax.send, "critical")]
    raise_alarm(journal, clock, "low-space", "/", "warning", "")
    Pinger(journal, clock).round(targets)
    assert (strict.how, lax.how) == ([False], [True])


def test_where_nobody_looks_for_alarms_all_is_not_well(journal: Faked, clock: FakeClock) -> None:
    switch = Switch()
    targets = [PingTarget("p", 60, switch.send)]
    pinger = Pinger(journal, clock)
    clock.advance(599)
    pinger.round(targets)
    look(journal, clock)
    clock.advance(300)
    pinger.round(targets)
    clock.advance(302)
    pinger.round(targets)
    assert switch.got == [(True, ""), (True, ""), (False, "nobody looked for alarms lately")]


def test_a_clock_that_was_set_back_does_not_silence_it(journal: Faked, clock: FakeClock) -> None:
    switch = Switch()
    targets = [PingTarget("p", 60, switch.send)]
    Pinger(journal, clock).round(targets)
    clock.advance(-86400)
    Pinger(journal, clock).round(targets)
    assert switch.asked == 2
