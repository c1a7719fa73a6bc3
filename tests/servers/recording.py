"""A way to a server that tells which requests went over it, and when."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from tests.servers.forwarding import Forwarder, Lookout, Request, RequestReader, address_of

__all__ = ["Exchange", "RecordingLookout", "RecordingProxy", "Request", "recording_requests"]


@dataclass
class Exchange:
    """A request and its times, in seconds of the monotonic clock: `ended` is when the latest of its answer passed.

    `received` are the bytes of the answer, its head included.
    """

    request: Request
    begun: float
    ended: float
    received: int = 0


class RecordingProxy(Forwarder):
    """Forwards HTTP/1.1 over TCP and remembers every request in the order in which it was begun."""

    def __init__(self, host: str, port: int) -> None:
        """Forward to `host`:`port`."""
        self._lock = threading.Lock()
        self._seen: list[Exchange] = []
        super().__init__(host, port)

    def take(self) -> list[Request]:
        """Return what was asked since the last call."""
        return [exchange.request for exchange in self.take_exchanges()]

    def take_exchanges(self) -> list[Exchange]:
        """Return what was asked since the last call, with its times. Those of the last answers may still move."""
        with self._lock:
            seen, self._seen = self._seen, []
        return seen

    def note(self, exchange: Exchange) -> None:
        """Remember a request."""
        with self._lock:
            self._seen.append(exchange)

    def lookout(self) -> Lookout:
        """Each connection knows which request it answers."""
        return RecordingLookout(self)


class RecordingLookout(Lookout):
    """Notes the requests of one connection."""

    def __init__(self, proxy: RecordingProxy) -> None:
        self._proxy = proxy
        self._reader = RequestReader()
        self._present: Exchange | None = None

    def sent(self, chunk: bytes) -> None:
        """Note what was asked."""
        self.note(chunk)

    def note(self, chunk: bytes) -> int:
        """Note what was asked; return how many requests that were."""
        requests = self._reader.feed(chunk)
        for request in requests:
            now = time.monotonic()
            self._present = Exchange(request, now, now)
            self._proxy.note(self._present)
        return len(requests)

    def answered(self, chunk: bytes) -> bool:
        """Note when."""
        if self._present is not None:
            self._present.ended = time.monotonic()
            self._present.received += len(chunk)
        return True


def recording_requests(endpoint_url: str) -> RecordingProxy:
    """Put a proxy before ``http://HOST:PORT``, to be closed."""
    return RecordingProxy(*address_of(endpoint_url))
