"""The daemon: what runs from start to stop, in which threads, and what is done about requests to stop and reload.

Every crash point is safe, so stopping is a matter of manners: what is in flight is finished, or left where the next
start resumes it. The main thread waits for requests; all work is done by loops that no error ends.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import msgspec

from sealrun.domain.errors import SealrunError
from sealrun.domain.oversight.alarming import KINDS
from sealrun.ports import Clock, Entropy
from sealrun.services.daemon.running import Parts
from sealrun.services.delivery.availability import release_deliveries
from sealrun.services.oversight.alarming import clear_alarm, raise_alarm
from sealrun.services.threads.looping import Loop
from sealrun.services.threads.signalling import signals_installed

_log = logging.getLogger("sealrun.daemon")

_JUMP_S = 5.0
_BEAT_S = 30.0
"""How soon a clock that was set is noticed. Each beat wakes a thread that has nothing else to do."""

_SETTINGS = "settings"

Phase = Literal["ready", "reloading", "stopping"]


class _Stop(msgspec.Struct, frozen=True):
    code: int


class _Reload(msgspec.Struct, frozen=True):
    pass


def _tell_nobody(_phase: Phase) -> None:
    return None


class Daemon:
    """Runs parts until it is asked to stop.

    `reload` builds new parts from the present settings, or raises a `SealrunError` that says what is wrong with them.
    `grace_s`: how long what is in flight may take at a stop; `reload_wait_s`: how long new parts wait for the old ones.
    `exit_now` ends the process at once, where threads are left that nothing else ends. `tell` hears of each phase.
    """

    def __init__(  # noqa: PLR0913 - all but three are keywords with defaults
        self,
        parts: Parts,
        clock: Clock,
        entropy: Entropy,
        *,
        reload: Callable[[], Parts] | None = None,
        grace_s: float = 60.0,
        reload_wait_s: float = 5.0,
        install_signals: Callable[[Daemon], AbstractContextManager[None]] = signals_installed,
        exit_now: Callable[[int], object] = os._exit,
        tell: Callable[[Phase], None] = _tell_nobody,
    ) -> None:
        """Start nothing yet."""
        self._parts = parts
        self._clock = clock
        self._entropy = entropy
        self._build = reload
        self._grace_s = grace_s
        self._reload_wait_s = reload_wait_s
        self._install_signals = install_signals
        self._exit_now = exit_now
        self._tell = tell
        self._loops: list[Loop] = []
        self.started = False
        """Whether everything was started once."""
        self._requests: queue.SimpleQueue[_Stop | _Reload] = queue.SimpleQueue()
        self._asked_to_stop = False
        self._offset = 0.0
        self.refused: str | None = None
        """Why the settings as they were when last asked for are not taken; None if they are."""

    @property
    def parts(self) -> Parts:
        """What runs now; a reload replaces it."""
        return self._parts

    def gone(self) -> list[str]:
        """Names of loops that ended though nobody asked them to."""
        return [loop.name for loop in self._loops if loop.gone()]

    def request_stop(self, code: int = 0) -> None:
        """Stop within the grace time and have `run` return `code`. A second request ends the process at once, with 1.

        May come from any thread.
        """
        if self._asked_to_stop:
            self._exit_now(1)
            return
        self._asked_to_stop = True
        self._requests.put(_Stop(code))

    def request_reload(self) -> None:
        """Take the settings as they are now; the old ones stay if the new ones are wrong."""
        self._requests.put(_Reload())

    def run(self) -> int:
        """Run until a request to stop; return its exit code. Called once, in the main thread."""
        with self._install_signals(self):
            with self._parts.works.under_way("start"):
                self._start()
            clear_alarm(self._parts.journal, self._clock, "settings-refused", _SETTINGS)  # these were taken
            self._tell("ready")
            code = self._serve()
            self._tell("stopping")
            _log.info("stopping; what is in flight gets %.0f s", self._grace_s)
            if not self._stop(self._grace_s):
                _log.warning("stopped without waiting any longer; the next start resumes what was in flight")
                self._exit_now(code)
        _log.info("stopped")
        return code

    def _serve(self) -> int:
        self._offset = self._wall_offset()
        while True:
            try:
                request = self._requests.get(timeout=_BEAT_S)
            except queue.Empty:
                with self._parts.works.under_way("main"):
                    self._beat()
                continue
            if isinstance(request, _Stop):
                return request.code
            with self._parts.works.under_way("reload"):
                self._reload()

    def _beat(self) -> None:
        """Notice a wall clock that jumped: whatever waits for a moment has to count anew."""
        offset = self._wall_offset()
        jumped, self._offset = offset - self._offset, offset
        if abs(jumped) < _JUMP_S:
            return
        _log.warning("the clock jumped by %.0f s; timers are computed again", jumped)
        if self._parts.timers is not None:
            self._parts.timers.rearm()
        for line in self._parts.lines:
            line.wake()

    def _wall_offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def _start(self) -> None:
        parts, works = self._parts, self._parts.works
        loops = [
            Loop(f"intake-{intake.watch.name}", intake.step, self._entropy, woken=intake.woken, works=works)
            for intake in parts.intakes
        ]
        loops += [
            Loop(
                f"delivery-{line.registry}",
                line.step,
                self._entropy,
                woken=line.woken,
                finish=line.close,
                works=works,
                pulse=line.pulse,
            )
            for line in parts.lines
        ]
        for intake in parts.intakes:
            parts.watcher.watch(intake.watch.path, intake.mark)
        for root, how in parts.watcher.describe().items():
            _log.info("watching %s (%s)", root, how)
        for loop in loops:
            loop.start()
        self._loops = loops
        self.started = True
        if parts.timers is not None:
            parts.timers.start()
        names = ", ".join(line.registry for line in parts.lines) or "no registry"
        _log.info("watching %d folders, delivering to %s", len(parts.intakes), names)

    def _stop(self, patience_s: float) -> bool:
        """Ask everything to end, and wait for it; tell whether it did."""
        parts, loops = self._parts, self._loops
        for line in parts.lines:
            line.stop()
        for loop in loops:
            loop.stop()
        parts.pool.stop()
        closing = threading.Thread(target=_close, args=(parts,), name="sealrun-closing", daemon=True)
        closing.start()
        deadline = self._clock.monotonic() + patience_s
        ended = True
        for loop in loops:
            if not loop.join(deadline - self._clock.monotonic()):
                ended = False
                _log.warning("%s is still busy", loop.name)
        if not parts.pool.join(deadline - self._clock.monotonic()):
            ended = False
            _log.warning("sealing is still busy")
        closing.join(max(0.0, deadline - self._clock.monotonic()))
        return ended and not closing.is_alive()

    def _reload(self) -> None:
        """Replace the parts. What the old ones have in flight ends by itself: its claims keep the new ones off it."""
        if self._build is None:
            _log.warning("settings are not reloaded: this daemon was started without a way to")
            return
        self._tell("reloading")
        events = self._parts.journal.events
        try:
            parts = self._build()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with new settings, the old ones go on
            known = isinstance(error, SealrunError)
            _log.error("settings are not reloaded, the old ones stay: %s", error, exc_info=None if known else error)
            reason = str(error) if known else f"unexpected {type(error).__name__}; the log has the details"
            events.record("settings.refused", "settings", reason=reason)
            self.refused = reason
            severity = KINDS["settings-refused"].severity
            raise_alarm(self._parts.journal, self._clock, "settings-refused", _SETTINGS, severity, reason)
        else:
            self._stop(self._reload_wait_s)
            self._parts = parts
            release_deliveries(parts.journal, self._clock)
            self._start()
            events.record("settings.reloaded", "settings")
            self.refused = None
            clear_alarm(parts.journal, self._clock, "settings-refused", _SETTINGS)
            _log.info("settings are reloaded")
        self._tell("ready")


def _close(parts: Parts) -> None:
    for close in (parts.timers.close if parts.timers is not None else None, parts.watcher.close):
        if close is None:
            continue
        try:
            close()
        except Exception:  # noqa: BLE001 - the process ends or the part is replaced: nothing is left to be done
            _log.exception("a part was not closed properly")
