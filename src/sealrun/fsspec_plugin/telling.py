"""Several files that are copied at once, and a callback of fsspec's, made for one thread, that is told of each."""

# ruff: noqa: ANN401 - fsspec ships no types

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

from sealrun.services.threads.fanning import fan_out

_AT_ONCE = 8


def copy_all(get_file: Callable[..., None], pairs: Sequence[tuple[Any, Any]], callback: Any) -> None:
    """Call `get_file` for each pair, several at a time, and tell `callback`, one call at a time."""
    told = Told(callback)
    told.set_size(len(pairs))

    def get_one(pair: tuple[Any, Any]) -> None:
        with told.branched(*pair) as child:
            get_file(*pair, callback=child)
        told.relative_update(1)

    fan_out(get_one, pairs, _AT_ONCE)


class Told:
    """Calls a callback, and the branches that are made of it, one call at a time."""

    def __init__(self, callback: Any, lock: Any = None) -> None:
        """Call `callback`."""
        self._callback = callback
        self._lock = lock or RLock()

    def set_size(self, size: int | None) -> None:
        """Say how much there will be."""
        with self._lock:
            self._callback.set_size(size)

    def relative_update(self, count: int = 1) -> None:
        """Say that so much more is done."""
        with self._lock:
            self._callback.relative_update(count)

    @contextmanager
    def branched(self, rpath: str, lpath: str) -> Iterator[Told]:
        """Open what is told of one file, and close it when that is complete or failed."""
        with self._lock:
            child = self._callback.branched(rpath, lpath)
            child.__enter__()
        try:
            yield Told(child, self._lock)
        finally:
            with self._lock:
                child.__exit__(None, None, None)
