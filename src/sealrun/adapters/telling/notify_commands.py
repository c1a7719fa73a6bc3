"""Running a command that tells somebody: the event on its standard input, a limit of time, and nothing left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress

_MOST_SAID = 300
_KILLED_S = 5.0


def run_notification(
    command: Sequence[str], body: bytes, environment: Mapping[str, str], timeout_s: float
) -> str | None:
    """Run `command` with `body` on its standard input; None if it exited with 0, else why not.

    What it printed is part of the answer, its end at most. It and what it started are ended when its time is over.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
        given.write(body)
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - what the settings say, by whoever may write them
                list(command),
                env={**os.environ, **{name: value.replace("\0", " ") for name, value in environment.items()}},
                stdin=given,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"{command[0]}: cannot be run ({error.strerror})"
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"{command[0]}: was not done after {timeout_s:g} s, and was ended"
        finally:
            _end(process)
        if code == 0:
            return None
        size = printed.seek(0, os.SEEK_END)
        printed.seek(max(0, size - _MOST_SAID))
        said = printed.read().decode("utf-8", "replace").strip()
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
    shown = "".join(letter if letter.isprintable() else " " for letter in said)
    return f"{command[0]}: {how}" + (f": {shown}" if shown else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the command's group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_KILLED_S)
