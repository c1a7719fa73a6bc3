"""Reading one stored file by ranges, with bounded memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from sealrun.domain.errors import UnavailableError

READ_AHEAD = 8 << 20
_FIRST_READ = 256 << 10


class Ranges(io.RawIOBase):
    """One file, read by ranges that grow while they follow each other: a look here and there costs little.

    Every handle has its own position, and every error is ours.
    """

    def __init__(self, what: str, size: int, read_range: Callable[[int, int], bytes]) -> None:
        """Read a file of `size` bytes by ``read_range(start, length)``; `what` names it in messages."""
        super().__init__()
        self._what = what
        self._size = size
        self._read_range = read_range
        self._at = 0
        self._expected = 0
        self._window = _FIRST_READ

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
        self._window = min(self._window * 2, READ_AHEAD) if self._at == self._expected else _FIRST_READ
        length = min(len(buffer), self._size - self._at, self._window)
        if length <= 0:
            return 0
        chunk = self._read_range(self._at, length)
        if len(chunk) != length:
            raise UnavailableError(f"{self._what}: ends early; read it again")
        buffer[:length] = chunk
        self._at = self._expected = self._at + length
        return length
