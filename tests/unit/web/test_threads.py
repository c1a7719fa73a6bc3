"""Threads for answers: bounded, and none of them holds up the end of the process."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from sealrun.web.threads import Threads

_PATIENCE_S = 60.0


def test_calls_are_answered_and_what_they_raise_is_raised() -> None:
    threads = Threads(2, "test")
    assert [each.result(_PATIENCE_S) for each in [threads.submit(pow, 2, number) for number in range(5)]] == [
        *(1, 2, 4, 8, 16)
    ]
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 1, 0).result(_PATIENCE_S)
    threads.shutdown()


def test_no_more_threads_are_started_than_are_allowed_and_needed() -> None:
    threads, released = Threads(3, "bounded"), threading.Event()
    names: set[str] = set()

    def work() -> None:
        names.add(threading.current_thread().name)
        released.wait(_PATIENCE_S)

    calls = [threads.submit(work) for _ in range(10)]
    released.set()
    for call in calls:
        call.result(_PATIENCE_S)
    assert len(names) <= 3
    lonely = Threads(3, "lonely")
    for _ in range(20):
        lonely.submit(work).result(_PATIENCE_S)
    threads.shutdown()
    lonely.shutdown()


def test_what_waits_at_the_end_is_cancelled_and_what_runs_is_waited_for_by_nobody() -> None:
    threads, begun, released = Threads(1, "ending"), threading.Event(), threading.Event()

    def hang() -> str:
        begun.set()
        released.wait(_PATIENCE_S)
        return "late"

    running, waiting = threads.submit(hang), threads.submit(hang)
    assert begun.wait(_PATIENCE_S)
    threads.shutdown()
    threads.shutdown()
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="stopping"):
        threads.submit(hang)
    released.set()
    assert running.result(_PATIENCE_S) == "late"


def test_a_call_that_hangs_does_not_keep_the_process_alive() -> None:
    code = "import time; from sealrun.web.threads import Threads; Threads(1, 'x').submit(time.sleep, 3600)"
    assert subprocess.run([sys.executable, "-c", code], timeout=_PATIENCE_S, check=True).returncode == 0
