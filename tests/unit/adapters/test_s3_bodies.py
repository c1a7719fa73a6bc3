"""What is sent out of a file: the same bytes as from memory, read again for each try."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import Any

import aiohttp.payload
import pytest
from aiobotocore._endpoint_helpers import _IOBaseWrapper
from botocore.utils import determine_content_length

from sealrun.adapters.stores.s3_bodies import BytesBody, FileBody

BODY = bytes(range(256)) * 2_000


def a_file_body(path: Path, body: bytes = BODY) -> FileBody:
    path.write_bytes(body)
    return FileBody(os.open(path, os.O_RDONLY), len(body))


class Wire:
    """What aiohttp writes to."""

    def __init__(self) -> None:
        self.sent = bytearray()

    async def write(self, chunk: bytes) -> None:
        self.sent += chunk


@pytest.mark.parametrize("begin", [0, 5])
def test_botocore_and_aiohttp_send_a_file_as_they_send_bytes(tmp_path: Path, begin: int) -> None:
    for body in (a_file_body(tmp_path / "file"), BytesBody(BODY), io.BytesIO(BODY)):
        body.seek(begin)
        assert determine_content_length(body) == len(BODY) - begin
        payload = aiohttp.payload.PAYLOAD_REGISTRY.get(_IOBaseWrapper(body))  # as aiobotocore has it sent
        assert isinstance(payload, aiohttp.BytesIOPayload)
        assert payload.size == len(BODY) - begin
        for _ in range(2):  # a second try begins where the first one did
            wire: Any = Wire()
            asyncio.run(payload.write(wire))
            assert bytes(wire.sent) == BODY[begin:]


def test_a_file_is_read_like_any_other(tmp_path: Path) -> None:
    body = a_file_body(tmp_path / "file")
    same = io.BytesIO(BODY)
    assert (body.readable(), body.seekable(), body.tell()) == (True, True, 0)
    for step in ((0, 2), (3, 0), (-1, 2), (5, 1), (0, 0), (len(BODY) + 9, 0)):
        assert body.seek(*step) == same.seek(*step)
        assert body.read(7) == same.read(7)
        assert body.tell() == same.tell()
    body.seek(10)
    assert body.read() == BODY[10:]
    assert body.read(None) == b""
    body.close()
    body.close()
    assert body.closed
    with pytest.raises(ValueError, match="closed"):
        body.read(1)
