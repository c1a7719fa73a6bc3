"""A server as a process of its own, in a group of its own, ended with whoever started it."""

from __future__ import annotations

import atexit
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

PATIENCE_S = 60.0
_GRACE_S = 5.0


class ServerError(AssertionError):
    """A server that a test needs did not start; the message holds the end of its log."""


def find_program(name: str) -> str:
    """Return the path of a program that came with a Python package, or of the system's."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        msg = f"{name}: not installed; it comes with the test dependencies: pip install 'sealrun[test]'"
        raise ServerError(msg)
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


class Process:
    """One server process; `start` and `stop` may alternate, with the same command and the same log."""

    def __init__(self, command: Sequence[str], log: Path, port: int, path: str = "/") -> None:
        self._command = list(command)
        self._log = log
        self._port = port
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is stopped"
        return self._process.pid

    def start(self) -> None:
        """Start and wait until the server answers over HTTP, whatever it answers below 500."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                ended = self._process.poll()
                self.stop()
                tail = self._log.read_text(errors="replace")[-2000:]
                msg = f"{self._command[0]} did not start (exit {ended}); its log ends:\n{tail}"
                raise ServerError(msg)
            time.sleep(0.05)

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the whole process group, and wait for it. Harmless when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (how, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
                return

    def forget(self) -> None:
        """Stop for good, at once: what it keeps goes away with it."""
        self.stop(signal.SIGKILL)
        atexit.unregister(self.stop)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
        try:
            connection.request("GET", self._path)
            return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
