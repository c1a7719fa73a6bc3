"""Signs of life of a run that is being recorded, for daemons on other machines: one line, overwritten now and then.

Nothing of it is synced, and a sign that cannot be given is not given: it never fails a run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import weakref
from datetime import UTC, datetime
from pathlib import Path

from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.recorder import HEARTBEAT_FILE, RECORDING_FILE, Recorder, pulse_line
from sealrun.recording.durable import make_folders, write_json

DEFAULT_HEARTBEAT_S = 30.0
_LEAST_S = 1.0
_STARTED = 19
"""Field 22 of ``/proc/PID/stat``, counted from behind the name; see proc(5)."""


def checked_interval(seconds: float | None) -> float | None:
    """Return how often to give signs of life, None for never, or raise `UsageError`."""
    if not seconds:
        return None
    if seconds < _LEAST_S:
        msg = f"a heartbeat every {seconds:g} s: give at least {_LEAST_S:g}, or None (0 for a command) for none"
        raise UsageError(msg)
    return float(seconds)


def this_recorder(heartbeat_s: float | None) -> Recorder:
    """Return what tells this process from every other; see `domain.runs.recorder`."""
    boot = namespace = started = None
    with contextlib.suppress(OSError, ValueError, IndexError):  # not Linux: signs of life have to do
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
        started = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[_STARTED])
    return Recorder(
        process=os.getpid(),
        host=os.uname().nodename,
        boot=boot,
        namespace=namespace,
        started=started,
        heartbeat_s=heartbeat_s,
    )


class Presence:
    """That a run is being recorded, and by whom: ``recording.json``, and signs of life beside it."""

    def __init__(self, run_dir: Path, said: JsonObject, heartbeat_s: float | None) -> None:
        """Say so; durable on return. `said` are further fields for people."""
        self._run_dir = run_dir
        file = run_dir / RECORDING_FILE
        make_folders(file.parent)
        write_json(file, {**said, **this_recorder(heartbeat_s).to_json()})
        self._heartbeat = None if heartbeat_s is None else Heartbeat(run_dir / HEARTBEAT_FILE, heartbeat_s)
        if self._heartbeat is not None:  # a run that nobody holds any more, and nobody ended, is left to itself
            weakref.finalize(self, self._heartbeat.end).atexit = False

    def stop(self) -> None:
        """Give no more signs of life. Harmless to repeat."""
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def abandon(self) -> None:
        """Take it back, as far as that is possible: the run's end could not be recorded, and nobody goes on."""
        self.stop()
        for own in (RECORDING_FILE, HEARTBEAT_FILE):
            with contextlib.suppress(OSError):
                (self._run_dir / own).unlink()


class Heartbeat:
    """Gives a sign of life every `interval_s` seconds, from a thread of its own, until `stop`."""

    def __init__(self, file: Path, interval_s: float) -> None:
        """Give the first one now."""
        self._file = file
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._number = 0
        with contextlib.suppress(OSError):
            file.write_bytes(self._line())
        self._thread = threading.Thread(target=self._beat, name="sealrun-heartbeat", daemon=True)
        # A thread gets the mask of who starts it: signals stay with the threads that the program has for them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def end(self) -> None:
        """Give no more, after one that is being given just now."""
        self._ended.set()

    def stop(self) -> None:
        """Give no more; the file stays. Harmless to repeat, and in a forked child, which has no such thread."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._interval_s):
            with contextlib.suppress(OSError):
                self._write()

    def _write(self) -> None:
        # Not created: a folder that was removed meanwhile stays removed.
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, self._line(), 0)
        finally:
            os.close(descriptor)

    def _line(self) -> bytes:
        self._number += 1
        return pulse_line(datetime.now(UTC), self._number)
