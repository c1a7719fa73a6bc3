"""Several deliveries of one line at once: who works on what, and in which order what must not run together."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

IDLE_S = 10.0
"""A thread that has had nothing to do for so long ends."""
HELD_BACK = 64
"""So many pieces may wait for others that they must not run beside."""


class _Piece(msgspec.Struct, frozen=True, eq=False):
    """Work, and what it must not share with other work at the same time."""

    alone_with: frozenset[str]
    work: Callable[[], None]


class Hands:
    """A few threads, started when they are needed. One thread calls `give`; the rest may come from any.

    Pieces begin in the order in which they were given, but for those that share something with an earlier one that is
    not done: they wait for it, and let others pass.
    """

    def __init__(self, name: str, on_free: Callable[[], None]) -> None:
        """Call the threads `name`, and `on_free` whenever a piece is done."""
        self._name = name
        self._on_free = on_free
        self._lock = threading.Lock()
        self._work, self._done = threading.Condition(self._lock), threading.Condition(self._lock)
        self._pieces: list[_Piece] = []
        self._running: list[_Piece] = []
        self._idle = 0
        self._failures: list[BaseException] = []
        self._ending = False

    def has_room(self, width: int) -> bool:
        """Tell whether another piece would begin at once, with `width` threads, if it is alone with what it needs."""
        with self._lock:
            ready = len(self._running) + len(self._ready())
            return ready < width and len(self._pieces) - ready < HELD_BACK

    def give(self, alone_with: frozenset[str], work: Callable[[], None]) -> None:
        """Have `work` done beside others that have nothing of `alone_with`."""
        with self._lock:
            self._pieces.append(_Piece(alone_with, work))
            self._staff()

    def raise_failure(self) -> None:
        """Raise, once, what a piece has raised."""
        with self._lock:
            failure = self._failures.pop(0) if self._failures else None
        if failure is not None:
            raise failure

    def finish(self) -> None:
        """Wait until every piece is done, and let the threads go. Whatever is given later is done, too."""
        with self._lock:
            self._ending = True
            self._work.notify_all()
            self._done.wait_for(lambda: not self._pieces)

    def _ready(self) -> list[_Piece]:
        """Pieces that may begin now, in order."""
        found: list[_Piece] = []
        taken: set[str] = set()
        for piece in self._pieces:
            if piece not in self._running and taken.isdisjoint(piece.alone_with):
                found.append(piece)
            taken |= piece.alone_with
        return found

    def _staff(self) -> None:
        """See to it that a thread takes each piece that may begin; called with the lock held."""
        ready = len(self._ready())
        self._work.notify(ready)
        for _ in range(ready - self._idle):
            self._idle += 1  # it is, until it has taken something
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        with self._lock:
            while self._take_one():
                pass
            self._idle -= 1

    def _take_one(self) -> bool:
        """Wait for a piece and do it; False when this thread is not needed any more. Called with the lock held."""
        self._work.wait_for(lambda: self._ready() or self._ending, timeout=IDLE_S)
        ready = self._ready()
        if not ready:
            return False
        piece = ready[0]
        self._running.append(piece)
        self._idle -= 1
        self._lock.release()
        failure: BaseException | None = None
        try:
            piece.work()
        except BaseException as error:  # noqa: BLE001 - the line's own thread raises it
            failure = error
        finally:
            self._lock.acquire()
            self._idle += 1
            self._running.remove(piece)
            self._pieces.remove(piece)
            if failure is not None:
                self._failures.append(failure)
            self._staff()
            self._done.notify_all()
        self._on_free()
        return True
