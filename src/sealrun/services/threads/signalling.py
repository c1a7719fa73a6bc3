"""What signals ask of a daemon, told to it by a thread of their own.

Python runs signal handlers in the main thread only, between two of its steps: a signal that comes as the main thread
begins to wait is answered when the wait is over. What the interpreter writes to the wakeup descriptor is there at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

EXIT_INTERRUPTED = 130


class Stoppable(Protocol):
    """Something that runs until it is asked to stop. Both methods may come from any thread."""

    def request_stop(self, code: int = 0) -> None:
        """Stop, and end with `code`."""
        ...

    def request_reload(self) -> None:
        """Take the settings as they are now."""
        ...


@contextmanager
def signals_installed(running: Stoppable) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop, and SIGHUP reload, while the block runs. Main thread only."""
    answers: Mapping[int, Callable[[], None]] = {
        signal.SIGTERM: running.request_stop,
        signal.SIGINT: lambda: running.request_stop(EXIT_INTERRUPTED),
        signal.SIGHUP: running.request_reload,
    }
    heard, written = os.pipe()
    os.set_blocking(written, False)
    teller = threading.Thread(target=_tell, args=(heard, answers), name="sealrun-signals", daemon=True)
    teller.start()
    wakened = signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _go_on) for number in answers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakened)
        os.close(written)
        teller.join()  # what was asked until now is told
        os.close(heard)


def _go_on(_number: int, _frame: object) -> None:
    """Have the signal end nothing by itself."""


def _tell(heard: int, answers: Mapping[int, Callable[[], None]]) -> None:
    while numbers := os.read(heard, 64):
        for number in numbers:
            if number in answers:  # others have handlers of their own
                answers[number]()
