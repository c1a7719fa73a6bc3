"""A daemon as a process, and a service manager that listens to it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.deployment import Deployment, wait_for

_FED_EVERY_S = 0.5


class Manager:
    """Listens as systemd does."""

    def __init__(self, path: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._server.bind(str(path))
        self._server.settimeout(0.0)
        self.heard: list[str] = []

    def hear(self) -> list[str]:
        while True:
            try:
                self.heard.append(self._server.recv(8192).decode())
            except BlockingIOError:
                return self.heard

    def knows(self, *parts: str) -> bool:
        """Whether some message has all of `parts`."""
        return any(all(part in message for part in parts) for message in self.hear())

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(3 * _FED_EVERY_S * 1e6)))
    yield manager
    manager.close()


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    (tmp_path / "outbox").mkdir()
    watch = {"name": "outbox", "path": str(tmp_path / "outbox"), "experiment": "e", "settle": "1s"}
    deployment = Deployment(tmp_path, {"main": {"url": str(tmp_path / "registry")}}, watch)
    yield deployment
    for daemon in deployment.daemons:
        daemon.kill()
        daemon.wait()


def test_a_daemon_tells_its_manager_of_every_phase(deployment: Deployment, manager: Manager) -> None:
    daemon = deployment.start()
    wait_for("READY", lambda: manager.knows("READY=1", "STATUS=1 watch, 1 registry"))
    wait_for("food for the watchdog", lambda: manager.knows("WATCHDOG=1"))
    good = deployment.settings.read_text()
    deployment.settings.write_text("version = 1\npaht = 1\n")
    daemon.send_signal(signal.SIGHUP)
    wait_for("a refusal", lambda: manager.knows("READY=1", "STATUS=settings refused, the old ones stay", "paht"))
    assert manager.knows("RELOADING=1", "MONOTONIC_USEC=")
    deployment.settings.write_text(good)
    manager.heard.clear()
    daemon.send_signal(signal.SIGHUP)
    wait_for("a good reload", lambda: manager.knows("READY=1", "STATUS=1 watch, 1 registry"))
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    assert manager.knows("STOPPING=1", "EXTEND_TIMEOUT_USEC=")


def test_a_process_that_is_stopped_feeds_no_watchdog(deployment: Deployment, manager: Manager) -> None:
    daemon = deployment.start()
    wait_for("food for the watchdog", lambda: manager.knows("WATCHDOG=1"))
    daemon.send_signal(signal.SIGSTOP)
    wait_for("the stop", lambda: Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    manager.hear()
    manager.heard.clear()
    time.sleep(6 * _FED_EVERY_S)
    assert manager.hear() == []
    os.kill(daemon.pid, signal.SIGCONT)
    wait_for("food again", lambda: manager.knows("WATCHDOG=1"))
