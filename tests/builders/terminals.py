"""A terminal that a test holds the other side of."""

from __future__ import annotations

import os
import threading


class Terminal:
    """A pseudo-terminal, and everything that is printed on it.

    `slave` is for the process; `started` lets go of it here, so that the end is seen. At the end `seen` is whole.
    """

    def __init__(self) -> None:
        self._master, self.slave = os.openpty()
        self.seen = bytearray()
        self._reader = threading.Thread(target=self._read)

    def started(self) -> None:
        """Begin to read: the process has its side."""
        os.close(self.slave)
        self._reader.start()

    def finish(self) -> bytes:
        """Return what was printed, once nobody can print any more."""
        self._reader.join()
        os.close(self._master)
        return bytes(self.seen)

    def _read(self) -> None:
        while True:
            try:
                self.seen.extend(os.read(self._master, 4096))
            except OSError:  # the other side is closed
                return
