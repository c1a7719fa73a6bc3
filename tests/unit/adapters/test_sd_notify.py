from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealrun.adapters.machine.sd_notify import ServiceManager, take_service_manager


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@sealrun-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + name[1:] if name.startswith("@") else name)
        server.settimeout(60.0)
        yield server, name


def _heard(server: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in server.recv(4096).decode().split("\n"))


def test_a_ready_service_says_so_with_its_status(listening: tuple[socket.socket, str]) -> None:
    server, name = listening
    ServiceManager(name).ready("2 watches")
    assert _heard(server) == {"READY": "1", "STATUS": "2 watches"}


def test_a_reload_says_when_it_began(listening: tuple[socket.socket, str]) -> None:
    server, name = listening
    ServiceManager(name).reloading()
    heard = _heard(server)
    assert heard["RELOADING"] == "1"
    assert int(heard["MONOTONIC_USEC"]) > 0


def test_a_stop_asks_for_the_time_that_it_needs(listening: tuple[socket.socket, str]) -> None:
    server, name = listening
    ServiceManager(name).stopping(90.0)
    heard = _heard(server)
    assert heard["STOPPING"] == "1"
    assert heard["EXTEND_TIMEOUT_USEC"] == "90000000"


def test_a_status_of_several_lines_is_one_line_and_nothing_else(listening: tuple[socket.socket, str]) -> None:
    server, name = listening
    ServiceManager(name).status("a file called x\nREADY=1\nMAINPID=1")
    assert _heard(server) == {"STATUS": "a file called x READY=1 MAINPID=1"}


def test_a_watchdog_is_fed_only_where_there_is_one(listening: tuple[socket.socket, str]) -> None:
    server, name = listening
    ServiceManager(name).feed()
    ServiceManager(name, 30.0).feed()
    assert _heard(server) == {"WATCHDOG": "1"}


def test_what_the_environment_says_is_taken_out_of_it() -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    manager = take_service_manager(environ)
    assert manager.listens
    assert manager.watchdog_s == 30.0
    assert environ == {"HOME": "/"}


def test_children_do_not_inherit_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@x")
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    take_service_manager(os.environ)
    code = "import os; print([name for name in os.environ if name.startswith(('NOTIFY', 'WATCHDOG_'))])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert said.stdout == "[]\n"


@pytest.mark.parametrize(
    "environ",
    [
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "@x"},
    ],
)
def test_a_watchdog_that_waits_for_somebody_else_is_not_fed(environ: dict[str, str]) -> None:
    assert take_service_manager(environ).watchdog_s is None


def test_without_a_manager_nothing_is_sent_and_nothing_fails() -> None:
    manager = take_service_manager({})
    assert not manager.listens
    manager.ready("x")
    manager.stopping(1.0)


def test_a_manager_that_is_gone_does_not_stop_the_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager(str(tmp_path / "gone"), 1.0)
    for _ in range(3):
        manager.feed()
    assert len(caplog.records) == 1
