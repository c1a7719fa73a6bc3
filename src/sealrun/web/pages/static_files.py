"""The style sheet, the scripts and the picture. Answered to anybody: the form to sign in needs them."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from aiohttp import web

_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
NAMES = ("icon.svg", "live.js", "page.css", "theme.js")


class _File(NamedTuple):
    body: bytes
    etag: str
    kind: str


@cache
def _read(name: str) -> _File:
    body = files("sealrun.web").joinpath("static", name).read_bytes()
    return _File(body, sha256(body).hexdigest()[:32], _KINDS[name[name.rindex(".") :]])


async def answer_static(request: web.Request) -> web.Response:
    """Answer one file; a browser that has it is told so."""
    name = request.match_info["name"]
    if name not in NAMES:
        raise web.HTTPNotFound
    found = _read(name)
    headers = {"ETag": f'"{found.etag}"', "Cache-Control": "no-cache"}
    if any(tag.value == found.etag for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.body, content_type=found.kind, charset="utf-8", headers=headers)


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/static/{name}", answer_static)]
