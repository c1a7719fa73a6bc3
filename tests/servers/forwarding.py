"""A way to a server: HTTP/1.1 over TCP, with somebody who looks at what goes over it. Tests and benchmarks share it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import NamedTuple, Self
from urllib.parse import unquote

_CHUNK = 1 << 17
_HEAD_END = b"\r\n\r\n"


class Request(NamedTuple):
    """One request as it was sent: method, path without query, query, and the length of its body."""

    method: str
    path: str
    query: str
    length: int

    def __str__(self) -> str:
        shown = f"{self.path}?{self.query}" if self.query else self.path
        return f"{self.method:6} {unquote(shown)} ({self.length})"


class RequestReader:
    """Finds the requests in what a client sends over one connection, piece by piece."""

    def __init__(self) -> None:
        self._head = b""
        self._body = 0  # bytes of the present request's body that are still to come

    def feed(self, chunk: bytes) -> list[Request]:
        """Return the requests whose heads end in `chunk`. `ValueError`: a body of unknown length."""
        found = []
        rest = memoryview(chunk)
        while rest:
            passed = min(self._body, len(rest))
            rest, self._body = rest[passed:], self._body - passed
            self._head += rest
            end = self._head.find(_HEAD_END)
            if end < 0:
                break
            found.append(_read_head(self._head[:end]))
            self._body = found[-1].length
            rest, self._head = memoryview(self._head[end + len(_HEAD_END) :]), b""
        return found


def _read_head(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", ""):
        msg = f"{first}: a body of unknown length"
        raise ValueError(msg)
    path, _, query = target.partition("?")
    return Request(method, path, query, int(headers.get("content-length", "0")))


class Lookout:
    """Looks at one connection. Each direction has a thread of its own, which waits while it looks."""

    def sent(self, chunk: bytes) -> None:
        """The client sent something, which goes on once this returns."""

    def answered(self, chunk: bytes) -> bool:  # noqa: ARG002 - who only counts need not look
        """The server answered something; False: it is lost, and so is the connection."""
        return True


class Forwarder:
    """Forwards connections to a server, each under a lookout of its own. Subclasses say which."""

    def __init__(self, host: str, port: int) -> None:
        """Forward to `host`:`port` from a free port on loopback."""
        self._target = (host, port)
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()
        self._made = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._thread = threading.Thread(target=self._accept, name=type(self).__name__, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def connections(self) -> int:
        """How many connections were made."""
        with self._guard:
            return self._made

    def close(self) -> None:
        """End everything."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._guard:
            for each in self._open:
                _end(each)

    def lookout(self) -> Lookout:
        """Return who looks at a new connection."""
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Carry one connection: a thread each way."""
        lookout = self.lookout()
        server = socket.create_connection(self._target)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._guard:
            self._made += 1
            self._open |= {client, server}
        forward = threading.Thread(target=_forward, args=(client, server, lookout), daemon=True)
        forward.start()
        with suppress(OSError):
            while (chunk := server.recv(_CHUNK)) and lookout.answered(chunk):
                client.sendall(chunk)
        _end(client)
        _end(server)
        forward.join()
        with self._guard:
            self._open -= {client, server}
        client.close()
        server.close()


def _forward(client: socket.socket, server: socket.socket, lookout: Lookout) -> None:
    with suppress(OSError):
        try:
            while chunk := client.recv(_CHUNK):
                lookout.sent(chunk)
                server.sendall(chunk)
        finally:
            server.shutdown(socket.SHUT_WR)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def address_of(endpoint_url: str) -> tuple[str, int]:
    """Return host and port of ``http://HOST:PORT``."""
    host, _, port = endpoint_url.removeprefix("http://").partition(":")
    return host, int(port)
