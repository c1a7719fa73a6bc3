"""Tells the service manager that this process gets on, and what it does; stops telling when something hangs."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol

from sealrun.domain.oversight.progress import PATIENCE_S, Work, hanging
from sealrun.ports import Clock
from sealrun.services.threads.progress import Works

_log = logging.getLogger("sealrun.watchdog")


class Told(Protocol):
    """Whom a watchdog tells. See `adapters.machine.sd_notify`."""

    def feed(self) -> None:
        """This process gets on."""
        ...

    def status(self, text: str) -> None:
        """What it does, in one line."""
        ...


class Watchdog:
    """Looks every `interval_s` whether all that is under way gets on; feeds only then.

    Its thread does nothing else, so a process that is stopped, or whose interpreter hangs, feeds nobody either. What
    hangs is logged once, with where its thread is; if it gets on after all, feeding is taken up again.
    """

    def __init__(
        self,
        works: Works,
        told: Told,
        clock: Clock,
        describe: Callable[[], str],
        *,
        interval_s: float,
        patience_s: float = PATIENCE_S,
        gone: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Start nothing yet. `describe` gives the status line, `gone` the names of loops that ended by themselves."""
        self._gone = gone
        self._works = works
        self._told = told
        self._clock = clock
        self._describe = describe
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._logged: frozenset[tuple[str, float]] = frozenset()
        self._shown = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sealrun-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. Harmless twice."""
        self._stopping.set()

    def look(self) -> bool:
        """Look once; tell whether everything gets on."""
        hung = hanging(self._works.seen(), self._clock.monotonic(), self._patience_s)
        for work in hung:
            if (work.name, work.began) not in self._logged:
                self._log_hung(work)
        for name in sorted({name for name, _ in self._logged} - {work.name for work in hung}):
            _log.warning("%s gets on again", name)
        self._logged = frozenset((work.name, work.began) for work in hung)
        gone = ", ".join(self._gone())
        if gone and not hung:
            _log.error("%s has ended by itself; the watchdog is not fed any more", gone)
            self._show(f"{gone} has ended by itself")
            return False
        if not hung:
            self._told.feed()
        names = ", ".join(sorted({work.name for work in hung}))
        self._show(f"{names} hangs: no progress for {self._patience_s:.0f} s" if hung else self._describe())
        return not hung

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:  # noqa: BLE001 - a status that cannot be told (the journal is busy) is no hang
                _log.debug("the status is not known", exc_info=True)
            self._stopping.wait(self._interval_s)

    def _show(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            self._told.status(text)

    def _log_hung(self, work: Work) -> None:
        frame = sys._current_frames().get(work.thread)  # noqa: SLF001 - the documented way to see another thread
        where = "".join(traceback.format_stack(frame)) if frame is not None else "  (its thread has ended)\n"
        still_s = self._clock.monotonic() - max(work.began, work.moved)
        _log.error(
            "%s hangs: no progress for %.0f s; the watchdog is not fed any more. It is here:\n%s",
            work.name,
            still_s,
            where.rstrip(),
        )
