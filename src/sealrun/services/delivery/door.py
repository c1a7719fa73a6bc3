"""The registry of one line: opened when it is needed, shared by the deliveries in flight, closed behind the last."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sealrun.domain.errors import SealrunError
from sealrun.services.delivery.parts import Publishing

_log = logging.getLogger("sealrun.delivery")


class Door:
    """One thread calls `enter`; the rest may come from any."""

    def __init__(self, registry: str, open_publishing: Callable[[], Publishing]) -> None:
        """Open nothing yet."""
        self._registry = registry
        self._open = open_publishing
        self._lock = threading.Lock()
        self._inside: dict[int, tuple[Publishing, int]] = {}
        self._now: Publishing | None = None

    def enter(self) -> Publishing:
        """Return the registry, opened if need be; until `leave` it is not closed. Raises whatever opening raises."""
        with self._lock:
            if self._now is not None:
                return self._counted(self._now)
        opened = self._open()
        with self._lock:
            self._now = opened
            return self._counted(opened)

    def _counted(self, publishing: Publishing) -> Publishing:
        _, users = self._inside.get(id(publishing), (publishing, 0))
        self._inside[id(publishing)] = publishing, users + 1
        return publishing

    def leave(self, publishing: Publishing) -> None:
        """End what `enter` began."""
        with self._lock:
            _, users = self._inside.pop(id(publishing))
            if users > 1:
                self._inside[id(publishing)] = publishing, users - 1
            last = users == 1 and publishing is not self._now
        if last:
            self._close(publishing)

    def shut(self, which: Publishing | None = None) -> None:
        """Have the next `enter` open anew; only if `which` is still the one that is open, where it is given.

        What is in flight goes on. Harmless twice.
        """
        with self._lock:
            now = self._now
            if now is None or which not in {None, now}:
                return
            self._now = None
            last = id(now) not in self._inside
        if last:
            self._close(now)

    def _close(self, publishing: Publishing) -> None:
        try:
            publishing.close()
        except SealrunError as error:
            _log.warning("%s: not closed properly: %s", self._registry, error)
