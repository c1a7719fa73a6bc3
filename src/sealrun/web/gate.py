"""The way in: every request is judged by the guard before anything else looks at it, every answer gets its headers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sealrun.ports import Clock
from sealrun.web.answering import failed
from sealrun.web.guarding import COOKIE, CSRF_FIELD, HEADERS, READING, SESSION_S, Asked, Guard, Visitor
from sealrun.web.loop import quickly
from sealrun.web.rendering import FRAGMENT, VIEWER, Viewer, page

VISITOR = web.RequestKey("visitor", Visitor)
FIELDS = web.RequestKey("fields", dict[str, str])
MOST_BYTES = 64 << 10
"""Of a request's body. Forms and JSON objects of this daemon have a few hundred."""

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_log = logging.getLogger("sealrun.http")


class Patience(NamedTuple):
    """How long a request's body may take to arrive, and how long whoever knows no token waits for the answer."""

    arrival_s: float = 15.0
    after_wrong_s: float = 0.5


PATIENCE = Patience()


def gate(guard: Guard, clock: Clock, patience: Patience = PATIENCE) -> Middleware:
    """Return what lets a request in, or not. What is let in and changes something has its fields read and checked."""

    @web.middleware
    async def judged(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = _asked(request)
        visitor = guard.visitor(asked, clock.now().timestamp())
        request[VISITOR] = visitor
        request[VIEWER] = Viewer(visitor.csrf, guard.has_token, visitor.how == "session")
        refusal = guard.refuse(asked, visitor)
        if refusal is not None:
            path = request.rel_url.raw_path  # without the query, and still encoded: no line breaks
            _log.info("refused %s %s from %s: %s", request.method, path, request.remote, refusal.reason)
            if refusal.slowly:
                await asyncio.sleep(patience.after_wrong_s)
            return _refused(request, refusal.status, refusal.reason, sign_in=refusal.sign_in)
        if request.method not in READING:
            request[FIELDS] = await _fields(request, patience.arrival_s)
            if request.path != "/login" and not guard.csrf_matches(visitor, _csrf_of(request)):
                return failed(request, 403, "this form is not of this session; go back, reload the page and try again")
        return await handler(request)

    return judged


def fields(request: web.Request) -> Mapping[str, str]:
    """The fields of a request that changes something; empty ones are left out."""
    found: Mapping[str, str] = request.get(FIELDS, {})
    return found


def visitor_of(request: web.Request) -> Visitor:
    """Who asks."""
    visitor: Visitor = request[VISITOR]
    return visitor


async def headers_added(_request: web.Request, response: web.StreamResponse) -> None:
    """Give an answer the headers that it does not have; a signal for `on_response_prepare`."""
    for name, value in HEADERS.items():
        if name == "Server":
            response.headers[name] = value
        else:
            response.headers.setdefault(name, value)


def sign_in_routes(
    guard: Guard, clock: Clock, patience: Patience = PATIENCE, signed_out: Callable[[], None] = lambda: None
) -> list[web.RouteDef]:
    """``/login`` and ``/logout``. `signed_out` is called when a session has ended: somebody may still listen by."""

    async def answer_form(request: web.Request) -> web.StreamResponse:
        return page(request, "login.html", next=own_path(request.query.get("next")), refused=False)

    async def answer_login(request: web.Request) -> web.StreamResponse:
        after = own_path(fields(request).get("next"))
        if not guard.has_token:
            return failed(request, 403, "there is no `token` in [http] of the settings to sign in with")
        if not guard.knows(fields(request).get("token", "")):
            _log.warning("a wrong token from %s", request.remote)
            await asyncio.sleep(patience.after_wrong_s)
            return page(request, "login.html", status=401, next=after, refused=True)
        answer = web.Response(status=303, headers={"Location": after})
        answer.set_cookie(
            COOKIE,
            guard.new_session(clock.now().timestamp()),
            max_age=SESSION_S,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=request.headers.get("X-Forwarded-Proto") == "https",
        )
        return answer

    async def answer_logout(request: web.Request) -> web.StreamResponse:
        cookie = request.cookies.get(COOKIE)
        if cookie is not None:
            await quickly(request, guard.end_session, cookie, clock.now().timestamp())
            signed_out()
        answer = web.Response(status=303, headers={"Location": "/login"})
        answer.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
        return answer

    return [web.get("/login", answer_form), web.post("/login", answer_login), web.post("/logout", answer_logout)]


def own_path(text: str | None) -> str:
    """Return `text` if it is a path of ours, else ``/``: nobody is sent elsewhere by a form or a link."""
    ours = text is not None and text.startswith("/") and not text.startswith(("//", "/\\"))
    printable = ours and text is not None and all("!" <= sign <= "~" and sign != "\\" for sign in text)
    return text if printable and text is not None else "/"


def _refused(request: web.Request, status: int, reason: str, *, sign_in: bool) -> web.Response:
    wants_page = "text/html" in request.headers.get("Accept", "") and not request.path.startswith(("/api/", "/-/"))
    if sign_in and wants_page and request.method in READING and FRAGMENT not in request.headers:
        return web.Response(status=303, headers={"Location": f"/login?next={quote(request.raw_path, safe='/')}"})
    headers = {401: {"WWW-Authenticate": 'Bearer realm="sealrun"'}, 405: {"Allow": _allowed(request)}}
    return failed(request, status, reason, headers.get(status))


def _allowed(request: web.Request) -> str:
    """What may be asked for at a path, as far as there is anything."""
    other = request.match_info.http_exception
    return (
        ", ".join(sorted(other.allowed_methods)) if isinstance(other, web.HTTPMethodNotAllowed) else "GET, HEAD, POST"
    )


def _asked(request: web.Request) -> Asked:
    found = request.headers
    return Asked(
        method=request.method,
        path=request.path,
        host=found.get("Host", ""),
        authorization=found.get("Authorization"),
        cookie=request.cookies.get(COOKIE),
        origin=found.get("Origin"),
        fetch_site=found.get("Sec-Fetch-Site"),
        fetch_mode=found.get("Sec-Fetch-Mode"),
        fetch_dest=found.get("Sec-Fetch-Dest"),
    )


def _csrf_of(request: web.Request) -> str | None:
    return fields(request).get(CSRF_FIELD) or request.headers.get("X-CSRF-Token")


async def _fields(request: web.Request, arrival_s: float) -> dict[str, str]:
    """Read a form, or a JSON object of texts and numbers; nothing else is understood."""
    if not request.can_read_body:
        return {}
    if request.content_type not in {_FORM, _JSON}:
        raise web.HTTPUnsupportedMediaType(text=f"send a form ({_FORM}) or an object ({_JSON})")
    async with asyncio.timeout(arrival_s):
        if request.content_type == _FORM:
            form = await request.post()
            return {name: value for name, value in form.items() if isinstance(value, str) and value}
        body = await request.read()
    try:
        given = msgspec.json.decode(body, type=dict[str, str | int | None])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(text=f"expected a JSON object of texts and whole numbers: {error}") from error
    return {name: str(value) for name, value in given.items() if value not in {None, ""}}
