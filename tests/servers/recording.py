"""A way to a server that tells which requests went over it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import unquote

_CHUNK = 1 << 18


class Request(NamedTuple):
    """One request as it was sent: method, path without query, query, and the length of its body."""

    method: str
    path: str
    query: str
    length: int

    def __str__(self) -> str:
        shown = f"{self.path}?{self.query}" if self.query else self.path
        return f"{self.method:6} {unquote(shown)} ({self.length})"


class RecordingProxy:
    """Forwards HTTP/1.1 over TCP and remembers every request in the order in which it was begun."""

    def __init__(self, host: str, port: int) -> None:
        """Forward to `host`:`port`."""
        self._target = (host, port)
        self._lock = threading.Lock()
        self._seen: list[Request] = []
        self._connections = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, name="recording-proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def connections(self) -> int:
        """How many connections were made."""
        with self._lock:
            return self._connections

    def take(self) -> list[Request]:
        """Return what was asked since the last call."""
        with self._lock:
            seen, self._seen = self._seen, []
        return seen

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
        """Carry one connection: a thread each way."""
        server = socket.create_connection(self._target)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._connections += 1
            self._open |= {client, server}
        forward = threading.Thread(target=self._forward, args=(client, server), daemon=True)
        forward.start()
        with suppress(OSError):
            while chunk := server.recv(_CHUNK):
                client.sendall(chunk)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        forward.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        head = b""
        body = 0  # bytes of the present request's body that are still to come
        with suppress(OSError):
            while chunk := client.recv(_CHUNK):
                rest = memoryview(chunk)
                while rest:
                    if body:
                        passed = min(body, len(rest))
                        rest, body = rest[passed:], body - passed
                        continue
                    head += rest
                    end = head.find(b"\r\n\r\n")
                    if end < 0:
                        break
                    body = self._note(head[:end])
                    rest, head = memoryview(head[end + 4 :]), b""
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)

    def _note(self, head: bytes) -> int:
        """Remember a request by its head; return how long its body is."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert "chunked" not in headers.get("transfer-encoding", ""), f"{first}: a body of unknown length"
        length = int(headers.get("content-length", "0"))
        path, _, query = target.partition("?")
        with self._lock:
            self._seen.append(Request(method, path, query, length))
        return length


@contextmanager
def recording_requests(endpoint_url: str) -> Iterator[RecordingProxy]:
    """Put a proxy before ``http://HOST:PORT``."""
    host, _, port = endpoint_url.removeprefix("http://").partition(":")
    proxy = RecordingProxy(host, int(port))
    try:
        yield proxy
    finally:
        proxy.close()
