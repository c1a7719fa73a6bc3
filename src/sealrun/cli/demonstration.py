"""The main job in half a minute, on the embedded default, with real processes: what ``sealrun demo`` shows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from sealrun.domain.errors import SealrunError, UnavailableError

EXPERIMENT = "demo"
RUN = "first-run"
_PATIENCE_S = 120.0
_POLL_S = 0.25
_PRODUCER = """
import json, pathlib, random, sys, time
run = pathlib.Path(sys.argv[1])
run.mkdir()
(run / "config.json").write_text(json.dumps({"learning_rate": 0.1, "steps": 30}))
with (run / "metrics.jsonl").open("w") as metrics, (run / "model.bin").open("wb") as model:
    for step in range(30):
        metrics.write(json.dumps({"step": step, "loss": 1 / (step + 1)}) + "\\n")
        metrics.flush()
        model.write(random.randbytes(65536))
        model.flush()
        time.sleep(0.1)
(run / "notes with a space.txt").write_text("finished\\n")
(run / "_SUCCESS").touch()
"""


def demonstrate(folder: Path) -> None:
    """Run the demonstration inside `folder`, which must not exist or be empty; raise if any step is not as promised."""
    _say(f"1. sealrun init {folder}")
    _sealrun(folder, "init", str(folder), "--experiment", EXPERIMENT, config=False)
    outbox = folder / "outbox"
    _say("2. sealrun daemon &")
    with (folder / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*_self(folder), "daemon"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _watch_a_run(folder, outbox / RUN, daemon)
        _show_proof(folder)
    finally:
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait(_PATIENCE_S)
    if code:
        msg = f"the daemon ended with exit code {code}; its log is {folder / 'daemon.log'}"
        raise SealrunError(msg)
    _say("6. the daemon was asked to stop, and has")


def _watch_a_run(folder: Path, run: Path, daemon: subprocess.Popen[bytes]) -> None:
    _say(f"3. another process writes {run}: files appear and grow for three seconds")
    producer = subprocess.Popen([sys.executable, "-c", _PRODUCER, str(run)], stdin=subprocess.DEVNULL)  # noqa: S603 - ours
    looks = 0
    while producer.poll() is None:
        if _runs(folder) and not (run / "_SUCCESS").exists():
            msg = "a run was sealed while it was being written"
            raise SealrunError(msg)
        looks += 1
        time.sleep(_POLL_S)
    if producer.returncode:
        msg = f"the producer failed with exit code {producer.returncode}"
        raise SealrunError(msg)
    _say(f"   looked {looks} times while it was written: nothing was sealed")
    _say("4. its _SUCCESS marker is there; now the daemon seals and publishes it")
    _wait(lambda: bool(_latest(folder)), daemon, folder)


def _show_proof(folder: Path) -> None:
    latest = _latest(folder)
    target = latest["target"]
    ref = f"{target['experiment']}/{target['run_id']}"
    sealed = folder / "registry" / "experiments" / target["experiment"] / "runs" / target["run_id"]
    _say(f"5. {EXPERIMENT}@latest now leads to {ref}")
    _say(f"   path    {sealed}")
    _say(f"   root    {target['root_sha256']}")
    if shutil.which("sha256sum"):
        _say("   proof   sha256sum -c MANIFEST.sha256")
        subprocess.run(["sha256sum", "-c", "MANIFEST.sha256"], cwd=sealed, check=True)  # noqa: S607 - found on PATH above
    _sealrun(folder, "verify", ref)
    _say(f"   read    sealrun get {EXPERIMENT}@latest restored")
    _sealrun(folder, "get", f"{EXPERIMENT}@latest", str(folder / "restored"))
    for path in sorted(path for path in (folder / "outbox" / RUN).rglob("*") if path.is_file()):
        copy = folder / "restored" / path.relative_to(folder / "outbox" / RUN)
        if copy.read_bytes() != path.read_bytes():
            msg = f"{copy}: differs from {path}"
            raise SealrunError(msg)
    _say(f"           sealrun cat {EXPERIMENT}@latest:metrics.jsonl")
    lines = _sealrun(folder, "cat", f"{EXPERIMENT}@latest:metrics.jsonl").splitlines()
    _say(f"           {lines[-1]}")


def _latest(folder: Path) -> Mapping[str, Any]:
    if not _runs(folder):
        return {}
    rows = [json.loads(line) for line in _sealrun(folder, "pointer", "ls", EXPERIMENT, "--json").splitlines()]
    return next((row for row in rows if row["pointer"].endswith("@latest")), {})


def _runs(folder: Path) -> list[str]:
    rows = (json.loads(line) for line in _sealrun(folder, "ls", "--json").splitlines())
    return [row["experiment"] for row in rows if row["experiment"] == EXPERIMENT and row["runs"]]


def _wait(condition: Callable[[], bool], daemon: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if daemon.poll() is not None or time.monotonic() > deadline:
            msg = f"the run was not published; the daemon's log is {folder / 'daemon.log'}"
            raise UnavailableError(msg)
        time.sleep(_POLL_S)


def _sealrun(folder: Path, *arguments: str, config: bool = True) -> str:
    command = _self(folder) if config else _self(folder)[:3]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        msg = f"sealrun {' '.join(arguments)}: exit code {done.returncode}"
        raise SealrunError(msg)
    return done.stdout


def _self(folder: Path) -> list[str]:
    os.environ.pop("SEALRUN_HOME", None)  # the demonstration's state stays in its own folder
    return [sys.executable, "-m", "sealrun", "--config", str(folder / "sealrun.toml")]


def _say(text: str) -> None:
    click.echo(text)
