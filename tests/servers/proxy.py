"""A way to a server on which answers get lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.servers.forwarding import Forwarder, Lookout, address_of


class LossyProxy(Forwarder):
    """Forwards HTTP over TCP. After `lose(n)` the answers to the next n requests that `matches` picks are dropped.

    The server has answered by then, so the request has happened; the client sees its connection end.
    """

    def __init__(self, host: str, port: int, matches: Callable[[bytes], bool]) -> None:
        """Forward to `host`:`port`."""
        self.matches = matches
        self._lock = threading.Lock()
        self._to_lose = 0
        self.lost = 0
        super().__init__(host, port)

    def lose(self, count: int) -> None:
        """Drop the answers to the next `count` matching requests."""
        with self._lock:
            self._to_lose = count

    def lookout(self) -> Lookout:
        """Each connection knows whether the request that it answers is to be lost."""
        return _Losing(self)

    def take_turn(self) -> bool:
        """Tell whether a matching request is to be lost."""
        with self._lock:
            self._to_lose, before = max(0, self._to_lose - 1), self._to_lose
            return before > 0

    def note_loss(self) -> None:
        """An answer was lost."""
        with self._lock:
            self.lost += 1


class _Losing(Lookout):
    def __init__(self, proxy: LossyProxy) -> None:
        self._proxy = proxy
        self._doomed = threading.Event()

    def sent(self, chunk: bytes) -> None:
        if self._proxy.matches(chunk) and self._proxy.take_turn():
            self._doomed.set()

    def answered(self, chunk: bytes) -> bool:
        if not self._doomed.is_set() or _is_go_ahead(chunk):
            return True
        self._proxy.note_loss()
        return False


def _is_go_ahead(chunk: bytes) -> bool:
    """Tell whether this only invites the client to send the body (100 Continue)."""
    return chunk.startswith(b"HTTP/1.1 100") and chunk.count(b"HTTP/1.1 ") == 1


def losing_answers(endpoint_url: str, matches: Callable[[bytes], bool]) -> LossyProxy:
    """Put a proxy before ``http://HOST:PORT``, to be closed; `matches` looks at what a client sends in one piece."""
    return LossyProxy(*address_of(endpoint_url), matches)
