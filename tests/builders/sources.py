"""Sources for stores: bytes with a digest, true or not."""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO

from sealrun.domain.address import Digest
from sealrun.domain.errors import RunChangedError


def sha256(body: bytes) -> Digest:
    return Digest(hashlib.sha256(body).hexdigest())


class Bytes:
    """`ports.Source` of bytes in memory; counts how often it was opened."""

    def __init__(self, body: bytes, digest: Digest | None = None) -> None:
        self.body = body
        self.size = len(body)
        self.digest = digest or sha256(body)
        self.opened = 0

    def open(self) -> BinaryIO:
        self.opened += 1
        return io.BytesIO(self.body)


class Pattern:
    """`ports.Source` of many chunks that never lie in memory together."""

    def __init__(self, chunk: bytes, times: int, *, lying: bool = False) -> None:
        self._chunk = chunk
        self._times = times
        self.size = len(chunk) * times
        digest = hashlib.sha256()
        for _ in range(times):
            digest.update(chunk)
        self.digest = sha256(b"something else") if lying else Digest(digest.hexdigest())

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Repeated(self._chunk, self._times), 1 << 20)


class _Repeated(io.RawIOBase):
    def __init__(self, chunk: bytes, times: int) -> None:
        self._left = memoryview(b"")
        self._chunk = chunk
        self._times = times

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override] # what readers pass
        if not self._left and self._times:
            self._times -= 1
            self._left = memoryview(self._chunk)
        part = self._left[: len(buffer)]
        buffer[: len(part)] = part
        self._left = self._left[len(part) :]
        return len(part)


class Gone:
    """`ports.Source` of a file that is no longer the one that was hashed."""

    size = 3
    digest = sha256(b"abc")

    def open(self) -> BinaryIO:
        raise RunChangedError("gone.bin: is no longer the file that was hashed")
