"""Producers in forked children that are killed at chosen lines of `sealrun.recording`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import sealrun.recording

CODE = Path(sealrun.recording.__file__).parent
PURE = {"triggers", "masking", "values", "evidence", "ids", "environment", "batch", "capturing", "differing", "tee"}
"""Modules that only read: a kill there is one before the line that called them."""


class Point(NamedTuple):
    """The `nth` time that a line is about to be executed."""

    file: str
    line: int
    nth: int


def in_child(produce: Callable[[], object], dies_at: Point | None = None) -> tuple[int, Counter[tuple[str, int]]]:
    """Run `produce` in a child that is killed at `dies_at`; return its wait status and the lines it came by.

    What it prints goes nowhere. What it started has ended on return, too: until then its end of the pipe is open.
    """
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # noqa: FBT003 - its only argument
    child = os.fork()
    if child == 0:
        seen: Counter[tuple[str, int]] = Counter()

        def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - a tracer traces itself
            path = Path(frame.f_code.co_filename)
            if path.parent != CODE or path.stem in PURE:
                return None
            if event == "line":
                where = (path.name, frame.f_lineno)
                seen[where] += 1
                if dies_at is not None and where == dies_at[:2] and seen[where] == dies_at.nth:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        os.close(reading)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.fsync = lambda fd: None  # noqa: ARG005 - its name; a killed process loses nothing that the system has
        sys.settrace(trace)
        produce()
        sys.settrace(None)
        os.write(writing, json.dumps([[*where, count] for where, count in seen.items()]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        lines = json.loads(said.read() or "[]")
    return os.waitpid(child, 0)[1], Counter({(file, line): count for file, line, count in lines})


def points(seen: Counter[tuple[str, int]]) -> list[Point]:
    """The first and the last time of every line."""
    return sorted({Point(*where, nth) for where, count in seen.items() for nth in (1, count)})
