"""Threads that do what is due and wait, and that nothing can end but a request to stop."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from sealrun.domain.errors import SealrunError
from sealrun.domain.registry.retrying import next_delay
from sealrun.ports import Entropy
from sealrun.services.threads.progress import Pulse, Works

_log = logging.getLogger("sealrun.daemon")
_SLOWEST_RESTART_S = 60.0


class Loop:
    """A thread that calls `step` again and again.

    `step` does one piece of due work and returns how many seconds to wait at most before the next call. Whatever it
    raises is logged, and it is called again after a delay that grows. `finish` runs in the thread when it ends.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        entropy: Entropy,
        *,
        woken: threading.Event | None = None,
        finish: Callable[[], None] | None = None,
        works: Works | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        """Start nothing yet. Setting `woken` ends a wait. Each step is under way in `works`, with `pulse` if given."""
        self._works = works or Works()
        self._pulse = pulse
        self.name = name
        self._step = step
        self._finish = finish
        self._entropy = entropy
        self._woken = woken or threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sealrun-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step that runs now, without waiting for it. Harmless twice."""
        self._stopping.set()
        self._woken.set()

    def gone(self) -> bool:
        """Tell whether its thread has ended though nobody asked it to: no error of a step does that."""
        return self._thread.ident is not None and not self._stopping.is_set() and not self._thread.is_alive()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; tell whether it came."""
        if self._thread.ident is None:
            return True
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._woken.clear()  # before the step: what is woken for during it brings another one
            try:
                with self._works.under_way(self.name, self._pulse):
                    pause = self._step()
                failures = 0
            except BaseException as error:  # noqa: BLE001 - the thread has to live; the log says what failed
                failures += 1
                pause = next_delay(failures, self._entropy.uniform(0.0, 1.0), cap_s=_SLOWEST_RESTART_S)
                _tell(self.name, error, pause)
            if pause > 0:
                self._woken.wait(pause)
        if self._finish is not None:
            try:
                self._finish()
            except Exception as error:  # noqa: BLE001 - nothing is left to be done but to say so
                _tell(self.name, error, None)


def run_now(work: Callable[[], None]) -> None:
    """Seal in the calling thread: what an `Intake` is given where there is no pool."""
    work()


class SealPool:
    """A bounded number of threads that seal, so that many folders can settle at once.

    `launch` is what an `Intake` is given. Work that waits when the pool stops is dropped: its folders settle again.
    """

    def __init__(self, workers: int, works: Works | None = None) -> None:
        """Start `workers` threads; what each of them does is under way in `works`."""
        self._works = works or Works()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"sealrun-seal-{number}", daemon=True) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def launch(self, work: Callable[[], None]) -> None:
        """Have `work` done by the next free thread."""
        self._jobs.put(work)

    def stop(self) -> None:
        """Let what runs finish, drop what waits; does not wait. Harmless twice."""
        self._stopping.set()
        for _ in self._threads:
            self._jobs.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the one that takes longest, at most that long; tell whether all have ended."""
        for thread in self._threads:
            thread.join(max(0.0, timeout_s))
            if thread.is_alive():
                return False
        return True

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None and not self._stopping.is_set():
            try:
                with self._works.under_way("sealing"):
                    work()
            except BaseException as error:  # noqa: BLE001 - the thread has to live; the log says what failed
                _tell("sealing", error, None)


def _tell(name: str, error: BaseException, pause_s: float | None) -> None:
    after = "" if pause_s is None else f"; goes on in {pause_s:.1f} s"
    if isinstance(error, SealrunError):
        _log.error("%s: %s%s", name, error, after)
    else:
        _log.error("%s failed unexpectedly%s", name, after, exc_info=error)
