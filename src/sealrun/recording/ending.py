"""How a run ends that does not end by itself: SIGTERM becomes an exception, exceptions become a reason."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from sealrun.recording.masking import masked_text

_MAX_REASON = 2000
_holders: list[Ending] = []
"""Who holds SIGTERM back: of runs within runs, the outer one has the handler, and the inner one may be ending."""


class Terminated(SystemExit):
    """SIGTERM arrived. Ends the program with 143, as a shell would report it, after every ``finally``."""


class Ending:
    """From here on SIGTERM raises `Terminated` in the main thread, until `restore`.

    Where the program has a handler of its own, that stays. A forked child dies by the signal as if nothing were set.
    """

    def __init__(self) -> None:
        """Take over SIGTERM, if this is the main thread and nobody handles it."""
        self._pid = os.getpid()
        self._taken = False
        self._held_for: Ending | None = None
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminate)
            self._taken = True

    def hold(self) -> None:
        """Keep SIGTERM back until `restore`, whichever run has its handler: what is being recorded is recorded."""
        if threading.current_thread() is threading.main_thread():
            _holders.append(self)

    def restore(self) -> None:
        """Give SIGTERM back, and the one that was kept. Harmless to repeat."""
        own: Callable[..., Any] | int | None = signal.getsignal(signal.SIGTERM)
        if self._taken and threading.current_thread() is threading.main_thread() and own == self._terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._taken = False
        if self in _holders:
            _holders.remove(self)
        owner, self._held_for = self._held_for, None
        if owner is not None:
            if owner is not self:
                signal.signal(signal.SIGTERM, owner._terminate)  # noqa: SLF001 - the run around this one ends by it
            os.kill(os.getpid(), signal.SIGTERM)

    def _terminate(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's signature
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends us at once
        if os.getpid() != self._pid:
            os.kill(os.getpid(), number)
            return
        if _holders:
            _holders[-1]._held_for = self  # noqa: SLF001 - of this very class
            return
        raise Terminated(128 + number)


def reason_of(error: BaseException, environ: Mapping[str, str]) -> str | None:
    """Say why a run failed, without secrets; None if `error` is the end of a program that succeeded."""
    if isinstance(error, Terminated):
        return "SIGTERM"
    if isinstance(error, SystemExit):
        if error.code in {None, 0}:
            return None
        return masked_text(f"exit {error.code}", environ)[:_MAX_REASON]
    text = str(error)
    kind = type(error).__name__
    return masked_text(f"{kind}: {text}" if text else kind, environ)[:_MAX_REASON]
