"""Reading one object by ranges, with bounded memory."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from sealrun.adapters.stores.ranges import READ_AHEAD, Ranges
from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_errors import Refusal
from sealrun.domain.address import Key
from sealrun.domain.errors import UnavailableError

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
    etag = facts.get("ETag")
    ranges = Ranges(
        f"{connection.place.url}: {key}",
        int(facts["ContentLength"]),
        lambda start, length: fetch(connection, key, start, length, etag),
    )
    return io.BufferedReader(ranges, READ_AHEAD)
