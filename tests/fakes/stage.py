"""A place in memory where bytes wait until their digest is known: a store's own stage, or the spool beside one."""

from __future__ import annotations

from typing import BinaryIO

from tests.builders.runs import BytesSource

from sealrun.domain.address import Digest
from sealrun.domain.errors import RunChangedError


class MemoryStage:
    """`ports.Stage` in memory. `kept` are the digests of what it took, which is gone once it is closed.

    Where it is `outlived`, what it took is as a request that is on its way.
    """

    def __init__(self, *, outlived: bool = False) -> None:
        self.kept: list[Digest] = []
        self.dropped = 0
        self.closed = False
        self.outlived = outlived

    def receive(self) -> MemoryIncoming:
        return MemoryIncoming(self)

    def close(self) -> None:
        self.closed = True


class MemoryIncoming:
    """`ports.Incoming` in memory."""

    def __init__(self, stage: MemoryStage) -> None:
        self._stage = stage
        self._body = bytearray()

    def write(self, chunk: bytes | memoryview) -> None:
        self._body += chunk

    def clone(self, descriptor: int) -> None:
        """Memory shares nothing with a file."""

    def keep(self, digest: Digest) -> StagedSource:
        source = StagedSource(self._stage, bytes(self._body))
        assert source.digest == digest
        self._stage.kept.append(digest)
        return source

    def drop(self) -> None:
        self._stage.dropped += 1


class StagedSource:
    """`ports.Source` of bytes that wait in a stage."""

    def __init__(self, stage: MemoryStage, body: bytes) -> None:
        self._stage = stage
        self._inner = BytesSource(body)

    @property
    def size(self) -> int:
        return self._inner.size

    @property
    def digest(self) -> Digest:
        return self._inner.digest

    def open(self) -> BinaryIO:
        if self._stage.closed and not self._stage.outlived:
            raise RunChangedError("its stage was closed")
        return self._inner.open()
