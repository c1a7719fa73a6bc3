"""Many small files by one thread at a time, unless each of them takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_SMALL = 64 << 10
_PATIENCE_S = 0.0005
"""For each small file: several times what one takes on a local disk."""


class Turns:
    """Whose turn it is to work on small files. Used from many threads.

    Each file is some short calls, and several threads that make such calls mostly hand the interpreter's lock around:
    on two processors two of them took half as long again as one, for twice the CPU. Where a call takes long, as on a
    network file system, they do not.
    """

    def __init__(self) -> None:
        """Nobody works."""
        self._working = Lock()

    @contextmanager
    def turn(self, files: int, size: int) -> Iterator[None]:
        """Work on some files, of so many bytes together: alone if they are small.

        Whoever has waited for long works beside others. Not to be taken by a thread that has one.
        """
        mine = size < _SMALL * files and self._working.acquire(timeout=_PATIENCE_S * files)
        try:
            yield
        finally:
            if mine:
                self._working.release()
