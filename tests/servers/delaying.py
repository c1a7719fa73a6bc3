"""A way to a server that is far away: every request takes its time, and all of them share a line."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.servers.forwarding import Lookout, address_of
from tests.servers.recording import RecordingLookout, RecordingProxy


class Distance(NamedTuple):
    """How far away a server is: seconds that each request takes beside its own, and bytes a second each way."""

    latency_s: float = 0.0
    bytes_per_s: float = float("inf")


NEAR = Distance()


class Line:
    """One direction of a line that all connections share: whoever sends waits until his bytes have passed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = 0.0

    def reserve(self, size: int, bytes_per_s: float, now: float) -> float:
        """Return how many seconds after `now` the last of `size` bytes has passed."""
        with self._lock:
            self._free = max(self._free, now) + size / bytes_per_s
            return self._free - now


class DelayingProxy(RecordingProxy):
    """Forwards HTTP/1.1 over TCP, records it, and delays it while `slowed` says so.

    A request is held back once, whole, before the server sees it; that stands for the way there and back. Making a
    connection costs nothing, and neither does a server's invitation to send the body (100 Continue).
    """

    def __init__(self, host: str, port: int) -> None:
        """Forward to `host`:`port`, at first without a delay."""
        self.distance = NEAR
        self.up, self.down = Line(), Line()
        super().__init__(host, port)

    @contextmanager
    def slowed(self, distance: Distance) -> Iterator[None]:
        """Delay meanwhile."""
        self.distance = distance
        try:
            yield
        finally:
            self.distance = NEAR

    def lookout(self) -> Lookout:
        """Each connection waits for itself."""
        return _Waiting(self)

    def wait(self, line: Line, size: int) -> None:
        """Let `size` bytes pass over a direction of the line."""
        seconds = line.reserve(size, self.distance.bytes_per_s, time.monotonic())
        if seconds > 0:
            time.sleep(seconds)


class _Waiting(RecordingLookout):
    def __init__(self, proxy: DelayingProxy) -> None:
        super().__init__(proxy)
        self._way = proxy

    def sent(self, chunk: bytes) -> None:
        begun = self.note(chunk)
        if begun:
            time.sleep(begun * self._way.distance.latency_s)
        self._way.wait(self._way.up, len(chunk))

    def answered(self, chunk: bytes) -> bool:
        self._way.wait(self._way.down, len(chunk))
        return super().answered(chunk)


def delaying_requests(endpoint_url: str) -> DelayingProxy:
    """Put a proxy before ``http://HOST:PORT``, to be closed."""
    return DelayingProxy(*address_of(endpoint_url))
