from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.journal import FakeJournal

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.domain.oversight.alarming import AlarmRules, Trouble
from sealrun.domain.oversight.board import TimerBoard
from sealrun.domain.space import Room
from sealrun.domain.upkeep.damage import Damage
from sealrun.domain.watches.cadence import Expectation
from sealrun.ports import FolderRecord, Journal
from sealrun.services.oversight.alarming import Alarms, clear_alarm, raise_alarm, standing
from sealrun.services.oversight.cadence import Cadence
from sealrun.services.oversight.damages import damage_texts, known_damage, note_damage
from sealrun.services.oversight.observing import (
    disks_in_trouble,
    folders_in_trouble,
    registries_in_trouble,
    roots_in_trouble,
    timers_in_trouble,
)

GIB = 1 << 30
RULES = AlarmRules()

Faked: TypeAlias = Any
"""A `FakeJournal`: its rooms are fakes, which the tests look into."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def journal() -> Faked:
    return FakeJournal()


def test_an_alarm_keeps_its_beginning_and_a_new_reason_is_no_new_event(journal: Faked, clock: FakeClock) -> None:
    first = raise_alarm(journal, clock, "registry-full", "main", "critical", "no space")
    clock.advance(600)
    second = raise_alarm(journal, clock, "registry-full", "main", "critical", "still no space")
    assert second.since == first.since == "2026-01-17T15:00:00Z"
    assert second.help == "sealrun runbook registry-full"
    assert [alarm.reason for alarm in standing(journal)] == ["still no space"]
    assert journal.events.kinds() == ["alarm.raised"]
    assert journal.events.seen[0]["key"] == "registry-full:main"


def test_an_alarm_that_becomes_worse_is_told_again(journal: Faked, clock: FakeClock) -> None:
    raise_alarm(journal, clock, "low-space", "/", "warning", "1 GiB")
    raise_alarm(journal, clock, "low-space", "/", "critical", "1 MiB")
    raise_alarm(journal, clock, "low-space", "/", "warning", "1 GiB")
    assert journal.events.kinds() == ["alarm.raised", "alarm.raised"]


def test_clearing_is_told_once_and_only_of_what_stood(journal: Faked, clock: FakeClock) -> None:
    raise_alarm(journal, clock, "low-space", "/", "warning", "1 GiB")
    assert clear_alarm(journal, clock, "low-space", "/")
    assert not clear_alarm(journal, clock, "low-space", "/")
    assert standing(journal) == ()
    assert journal.events.kinds() == ["alarm.raised", "alarm.cleared"]


def test_the_worst_comes_first(journal: Faked, clock: FakeClock) -> None:
    raise_alarm(journal, clock, "low-space", "/", "warning", "")
    clock.advance(60)
    raise_alarm(journal, clock, "damage", "main", "critical", "")
    assert [alarm.kind for alarm in standing(journal)] == ["damage", "low-space"]


def test_alarms_are_durable_and_other_processes_see_them(tmp_path: Path, clock: FakeClock) -> None:
    one: SqliteJournal = open_journal(tmp_path, clock, FakeEntropy())
    raise_alarm(one, clock, "run-stale", "training", "warning", "a name that is no text: \udcff")
    raise_alarm(one, clock, "run-stale", "train%_ing", "warning", "")
    other = open_journal(tmp_path, clock, FakeEntropy())
    assert len(standing(other)) == 2
    assert clear_alarm(other, clock, "run-stale", "train%_ing")
    assert [alarm.subject for alarm in standing(one)] == ["training"]
    one.close()
    assert [event["kind"] for event in other.events.recent()] == ["alarm.cleared", "alarm.raised", "alarm.raised"]
    other.close()


def test_facts_are_found_by_the_beginning_of_their_keys_and_can_be_dropped(tmp_path: Path, clock: FakeClock) -> None:
    journal = open_journal(tmp_path, clock, FakeEntropy())
    for key in ("a:1", "a:2", "a%", "b:1", "A:1"):
        journal.facts.set_fact(key, key)
    assert journal.facts.facts("a:") == {"a:1": "a:1", "a:2": "a:2"}
    journal.facts.drop_fact("a:1")
    journal.facts.drop_fact("a:1")
    assert list(journal.facts.facts("a")) == ["a%", "a:2"]
    journal.close()


def test_a_crash_before_the_fact_is_there_tells_again(
    journal: Faked, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_key: str, _value: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(journal.facts, "set_fact", die)
        with pytest.raises(KeyboardInterrupt):
            raise_alarm(journal, clock, "low-space", "/", "warning", "")
    raise_alarm(journal, clock, "low-space", "/", "warning", "")
    assert journal.events.kinds() == ["alarm.raised", "alarm.raised"]


def test_rounds_raise_and_clear_and_name_a_run_that_is_missing(journal: Faked, clock: FakeClock) -> None:
    alarms = Alarms(journal, clock)
    wrong = [Trouble(kind="run-missing", subject="nightly", reason="none came")]
    alarms.round(lambda _stands: wrong, AlarmRules())
    alarms.round(lambda _stands: wrong, AlarmRules())
    assert [(alarm.kind, alarm.severity) for alarm in standing(journal)] == [("run-missing", "warning")]
    wrong.clear()
    alarms.round(lambda _stands: wrong, AlarmRules())
    assert journal.events.kinds() == ["run.missing", "alarm.raised", "alarm.cleared"]


def test_registries_are_in_trouble_as_they_stand(journal: Faked) -> None:
    for name, state in {"a": "up", "b": "down", "c": "refused", "d": "full"}.items():
        journal.facts.set_fact(f"standing:{name}", {"state": state, "reason": f"{name} says", "since": 5.0})
    found = {each.key: each for each in registries_in_trouble(journal, "abcde")}
    assert list(found) == ["registry-unreachable:b", "registry-refused:c", "registry-full:d"]
    assert found["registry-full:d"].reason == "d says"
    assert found["registry-full:d"].since == 5.0


def test_what_waits_for_a_registry_that_is_gone_from_the_settings_is_trouble_if_no_other_has_it() -> None:
    world, journal = World(), FakeJournal()
    run, sources = a_run({"x": b"1"})
    journal.deliveries.accept(run, ["old", "new"])
    (trouble,) = registries_in_trouble(cast("Journal", journal), ["new"])
    assert (trouble.key, trouble.reason.split(" runs ")[0]) == ("delivery-parked:old", "1")
    assert [*registries_in_trouble(cast("Journal", journal), ["new", "old"])] == []
    claimed = journal.deliveries.claim("new", 1e12)
    assert claimed is not None
    journal.deliveries.finish(claimed.id, world.machine("m").publish(run, sources))
    assert [*registries_in_trouble(cast("Journal", journal), ["new"])] == []


def test_folders_are_counted_and_a_few_are_named(journal: Faked) -> None:
    for number in range(7):
        journal.folders.set(
            FolderRecord(watch="w", path=f"/w/{number}", state="stale", reason="awaited: x", since=float(number))
        )
    journal.folders.set(FolderRecord(watch="w", path="/w/bad", state="rejected", reason="a link", since=0.0))
    found = {each.key: each.reason for each in folders_in_trouble(journal, ["w", "other"])}
    assert list(found) == ["run-stale:w", "run-rejected:w"]
    assert found["run-stale:w"].startswith("7 stale: /w/6 (awaited: x)")
    assert found["run-stale:w"].endswith("and 4 more")
    assert found["run-rejected:w"] == "1 rejected: /w/bad (a link)"


def test_roots_and_timers_in_trouble_are_named() -> None:
    roots = roots_in_trouble({"a": None, "b": "is not there"}, {"a": "/a", "b": "/b"})
    assert [(each.key, each.reason) for each in roots] == [("watch-missing:b", "/b: is not there")]
    timers = [
        TimerBoard(name="gc:main", last_at=None, next_at=None),
        TimerBoard(name="compact", last_at=None, next_at=None, problem="no answer"),
    ]
    assert [each.key for each in timers_in_trouble(timers)] == ["timer-failing:compact"]


def test_a_disk_that_was_low_stays_so_until_a_tenth_more_is_free(journal: Faked, clock: FakeClock) -> None:
    def low(free: float, size: float = 10 * GIB, rules: AlarmRules = RULES) -> bool:
        disks = [(Room(mount="/mnt", free=int(free), size=int(size)), ["registry main"])]
        return bool(list(disks_in_trouble(disks, rules, standing(journal))))

    assert [low(0.9 * GIB), low(1.05 * GIB)] == [True, False]
    assert [low(15 * GIB, 2000 * GIB), low(25 * GIB, 2000 * GIB)] == [True, False]
    assert [low(0.04 * GIB, 0.5 * GIB), low(0.06 * GIB, 0.5 * GIB)] == [True, False]  # a small disk: a tenth
    declared = AlarmRules(low_bytes=5, low_share=0, low_most=1.0)
    assert [low(4, 10, declared), low(6, 10, declared)] == [True, False]
    raise_alarm(journal, clock, "low-space", "/mnt", "warning", "")
    assert [low(1.05 * GIB), low(1.15 * GIB)] == [True, False]


def test_a_disk_without_inodes_is_low_on_space_however_many_bytes_are_free() -> None:
    def reasons(inodes: int, free: int) -> list[str]:
        room = Room(mount="/mnt", free=900 * GIB, size=1000 * GIB, inodes=inodes, inodes_free=free)
        return [each.reason for each in disks_in_trouble([(room, ["watch a"])], RULES, [])]

    assert reasons(10_000, 99) == ["99 of 10000 inodes are free; here lie watch a"]
    assert reasons(10_000, 100) == []
    assert reasons(0, 0) == []


def test_damage_stands_until_it_is_looked_at_again_and_gone(journal: Faked, clock: FakeClock) -> None:
    damages = [
        Damage(ref="e/r1", kind="bytes", detail="digest differs", path="a"),
        Damage(ref="e/r1", kind="bytes", detail="digest differs", path="b"),
        Damage(ref="e/r2", kind="missing", detail="is gone"),
        Damage(ref="e/r3", kind="signature", detail="not signed"),
    ]
    note_damage(journal, clock, "main", damage_texts(damages))
    assert known_damage(journal, "main") == {"e/r1": "a: digest differs", "e/r2": "is gone"}
    note_damage(journal, clock, "main", {})
    note_damage(journal, clock, "main", {}, "e/r1".__eq__)
    (alarm,) = standing(journal)
    assert alarm.reason == "1 damaged: e/r2 (is gone)"
    assert known_damage(journal, "other") == {}
    note_damage(journal, clock, "main", {}, lambda _ref: True)
    assert standing(journal) == ()
    assert journal.events.kinds() == ["alarm.raised", "alarm.cleared"]


def sealed(journal: Faked, clock: FakeClock, watch: str) -> None:
    journal.events.record("run.sealed", "e/r", watch=watch)
    journal.events.seen[-1]["at"] = clock.now().timestamp()


def test_runs_are_expected_from_the_last_one_that_any_process_sealed(journal: Faked, clock: FakeClock) -> None:
    daily = {"nightly": Expectation(every_s=86400.0, grace_s=0.0)}
    cadence = Cadence(journal, clock)
    assert not cadence.missing(daily)
    sealed(journal, clock, "nightly")
    sealed(journal, clock, "another")
    clock.advance(86401)
    assert [each.subject for each in cadence.missing(daily)] == ["nightly"]
    later = Cadence(journal, clock)
    assert not later.missing(daily)
    clock.advance(601)
    assert [each.key for each in later.missing(daily)] == ["run-missing:nightly"]
    sealed(journal, clock, "nightly")
    assert not later.missing(daily)


def test_times_are_remembered_when_the_events_are_gone(journal: Faked, clock: FakeClock) -> None:
    learn = {"nightly": Expectation()}
    for _day in range(6):
        sealed(journal, clock, "nightly")
        clock.advance(86400)
    assert not Cadence(journal, clock).missing(learn)
    journal.events.seen[:] = [{"at": 0.0, "kind": "else", "subject": ""}] * len(journal.events.seen)
    clock.advance(3 * 86400)
    again = Cadence(journal, clock)
    clock.advance(601)
    assert [each.subject for each in again.missing(learn)] == ["nightly"]
