from __future__ import annotations

import os
import signal
import threading

import pytest

from sealrun.services.threads.signalling import EXIT_INTERRUPTED, signals_installed

PATIENCE_S = 30.0


class Asked:
    """What was asked, in its order."""

    def __init__(self) -> None:
        self.what: list[int | str] = []
        self.told = threading.Event()

    def request_stop(self, code: int = 0) -> None:
        self.what.append(code)
        self.told.set()

    def request_reload(self) -> None:
        self.what.append("reload")
        self.told.set()


@pytest.mark.parametrize(
    ("number", "asked"), [(signal.SIGTERM, 0), (signal.SIGINT, EXIT_INTERRUPTED), (signal.SIGHUP, "reload")]
)
def test_a_signal_is_told_though_the_main_thread_waits_and_does_not_notice(
    number: signal.Signals, asked: int | str
) -> None:
    running = Asked()
    with signals_installed(running):
        later = threading.Timer(0.1, os.kill, (os.getpid(), number))
        later.start()
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})  # another thread takes it
        try:
            assert running.told.wait(PATIENCE_S)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
            later.join()
    assert running.what == [asked]


def test_what_was_asked_before_the_end_is_told_by_then() -> None:
    running = Asked()
    with signals_installed(running):
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
    assert running.what == ["reload", 0]


def test_afterwards_signals_and_descriptors_are_as_before() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    threads = set(threading.enumerate())
    with signals_installed(Asked()):
        pass
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert set(threading.enumerate()) == threads
