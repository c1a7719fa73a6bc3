"""Reading what is to be stored, and what is stored."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import IO, Any

from sealrun.domain.address import Key
from sealrun.domain.errors import RunChangedError, UnavailableError
from sealrun.ports import Source

_CHUNK = 4 << 20


def copy_checked(key: Key, source: Source, copy: IO[bytes]) -> None:
    """Copy the bytes for `key` into a local file, or raise `RunChangedError` if they are not those of their digest."""
    digest = hashlib.sha256()
    with source.open() as stream:
        while chunk := _read(stream.read, key):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != source.digest:
        raise RunChangedError(f"{key}: the bytes read are not the ones that were hashed; settle again")
    copy.flush()


def _read(read: Callable[[int], bytes], key: Key) -> bytes:
    try:
        return read(_CHUNK)
    except OSError as error:
        raise RunChangedError(f"{key}: its source cannot be read ({error.strerror}); settle again") from error


class Ranges(io.RawIOBase):
    """One file, read by ranges: every handle has its own position, and every error is ours."""

    def __init__(self, what: str, size: int, read_range: Callable[[int, int], bytes]) -> None:
        """Read a file of `size` bytes by ``read_range(start, end)``; `what` names it in messages."""
        super().__init__()
        self._what = what
        self._size = size
        self._read_range = read_range
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; costs nothing until the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        """Fetch up to the size of `buffer`."""
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        chunk = self._read_range(self._at, self._at + length)
        if len(chunk) != length:
            raise UnavailableError(f"{self._what}: ends early; read it again")
        buffer[:length] = chunk
        self._at += length
        return length
