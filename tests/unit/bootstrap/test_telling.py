from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.builders.runs import a_run
from tests.fakes.clock import FakeClock

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.daemon.composition import Composition
from sealrun.bootstrap.daemon.telling import Telling, status_line
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.daemon.lifecycle import Daemon
from sealrun.services.daemon.running import Parts
from sealrun.services.oversight.alarming import raise_alarm


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = open_journal(tmp_path / "state", SystemClock(), SystemEntropy())
    yield journal
    journal.close()


@pytest.fixture
def parts(journal: SqliteJournal, tmp_path: Path) -> Iterator[Parts]:
    composition = Composition(tmp_path / "state", journal, SystemClock(), SystemEntropy())
    watch = WatchSpec(name="w", path=str(tmp_path / "w"), experiment="e", registries=())
    parts = composition.parts({}, [watch])
    yield parts
    parts.pool.stop()
    parts.watcher.close()


def test_the_status_counts_what_there_is_and_what_waits(parts: Parts, journal: SqliteJournal) -> None:
    assert status_line(parts, None) == "1 watch, 0 registries; 0 queued, 0 parked"
    run, _ = a_run()
    journal.deliveries.accept(run, ["main", "cloud"])
    assert "2 queued" in status_line(parts, None)


def test_what_is_wrong_comes_first(parts: Parts, journal: SqliteJournal) -> None:
    raise_alarm(journal, FakeClock(), "registry-unreachable", "main", "critical", "no answer")
    said = status_line(parts, "sealrun.toml: watch: paht is no setting")
    assert said.startswith("settings refused, the old ones stay: sealrun.toml")
    assert "1 alarm: registry-unreachable main; 1 watch" in said


class _Spoken:
    """As much of a daemon as is spoken for."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.refused: str | None = None

    def gone(self) -> list[str]:
        return []


def test_phases_are_told_and_the_watchdog_is_fed_until_the_stop(parts: Parts, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(60.0)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000"}
        telling = Telling(SystemClock(), environ=environ)
        assert environ == {}
        telling.of(cast("Daemon", _Spoken(parts)))
        telling("ready")
        heard = [server.recv(4096).decode() for _ in range(4)]
        assert heard[0].startswith("READY=1\nSTATUS=1 watch")
        assert "WATCHDOG=1" in heard[1:]
        telling("reloading")
        telling("ready")
        telling("stopping")
        while not heard[-1].startswith("STOPPING=1"):
            heard.append(server.recv(4096).decode())
        assert any(said.startswith("RELOADING=1\nMONOTONIC_USEC=") for said in heard)
        assert sum(said.startswith("READY=1") for said in heard) == 2


@pytest.mark.parametrize("patience", ["soon", "0s", "-3"])
def test_a_patience_that_is_no_duration_is_refused(patience: str) -> None:
    with pytest.raises(ConfigurationError, match="SEALRUN_PATIENCE"):
        Telling(SystemClock(), environ={"SEALRUN_PATIENCE": patience})
