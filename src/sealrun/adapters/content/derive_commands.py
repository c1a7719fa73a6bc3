"""Commands that compute outputs: run in a room of their own, with a time limit, and ended with all they started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

_END_S = 10.0
_TAIL = 2000
_LOOK_S = 0.2
INPUTS, ABOUT, LOG = "inputs", "inputs.json", "derive.log"


class CommandTask(msgspec.Struct, frozen=True):
    """A command, the room it runs in (`inputs/` and `inputs.json` are there), where it writes, and what it is told."""

    command: tuple[str, ...]
    room: str
    output: str
    environment: Mapping[str, str]
    timeout_s: float


def run_command(task: CommandTask, go_on: Callable[[], None] | None = None) -> str | None:
    """Run a command to its end: None if it succeeded, else why not. What it printed is in ``derive.log``.

    It and whatever it started are ended when its time is over, or when `go_on`, which is called now and then, raises. A
    kill of this process leaves it running in a room that nobody publishes. May be called wherever the room is seen.
    """
    room = Path(task.room)
    with (room / LOG).open("wb") as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - what the settings say, by whoever may write them
                task.command,
                cwd=room,
                env={**os.environ, **task.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"{task.command[0]}: cannot be run ({error.strerror})"
        try:
            code = _wait(process, task.timeout_s, go_on)
        finally:
            _end(process)
    if code is None:
        return f"was not done after {task.timeout_s:g} s, and was ended{_said(room)}"
    if code:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"{how}{_said(room)}"
    if not any(Path(task.output).iterdir()):
        return "succeeded, and left its output folder empty: write to {output}, or $SEALRUN_OUTPUT"
    return None


def _wait(process: subprocess.Popen[bytes], timeout_s: float, go_on: Callable[[], None] | None) -> int | None:
    """Return the exit code, or None when the time is over."""
    until = time.monotonic() + timeout_s
    while (left := until - time.monotonic()) > 0:
        if go_on is not None:
            go_on()
        with suppress(subprocess.TimeoutExpired):
            return process.wait(min(_LOOK_S, left))
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command's whole group: first politely, if it still runs itself."""
    with suppress(ProcessLookupError, PermissionError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(room: Path) -> str:
    """The end of what it printed."""
    with (room / LOG).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
        text = log.read().decode("utf-8", "replace").strip()
    return f"; it said: {text}" if text else ""
