"""Bodies of requests that are sent bit by bit, so that others get a turn meanwhile: from memory, or from a file.

aiohttp asks for the buffer of what it sends in order to learn its length.
"""

from __future__ import annotations

import io
import os
from types import TracebackType
from typing import Self


class BytesBody(io.BytesIO):
    """Bytes in memory, once: the buffer of any other `io.BytesIO` is a copy."""

    def __init__(self, body: bytes) -> None:
        """Send `body`."""
        super().__init__(body)
        self._body = body

    def getbuffer(self) -> memoryview:
        """Return the bytes as they are."""
        return memoryview(self._body)


class FileBody(io.BytesIO):
    """An open file that nobody changes any more, read while it is sent: nothing of it is in memory.

    A `io.BytesIO` by its class only, because aiohttp reads those where it sends, and any other file in a thread, for
    each 64 KiB anew.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        """Send the `size` bytes of a file, and own its `descriptor`."""
        super().__init__()
        self._descriptor = descriptor
        self._size = size
        self._at = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        left = max(0, self._size - self._at)
        body = os.pread(self._descriptor, left if size is None or size < 0 else min(size, left), self._at)
        self._at += len(body)
        return body

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go somewhere else; see `io.IOBase`."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        """Say where it is."""
        return self._at

    def getbuffer(self) -> Length:  # type: ignore[override] # as much of a buffer as is looked at
        """Return what has the length of the bytes."""
        return Length(self._size)

    def close(self) -> None:
        """Close the file. Harmless twice."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class Length:
    """As long as a buffer, and no more than that."""

    def __init__(self, size: int) -> None:
        """Be `size` bytes long."""
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
