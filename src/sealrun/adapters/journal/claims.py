"""Who works on a delivery: a process, named so that a dead one is recognized even if its number is in use again.

Two processes that cannot see each other (pid namespaces of two containers) take each other for dead. Then both carry
the same attempt, whose every write is the same whoever makes it: that costs work, never data.
"""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_START_FIELD = 19
"""Index of ``starttime`` (field 22 of proc_pid_stat(5)) among the fields behind the command's name."""
_ZOMBIE_STATES = {"Z", "X", "x"}

_lock = threading.Lock()
_held: dict[str, set[int]] = {}
"""Claims that this process works on now, by state id: a fact of the process, not of any one object in it."""


def process_claim(pid: int | None = None) -> str:
    """Name a process (this one by default): boot, number and start time."""
    return _own_claim(os.getpid()) if pid is None else f"{_boot()}:{pid}:{_started(pid) or ''}"


@cache
def _own_claim(pid: int) -> str:
    """Name this process, whose facts do not change while it runs."""
    return f"{_boot()}:{pid}:{_started(pid) or ''}"


def is_alive(claim: str) -> bool:
    """Tell whether the process that made a claim still runs. In doubt it does."""
    boot, _, rest = claim.partition(":")
    pid, _, started = rest.partition(":")
    if boot != _boot() or not pid.isdigit():
        return False
    if started:
        return _started(int(pid)) == started
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Claims:
    """The claims of one journal, as this process sees them."""

    def __init__(self, state_id: str) -> None:
        """Look at the journal `state_id`."""
        self._state_id = state_id
        self._mine: set[int] = set()

    def name(self) -> str:
        """What this process writes into a claim. After a fork it is another one."""
        return process_claim()

    def is_free(self, delivery: int, claim: str | None) -> bool:
        """Tell whether nobody works on a delivery: unclaimed, its process is dead, or it was us and we gave up."""
        if claim is None:
            return True
        if claim == process_claim():
            with _lock:
                return delivery not in _held.get(self._state_id, ())
        return not is_alive(claim)

    def take(self, delivery: int) -> None:
        """We work on it from now on."""
        with _lock:
            _held.setdefault(self._state_id, set()).add(delivery)
            self._mine.add(delivery)

    def drop(self, delivery: int) -> None:
        """We do not work on it any more, whether or not the journal could be told."""
        with _lock:
            _held.get(self._state_id, set()).discard(delivery)
            self._mine.discard(delivery)

    def drop_all(self) -> None:
        """Whoever used this object is gone."""
        with _lock:
            _held.get(self._state_id, set()).difference_update(self._mine)
            self._mine.clear()


@cache
def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"  # no such file system: processes are told apart by number alone


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if it does not run or cannot be looked at."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in _ZOMBIE_STATES else fields[_START_FIELD]
