"""A way to a server that keeps every byte that clients send."""

from __future__ import annotations

from tests.servers.forwarding import Forwarder, Lookout


class Heads(Forwarder):
    """Keeps what clients send."""

    def __init__(self, host: str, port: int) -> None:
        self.sent: list[bytearray] = []
        super().__init__(host, port)

    def lookout(self) -> Lookout:
        self.sent.append(bytearray())
        return _Keeping(self.sent[-1])


class _Keeping(Lookout):
    def __init__(self, kept: bytearray) -> None:
        self._kept = kept

    def sent(self, chunk: bytes) -> None:
        self._kept += chunk
