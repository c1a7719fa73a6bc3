"""Whether a process that named itself still lives: its number, when it started, and in which system; see proc(5)."""

# ruff: noqa: PTH115, PTH123 - names go to the kernel as they are

from __future__ import annotations

import os

from sealrun.domain.runs.recorder import Recorder

_STATE, _STARTED = 0, 19
"""Fields of ``/proc/PID/stat`` behind the name, which may hold anything: 3 and 22, as proc(5) counts."""


def lives(recorder: Recorder, proc: str = "/proc") -> bool | None:
    """Tell whether that very process lives; None if its number means nothing here, or it cannot be told.

    A number is asked for only where it was given: in this boot of this kernel, in this namespace of processes. One that
    another process has by now is gone, and so is one that only waits to be buried.
    """
    if recorder.process <= 0 or None in {recorder.boot, recorder.started, recorder.namespace}:
        return None
    if (recorder.boot, recorder.namespace) != _system(proc):
        return None
    try:
        with open(f"{proc}/{recorder.process}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False if _is_free(recorder.process) else None
    except OSError:
        return None
    return len(fields) > _STARTED and int(fields[_STARTED]) == recorder.started and fields[_STATE] not in {b"Z", b"X"}


def _system(proc: str) -> tuple[str, str] | None:
    """This boot of this kernel, and our namespace of processes."""
    try:
        with open(f"{proc}/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip(), os.readlink(f"{proc}/self/ns/pid")
    except (OSError, ValueError):
        return None


def _is_free(process: int) -> bool:
    """Tell whether no process has the number: where ``/proc`` hides other users' (hidepid), this does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # somebody else's, and as good as any
    return False
