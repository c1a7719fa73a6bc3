"""A real ``sealrun daemon`` with one watch and one registry, and what can be seen of it from outside."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.server import ACCESS_KEY, SECRET_KEY, Server

_TICK = os.sysconf("SC_CLK_TCK")
_PATIENCE_S = 1800.0
_PUBLISHED = "SELECT folder, published_at FROM deliveries JOIN sealed_runs ON sealed_runs.id = sealed WHERE state = ?"


def write_settings(room: Path, watched: Path, server: Server | None, settle: str, bucket: str = "") -> Path:
    """Write settings that publish what appears in `watched` to a directory in `room`, or to a new `bucket`."""
    lines = ["version = 1", f"state = {json.dumps(str(room / 'state'))}", "[registry.main]"]
    if server is None:
        lines.append(f"url = {json.dumps(str(room / 'registry'))}")
    else:
        server.create_bucket(bucket)
        endpoint = f"client_kwargs = {{ endpoint_url = {json.dumps(server.endpoint)} }}"
        options = f'key = "{ACCESS_KEY}", secret = "{SECRET_KEY}", {endpoint}'
        lines += [f'url = "s3://{bucket}/registry"', f"storage_options = {{ {options} }}"]
    lines += ["[[watch]]", f"path = {json.dumps(str(watched))}", 'experiment = "bench"', f'settle = "{settle}"']
    path = room / "sealrun.toml"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


@contextmanager
def daemon(settings: Path, log: Path, tracer: Sequence[str] = ()) -> Iterator[int]:
    """Run the daemon, perhaps under a `tracer`, and stop it; yield its process id. `RuntimeError` if it failed."""
    argv = [*tracer, sys.executable, "-m", "sealrun", "daemon", "--config", str(settings)]
    with log.open("wb") as said:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)  # noqa: S603 - ours
    pid = _child_of(process.pid) if tracer else process.pid
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode:
        raise RuntimeError(f"the daemon ended with {process.returncode}: {log.read_text()[-2000:]}")


def _child_of(tracer: int) -> int:
    """Return the traced process: the tracer has short-lived children of its own before."""
    while True:
        for pid in map(int, Path(f"/proc/{tracer}/task/{tracer}/children").read_text().split()):
            with suppress(FileNotFoundError):
                if b"daemon" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:5]:
                    return pid
        time.sleep(0.05)


def wait_published(pid: int, room: Path, wanted: int, pause_s: float = 0.2) -> dict[str, float]:
    """Wait until the daemon's journal says that so many runs are published; return when each was, by its folder.

    That is noted after the pointer has moved and the intent is gone. `RuntimeError` if the daemon has ended.
    """
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        if _has_ended(pid):
            raise RuntimeError(f"the daemon has ended: {(room / 'log').read_text()[-2000:]}")
        time.sleep(pause_s)
        try:
            journal = sqlite3.connect(f"file:{room}/state/journal.sqlite?mode=ro", uri=True)
        except sqlite3.OperationalError:
            continue  # it is not there yet
        try:
            found = dict(journal.execute(_PUBLISHED, ("published",)).fetchall())
        except sqlite3.OperationalError:
            continue  # nor are its tables
        finally:
            journal.close()
        if len(found) >= wanted:
            return found
    raise TimeoutError(f"{room}: {wanted} runs were not published in time; see {room}/log")


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def cpu_of(pid: int) -> float:
    """Return a process's CPU seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def peak_mib(pid: int) -> float:
    """Return a process's peak so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
