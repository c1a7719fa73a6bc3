"""A way to a server on which answers get lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_CHUNK = 1 << 16


class LossyProxy:
    """Forwards HTTP over TCP. After `lose(n)` the answers to the next n requests that `matches` picks are dropped.

    The server has answered by then, so the request has happened; the client sees its connection end.
    """

    def __init__(self, host: str, port: int, matches: Callable[[bytes], bool]) -> None:
        """Forward to `host`:`port`."""
        self._target = (host, port)
        self._matches = matches
        self._to_lose = 0
        self.lost = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, name="lossy-proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    def lose(self, count: int) -> None:
        """Drop the answers to the next `count` matching requests."""
        with self._lock:
            self._to_lose = count

    def close(self) -> None:
        """End everything."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Carry one connection: a thread each way, and the way back knows which request it answers."""
        server = socket.create_connection(self._target)
        doomed = threading.Event()
        with self._lock:
            self._open |= {client, server}
        forward = threading.Thread(target=self._forward, args=(client, server, doomed), daemon=True)
        forward.start()
        with suppress(OSError):
            while chunk := server.recv(_CHUNK):
                if doomed.is_set() and not _is_go_ahead(chunk):
                    with self._lock:
                        self.lost += 1
                    break
                client.sendall(chunk)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        forward.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _forward(self, client: socket.socket, server: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while chunk := client.recv(_CHUNK):
                if self._matches(chunk):
                    with self._lock:
                        if self._to_lose > 0:
                            self._to_lose -= 1
                            doomed.set()
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)


def _is_go_ahead(chunk: bytes) -> bool:
    """Tell whether this only invites the client to send the body (100 Continue)."""
    return chunk.startswith(b"HTTP/1.1 100") and chunk.count(b"HTTP/1.1 ") == 1


@contextmanager
def losing_answers(endpoint_url: str, matches: Callable[[bytes], bool]) -> Iterator[LossyProxy]:
    """Put a proxy before ``http://HOST:PORT``; `matches` looks at what a client sends in one piece."""
    host, _, port = endpoint_url.removeprefix("http://").partition(":")
    proxy = LossyProxy(host, int(port), matches)
    try:
        yield proxy
    finally:
        proxy.close()
