from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

DAEMON = """
import threading
from pathlib import Path

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.journal import open_journal
from sealrun.domain.errors import ConfigurationError
from sealrun.services.daemon.lifecycle import Daemon
from sealrun.services.threads.looping import SealPool
from sealrun.services.daemon.running import Parts
import sys


class Nobody:
    def describe(self): return {}
    def close(self): pass


def refuse():
    raise ConfigurationError("unknown key")


clock, entropy = SystemClock(), SystemEntropy()
parts = Parts(
    journal=open_journal(Path(sys.argv[1]), clock, entropy), watcher=Nobody(), intakes=(), lines=(), pool=SealPool(1)
)
if sys.argv[2] == "stuck":
    parts.pool.launch(threading.Event().wait)
say = lambda phase: print(phase, flush=True)
sys.exit(Daemon(parts, clock, entropy, reload=refuse, tell=say).run())
"""
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: object) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(how: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, str(tmp_path), how],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        assert said(process) == "ready"
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def said(process: subprocess.Popen[str]) -> str:
    """The next phase that the daemon tells."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_a_signal_stops_the_daemon_with_its_code(start: Start, number: signal.Signals, code: int) -> None:
    process = start("idle")
    process.send_signal(number)
    assert said(process) == "stopping"
    assert process.wait() == code


def test_a_second_sigterm_ends_a_daemon_that_is_stuck(start: Start) -> None:
    process = start("stuck")
    process.send_signal(signal.SIGTERM)
    assert said(process) == "stopping"
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 1


def test_sighup_with_wrong_settings_ends_nothing(start: Start) -> None:
    process = start("idle")
    process.send_signal(signal.SIGHUP)
    assert [said(process), said(process)] == ["reloading", "ready"]
    process.send_signal(signal.SIGTERM)
    assert said(process) == "stopping"
    assert process.wait() == 0
