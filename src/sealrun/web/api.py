"""``/api/v1``: what the board says, as JSON; files of runs, verified; and the document that describes all of it.

Parameters are checked before the board is asked: what is wrong, unknown or given twice is 400. Files are attachments
that no browser runs: bytes without a type, sandboxed. A picture is answered only as what its first bytes say.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from sealrun.domain.errors import SealrunError, UnavailableError
from sealrun.domain.oversight.board import Opened, Picture
from sealrun.web.loop import BOARD, POOL, off_loop
from sealrun.web.openapi import DOCUMENT_PATH, document
from sealrun.web.operations import BASE, OPERATIONS, Given, Operation

Answer = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]

Send = Callable[[web.Request, Operation, Given], Coroutine[Any, Any, web.StreamResponse]]

DOWNLOADS = 8
FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
_PIECE = 1 << 18
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
_log = logging.getLogger("sealrun.http")


def routes(downloads: int = DOWNLOADS) -> list[web.RouteDef]:
    """Everything below ``/api/v1`` but the actions. So many files are sent at once: each has pieces in memory."""
    room = asyncio.Semaphore(downloads)

    async def send_file(request: web.Request, operation: Operation, given: Given) -> web.StreamResponse:
        if room.locked():
            msg = f"{downloads} files are being sent to others; try again in a moment"
            raise UnavailableError(msg)
        async with room:
            return await _send_file(request, operation, given)

    send: Mapping[str, Send] = {"file": send_file, "picture": _send_picture}
    return [
        web.get(DOCUMENT_PATH, _answer_document),
        *(
            web.get(f"{BASE}{operation.path}", _answering(operation, send.get(operation.name, _send_json)))
            for operation in OPERATIONS
        ),
    ]


async def _answer_document(_request: web.Request) -> web.Response:
    return web.Response(body=document(), content_type="application/json")


def _answering(operation: Operation, send: Send) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        given = operation.read(request.match_info, list(request.query.items()))
        return await send(request, operation, given)

    return answer


async def _send_json(request: web.Request, operation: Operation, given: Given) -> web.StreamResponse:
    body = await off_loop(request, lambda: encoded(operation.ask(request.app[BOARD], given)))
    return web.Response(body=body, content_type="application/json")


async def _send_picture(request: web.Request, operation: Operation, given: Given) -> web.StreamResponse:
    found: Picture = await off_loop(request, operation.ask, request.app[BOARD], given)
    headers = {"Content-Security-Policy": FILE_POLICY, "X-Content-Type-Options": "nosniff"}
    return web.Response(body=found.body, headers=headers, content_type=found.media_type)


async def _send_file(request: web.Request, operation: Operation, given: Given) -> web.StreamResponse:
    """Send a file piece by piece. Where one cannot be had, the connection is broken off: nothing arrives short."""
    opened: Opened = await off_loop(request, operation.ask, request.app[BOARD], given)
    try:
        wanted = wanted_of(request, opened)
        response = web.StreamResponse(headers=_file_headers(opened))
        response.content_length = wanted.end - wanted.begin
        if wanted.partial:
            response.set_status(206)
            response.headers["Content-Range"] = f"bytes {wanted.begin}-{wanted.end - 1}/{opened.size}"
        first = await off_loop(request, opened.body.read, _PIECE)  # what is wrong from the start has an answer
        await response.prepare(request)
        if request.method != "HEAD":
            await _pass_on(request, response, opened, first, wanted)
        return response
    finally:
        # In a thread, and not waited for: a read that was cancelled may still be under way there.
        asyncio.get_running_loop().run_in_executor(request.app[POOL], opened.body.close)


async def _pass_on(
    request: web.Request, response: web.StreamResponse, opened: Opened, piece: bytes, wanted: Wanted
) -> None:
    """Send what is wanted of the pieces. All of them are read: its end is held back until the whole file matched."""
    at, held = 0, b""
    try:
        while piece:
            part = piece[max(0, wanted.begin - at) : max(0, wanted.end - at)]
            at += len(piece)
            if part:
                if held:
                    await response.write(held)
                held = part
            piece = await off_loop(request, opened.body.read, _PIECE)
        if held:
            await response.write(held)
    except SealrunError as error:
        _log.error("%s: broken off: %s", request.path, error)
        if request.transport is not None:
            request.transport.abort()
        msg = "the file cannot be sent to its end"
        raise ConnectionResetError(msg) from error
    await response.write_eof()


class Wanted(msgspec.Struct, frozen=True):
    """Which bytes of a file are sent: from `begin` up to `end`."""

    begin: int
    end: int
    partial: bool = False


def wanted_of(request: web.Request, opened: Opened) -> Wanted:
    """Return what a request wants of a file. Anything but one range of bytes is answered with all of it (RFC 9110).

    416 for a range that begins behind the end.
    """
    whole = Wanted(0, opened.size)
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if request.method != "GET" or asked is None or request.headers.get("If-Range", _tag(opened)) != _tag(opened):
        return whole
    first, last = asked.groups()
    if not first and not last:
        return whole
    begin = int(first) if first else max(0, opened.size - int(last))
    end = min(opened.size, int(last) + 1) if first and last else opened.size
    if first and last and int(last) < begin:
        return whole
    if begin >= opened.size or (not first and int(last) == 0):
        reason = f"the file has {opened.size} bytes"
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{opened.size}"}, text=reason)
    return Wanted(begin, end, partial=True)


def _tag(opened: Opened) -> str:
    return f'"{opened.sha256}"'


def _file_headers(opened: Opened) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": disposition(opened.name),
        "Content-Security-Policy": FILE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "ETag": _tag(opened),
    }


def disposition(path: str) -> str:
    """Return what says under which name a file is to be kept; for programs that read no UTF-8, one in ASCII, too."""
    name = path.rpartition("/")[2]
    plain = "".join(sign if " " <= sign <= "~" and sign not in '"\\%;' else "_" for sign in name) or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"


def encoded(value: object) -> bytes:
    """Encode a value as JSON; what foreign records hold that is no Unicode is replaced."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_mended(msgspec.to_builtins(value)))


def _mended(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {str(_mended(key)): _mended(item) for key, item in value.items()}
    return [_mended(item) for item in value] if isinstance(value, (list, tuple)) else value
