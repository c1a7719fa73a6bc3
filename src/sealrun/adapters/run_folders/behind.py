"""A pack's bytes digested and written by a thread of their own, while another one reads the files that go into it.

Reading ten thousand small files is ten thousand times a little work under the interpreter's lock; digesting and
writing a MiB is one call without it. So one thread of each kind gets more done than two that do both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from sealrun.domain.address import Digest
from sealrun.domain.registry.packing import Digesting

_WORTH_A_THREAD = 1 << 20
_AHEAD = 4


class Behind:
    """`domain.registry.packing.PackOutput`: what is written waits for a thread, a few pieces at most.

    A pack of one piece is written at once. What goes wrong is raised by the next call. Used by one thread; `close` ends
    the other one, and has to be called before what `write` writes to is closed.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """Write with `write`."""
        self._inner = Digesting(write)
        self._thread: threading.Thread | None = None
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._error: BaseException | None = None

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._thread is None:
            if len(piece) < _WORTH_A_THREAD:
                self._inner.write(piece)
                return
            self._thread = threading.Thread(target=self._run, name="sealrun-pack", daemon=True)
            self._thread.start()
        self._room.acquire()
        if self._error is not None:
            raise self._error
        self._waiting.put(piece)

    def digest(self) -> Digest:
        """Return the sha256 of all pieces, once they are written."""
        self.close()
        if self._error is not None:
            raise self._error
        return self._inner.digest()

    def close(self) -> None:
        """Wait for what was taken, and end. Harmless twice."""
        if self._thread is not None and self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (piece := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._inner.write(piece)
                except BaseException as error:  # noqa: BLE001 - raised where the pack is made
                    self._error = error
            self._room.release()
