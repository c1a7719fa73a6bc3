"""What this process prints goes where it always went, and into files: ``logs/stdout.log`` and ``logs/stderr.log``.

By its descriptors 1 and 2, so what C libraries and child processes print is in it, too. Where one is a terminal, the
process keeps one, and progress bars look as always. Both belong to the whole process: one run at a time can have them.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

from sealrun.domain.errors import UsageError
from sealrun.recording import tee
from sealrun.recording.copying import open_channel

STREAMS = ("stdout", "stderr")
_taken = threading.Lock()


class OutputCapture:
    """From here on, until `stop`, what is printed is logged into `folder`, which exists."""

    def __init__(self, folder: Path, whose: str) -> None:
        """Begin. `UsageError` if another run of this process has its output captured just now."""
        if not _taken.acquire(blocking=False):
            msg = f"{whose}: the output of this process is captured by another run: capture one run at a time"
            raise UsageError(msg)
        self._pid = os.getpid()
        self._saved: dict[int, int] = {}
        self._replaced: list[tuple[str, Any, _Both]] = []
        self._stopped = False
        try:
            _flush()
            self._start(folder)
        except BaseException:
            _taken.release()
            raise

    def stop(self) -> None:
        """End, with everything that was printed in the logs, durable. Harmless to repeat, and in a forked child."""
        if self._stopped or os.getpid() != self._pid:
            return
        self._stopped = True
        _flush()
        for name, before, both in self._replaced:
            if getattr(sys, name) is both:
                setattr(sys, name, before)
            both.close_log()
        for number, saved in self._saved.items():
            os.dup2(saved, number)
            os.close(saved)
        try:
            self._end_helper()
        finally:
            _taken.release()

    def _start(self, folder: Path) -> None:
        with contextlib.ExitStack() as opened:

            def mine(descriptor: int) -> int:
                opened.callback(os.close, descriptor)
                return descriptor

            words, given, kept = [], {}, []
            for number, name in enumerate(STREAMS, 1):
                self._saved[number] = os.dup(number)
                reading, writing = map(mine, open_channel(number))
                log = mine(
                    os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
                )
                words.append(f"{reading}:{self._saved[number]}:{log}")
                kept += [reading, self._saved[number], log]
                given[number] = writing
            report, reported = map(mine, os.pipe())
            self._helper = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", tee.__file__, str(reported), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[reported, *kept],
                start_new_session=True,  # Ctrl-C is for the program, and what it says to that is logged
            )
            self._report = os.dup(report)
            for number, writing in given.items():
                os.dup2(writing, number)
        self._replace(folder)

    def _replace(self, folder: Path) -> None:
        """Where `sys.stdout` is no descriptor, as in notebooks, what is printed there is logged on the way."""
        for number, name in enumerate(STREAMS, 1):
            stream = getattr(sys, name)
            if stream is None or _number_of(stream) == number:
                continue
            both = _Both(stream, folder / f"{name}.log")
            self._replaced.append((name, stream, both))
            setattr(sys, name, both)

    def _end_helper(self) -> None:
        try:
            if self._helper.stdin is not None:
                with contextlib.suppress(BrokenPipeError), self._helper.stdin as control:
                    control.write(b"e")
            ended = os.read(self._report, 1) == b""
        finally:
            os.close(self._report)
        if ended:
            self._helper.wait()
        else:
            # A process that was left in the background prints on, through it: it ends with that one.
            self._helper.returncode = 0


class _Both:
    """A text stream whose writes go into a log, too; everything else is the stream's own."""

    def __init__(self, stream: TextIO, log: Path) -> None:
        self._stream = stream
        self._log: io.TextIOWrapper | None = log.open("a", encoding="utf-8", errors="backslashreplace", newline="")

    def write(self, text: str) -> int:
        """Write to both."""
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.write(text)
                self._log.flush()
        return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        """Write to both."""
        for line in lines:
            self.write(line)

    def close_log(self) -> None:
        """Write to the stream only, from now on: somebody may have kept this."""
        log, self._log = self._log, None
        if log is not None:
            with contextlib.suppress(OSError):
                os.fsync(log.fileno())
                log.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _flush() -> None:
    """What is buffered, by Python and by C, is printed now: to where it belongs."""
    for name in STREAMS:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            getattr(sys, name).flush()
    with contextlib.suppress(OSError, AttributeError):
        cast("Callable[[None], int]", ctypes.CDLL(None).fflush)(None)


def _number_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
