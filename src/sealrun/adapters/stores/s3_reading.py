"""Reading one object by ranges, with bounded memory."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_errors import Refusal
from sealrun.domain.address import Key
from sealrun.domain.errors import UnavailableError

READ_AHEAD = 8 << 20
_FIRST_READ = 256 << 10
_NO_SUCH_RANGE = 416
_CHANGED = 412


def fetch(connection: Connection, key: Key, offset: int, length: int | None, etag: str | None = None) -> bytes:
    """Return bytes of `key`, fewer if it ends before. `UnavailableError` if its ETag is not `etag` any more."""
    parameters: dict[str, Any] = {"Key": connection.place.name(key)}
    if offset or length is not None:
        end = "" if length is None else str(offset + max(length, 1) - 1)
        parameters["Range"] = f"bytes={offset}-{end}"
    if etag is not None:
        parameters["IfMatch"] = etag
    answer = connection.call("get_object", f"{key} cannot be read", expected=_is_about_content, **parameters)
    if isinstance(answer, Refusal):
        if answer.status == _NO_SUCH_RANGE or answer.code == "InvalidRange":
            return b""
        raise UnavailableError(f"{connection.place.url}: {key} was replaced while it was read; read it again")
    body: bytes = answer["Body"]
    return body if length is None else body[:length]


def _is_about_content(refusal: Refusal) -> bool:
    return refusal.status in {_NO_SUCH_RANGE, _CHANGED} or refusal.code == "InvalidRange"


def open_object(connection: Connection, key: Key, facts: Mapping[str, Any]) -> io.BufferedReader:
    """Open the object that HEAD described by `facts`."""
    return io.BufferedReader(_Ranges(connection, key, int(facts["ContentLength"]), facts.get("ETag")), READ_AHEAD)


class _Ranges(io.RawIOBase):
    """One object, read by ranges that grow while they follow each other: a look here and there costs little."""

    def __init__(self, connection: Connection, key: Key, size: int, etag: str | None) -> None:
        super().__init__()
        self._connection = connection
        self._key = key
        self._size = size
        self._etag = etag
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
        chunk = fetch(self._connection, self._key, self._at, length, self._etag)
        if len(chunk) != length:
            raise UnavailableError(f"{self._connection.place.url}: {self._key} ends early; read it again")
        buffer[:length] = chunk
        self._at = self._expected = self._at + length
        return length
