"""Bytes that are heard of as they are read: by whoever counts them, limits them, or wants to know that work gets on."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, cast

from sealrun.domain.address import Digest

Passed = Callable[[int], object]
"""Hears of every piece that was read, by its size; it may wait."""


class _Source(Protocol):
    """What `ports.Source` is."""

    @property
    def size(self) -> int: ...

    @property
    def digest(self) -> Digest: ...

    def open(self) -> BinaryIO: ...


class HeardSource:
    """`ports.Source` that tells of every piece that is read of it."""

    __slots__ = ("_inner", "_passed")

    def __init__(self, inner: _Source, passed: Passed) -> None:
        """Tell `passed`."""
        self._inner = inner
        self._passed = passed

    @property
    def inner(self) -> _Source:
        """The source itself."""
        return self._inner

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self._inner.size

    @property
    def digest(self) -> Digest:
        """What they are."""
        return self._inner.digest

    def open(self) -> BinaryIO:
        """Open for reading."""
        return heard_file(self._inner.open(), self._passed)


def heard_file(inner: BinaryIO, passed: Passed) -> BinaryIO:
    """Return a file that tells of every piece that is read; closing it closes `inner`."""
    return cast("BinaryIO", _File(inner, passed))


class _File(io.BufferedIOBase):
    def __init__(self, inner: BinaryIO, passed: Passed) -> None:
        super().__init__()
        self._inner: Any = inner
        self._passed = passed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._inner.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return int(self._inner.seek(offset, whence))

    def tell(self) -> int:
        return int(self._inner.tell())

    def fileno(self) -> int:
        return int(self._inner.fileno())

    def read(self, size: int | None = -1, /) -> bytes:
        return self._told(self._inner.read(-1 if size is None else size))

    def read1(self, size: int = -1, /) -> bytes:
        return self._told(getattr(self._inner, "read1", self._inner.read)(size))

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        got = int(self._inner.readinto(buffer) or 0)
        self._passed(got)
        return got

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._told(self._inner.readline(-1 if size is None else size))

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()

    def _told(self, body: bytes) -> bytes:
        self._passed(len(body))
        return body
