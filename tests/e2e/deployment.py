"""A real deployment: settings on disk, daemons as processes, everything asked through the command line."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sealrun.cli.main import run

PATIENCE_S = 120.0


def wait_for(what: str, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Poll until `condition` holds; the limit only ends a test that hangs."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            msg = f"waited {patience_s:.0f} s in vain: {what}"
            raise AssertionError(msg)
        time.sleep(0.1)


def toml_value(value: object) -> str:
    """Write a settings value; JSON's scalars and arrays are TOML's, tables are written inline."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


STARTED: list[Deployment] = []
"""Every deployment of this process, so that a test that fails leaves no daemon behind."""


def _minds(daemon: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Tell whether a process has a handler for a signal; see proc(5)."""
    with suppress(OSError):
        for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


@dataclass
class Deployment:
    """A settings file with its state folder, one watch and any registries."""

    root: Path
    registries: Mapping[str, Mapping[str, Any]]
    watch: Mapping[str, Any]
    state: str = "state"
    name: str = "sealrun.toml"
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the settings."""
        STARTED.append(self)
        self.write_settings()

    @property
    def settings(self) -> Path:
        return self.root / self.name

    @property
    def log(self) -> Path:
        return self.root / f"{self.state}.log"

    def write_settings(self, extra: str = "") -> None:
        lines = ["version = 1", f"state = {json.dumps(str(self.root / self.state))}"]
        for name, table in self.registries.items():
            lines += [f"[registry.{name}]", *(f"{key} = {toml_value(value)}" for key, value in table.items())]
        lines += ["[[watch]]", *(f"{key} = {toml_value(value)}" for key, value in self.watch.items()), extra]
        self.settings.write_text("\n".join(lines) + "\n")

    def run(self, *arguments: str, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `check` is the exit code it must have."""
        done = subprocess.run(
            [sys.executable, "-m", "sealrun", "--config", str(self.settings), *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check is not None and done.returncode != check:
            msg = f"{arguments}: exit code {done.returncode}, expected {check}\n{done.stdout}\n{done.stderr}"
            raise AssertionError(msg)
        return done

    def asked(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in this process, for those who ask again and again: starting a program takes longer."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(["--config", str(self.settings), *arguments])
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever the command prints
        """Run a command with ``--json`` and decode the one value it prints."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command with ``--json`` and decode the JSON Lines it prints."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    def runs(self, registry: str) -> list[dict[str, Any]]:
        """Runs that one registry lists: none where a daemon has not made the registry yet, or it cannot be reached."""
        awaited = ("ls", str(self.watch["experiment"]), "--error-on-nothing")
        done = self.asked(*awaited, "--registry", registry, "--json")
        if done.returncode in {4, 5, 10}:
            return []
        if done.returncode:
            msg = f"ls: exit code {done.returncode}: {done.stderr}"
            raise AssertionError(msg)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def start(self) -> subprocess.Popen[bytes]:
        """Start a daemon; its log goes to a file."""
        with self.log.open("ab") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "sealrun", "--config", str(self.settings), "daemon"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.daemons.append(daemon)
        return daemon

    def stop(self) -> None:
        """Ask every daemon to stop and see it end with 0."""
        for daemon in self.daemons:
            while daemon.poll() is None and not _minds(daemon, signal.SIGTERM):
                time.sleep(0.01)  # one that has only just been started ends by the signal itself
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
        for daemon in self.daemons:
            code = daemon.wait(PATIENCE_S)
            if code not in {0, -signal.SIGKILL}:
                msg = f"the daemon ended with {code}:\n{self.log.read_text()[-4000:]}"
                raise AssertionError(msg)
        self.daemons.clear()

    def kill(self) -> None:
        """End every daemon at once, wherever it is."""
        for daemon in self.daemons:
            if daemon.poll() is None:
                os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait(PATIENCE_S)
        self.daemons.clear()


def make_run(folder: Path, files: Mapping[str, bytes], *, marker: bool = True) -> Path:
    """Write a run folder's files, the completion marker last."""
    for path, body in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
    if marker:
        (folder / "_SUCCESS").touch()
    return folder


def copy_in(source: Path, target: Path) -> None:
    """Drop a folder as ``cp -r`` does."""
    shutil.copytree(source, target)
