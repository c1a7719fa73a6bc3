"""What the daemon's timers do about sources and mirrors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.machine.timers import SystemTimers, every
from sealrun.bootstrap.daemon.chores import Chores, InterruptedChoreError
from sealrun.bootstrap.daemon.composition import Composition
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.mirroring import Mirrors
from sealrun.domain.errors import UnavailableError
from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.domain.watches.watch import ReclaimRule, WatchSpec

CLOCK, ENTROPY = SystemClock(), SystemEntropy()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = open_journal(tmp_path / "state", CLOCK, ENTROPY)
    yield journal
    journal.close()


def test_a_daemon_has_a_timer_for_reclaiming_and_one_for_each_mirror(tmp_path: Path, journal: SqliteJournal) -> None:
    registries = {"main": RegistrySpec(name="main", url=str(tmp_path / "registry"))}
    watch = WatchSpec(
        name="w",
        path=str(tmp_path / "outbox"),
        experiment="e",
        registries=("main",),
        settle_s=0.0,
        reclaim=ReclaimRule(after_s=0.0),
    )
    mirror = MirrorSpec(name="browse", path=str(tmp_path / "browse"), registry="main")
    (tmp_path / "outbox/run").mkdir(parents=True)
    for name in ("a", "_SUCCESS"):
        (tmp_path / "outbox/run" / name).write_text(name)
    with Parts(tmp_path / "state", registries, [watch]) as parts:
        assert parts.producer.scan_once().published
    composition = Composition(tmp_path / "state", journal, CLOCK, ENTROPY)
    made = composition.parts(registries, [watch], [mirror])
    assert isinstance(made.timers, Chores)

    try:
        timers = made.timers._timers._timers
        for name in ("reclaim", "mirror:browse"):
            timers[name].work()
    finally:
        made.timers.close()
        made.watcher.close()
        made.pool.stop()
    assert os.listdir(tmp_path / "outbox") == []  # noqa: PTH208 - hidden names count
    assert [path.name for path in (tmp_path / "browse/e").iterdir()]


def test_work_that_runs_when_the_timers_are_closed_ends_at_its_next_step(journal: SqliteJournal) -> None:
    timers = SystemTimers(journal.facts, CLOCK, ENTROPY)
    chores = Chores(timers)
    chores.add("long", every(60), chores.advance)
    work = timers._timers["long"].work
    work()
    chores.close()
    with pytest.raises(InterruptedChoreError):
        work()
    assert timers.due("long") < CLOCK.now() + timedelta(seconds=60)


def test_a_mirror_of_a_registry_that_does_not_exist_yet_waits_and_of_one_that_vanished_complains(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    spec = RegistrySpec(name="main", url=str(tmp_path / "registry"))
    mirrors = Mirrors(
        tmp_path / "state",
        journal,
        {"main": spec},
        [MirrorSpec(name="m", path=str(tmp_path / "m"), registry="main")],
        FakeClock(),
        ENTROPY,
    )
    mirrors.round("m", lambda _size: None)
    assert not (tmp_path / "m").exists()
    with Parts(tmp_path / "state", {"main": spec}, []) as parts:
        (tmp_path / "run").mkdir()
        (tmp_path / "run/a").write_text("1")
        parts.producer.publish(str(tmp_path / "run"), "e")
    (tmp_path / "registry").rename(tmp_path / "away")
    with pytest.raises(UnavailableError):
        mirrors.round("m", lambda _size: None)
    (tmp_path / "away").rename(tmp_path / "registry")
    mirrors.round("m", lambda _size: None)
    assert list((tmp_path / "m/e").iterdir())
