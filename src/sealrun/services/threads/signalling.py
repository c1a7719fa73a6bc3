"""What signals ask of a daemon. Lives where the main thread is: Python runs signal handlers nowhere else."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

EXIT_INTERRUPTED = 130


class Stoppable(Protocol):
    """Something that runs until it is asked to stop. Both methods may interrupt anything in the main thread."""

    def request_stop(self, code: int = 0) -> None:
        """Stop, and end with `code`."""
        ...

    def request_reload(self) -> None:
        """Take the settings as they are now."""
        ...


@contextmanager
def signals_installed(running: Stoppable) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop, and SIGHUP reload, while the block runs. Main thread only."""
    answers: Mapping[signal.Signals, Callable[[], None]] = {
        signal.SIGTERM: running.request_stop,
        signal.SIGINT: lambda: running.request_stop(EXIT_INTERRUPTED),
        signal.SIGHUP: running.request_reload,
    }

    def answer(number: int, _frame: object) -> None:
        answers[signal.Signals(number)]()

    before = {number: signal.signal(number, answer) for number in answers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
