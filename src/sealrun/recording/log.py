"""``run.log``: stamped lines, on disk as they come. Open for writing while the run lives, which tells a daemon so."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from sealrun.recording.forking import Forked


class RunLog(Forked):
    """Appends to a log; any thread. A line is handed to the system at once, so that only a dying machine loses it."""

    def __init__(self, path: Path) -> None:
        """Make the log at `path`, or go on with the one that is there."""
        self.lines = path.read_bytes().count(b"\n") if path.exists() else 0
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o666)
        self._lock = threading.Lock()
        self._open_stream: str | None = None
        self.remember()

    def renew_locks(self) -> None:
        """A forked child may log, too."""
        self._lock = threading.Lock()

    def line(self, message: str) -> int:
        """Append a message, one stamped line for each of its lines; return the number of the first, from 1."""
        body = b"".join(_stamp() + part.encode("utf-8", "replace") + b"\n" for part in message.splitlines() or [""])
        with self._lock:
            self._end_line()
            first = self.lines + 1
            self._write(body)
        return first

    def stream(self, name: str, chunk: bytes) -> None:
        """Append what a command printed to its stream `name`, byte by byte, each line stamped and named.

        A line that is not ended yet is there at once; what another stream says meanwhile begins a new one.
        """
        with self._lock:
            if self._open_stream != name:
                self._end_line()
            head = _stamp() + name.encode() + b"| "
            body = b"" if self._open_stream == name else head
            ended = chunk.endswith(b"\n")
            body += chunk.removesuffix(b"\n").replace(b"\n", b"\n" + head)
            self._write(body + (b"\n" if ended else b""))
            self._open_stream = None if ended else name

    def close(self) -> None:
        """End the line, make the log durable and let go of it. Harmless to repeat."""
        with self._lock:
            if self._descriptor < 0:
                return
            self._end_line()
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _end_line(self) -> None:
        if self._open_stream is not None:
            self._write(b"\n")
            self._open_stream = None

    def _write(self, body: bytes) -> None:
        left = memoryview(body)
        while left and self._descriptor >= 0:
            left = left[os.write(self._descriptor, left) :]
        self.lines += body.count(b"\n")


def _stamp() -> bytes:
    now = datetime.now(UTC).replace(tzinfo=None)
    return f"{now.isoformat(timespec='milliseconds')}Z ".encode()
