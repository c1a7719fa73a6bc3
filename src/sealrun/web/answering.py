"""What an error becomes: a problem (RFC 9457) below ``/api``, a page for browsers, a line of text for probes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from sealrun.domain.errors import (
    BuildFailedError,
    CollectionRefusedError,
    ConfigurationError,
    ConflictError,
    HeldError,
    NoRegistryError,
    NotFoundError,
    RequirementError,
    RunChangedError,
    RunRejectedError,
    SealrunError,
    StorageError,
    UsageError,
)
from sealrun.web.rendering import FRAGMENT, VIEWER, Viewer, render

_log = logging.getLogger("sealrun.http")
_STATUSES: tuple[tuple[type[SealrunError], int], ...] = (
    (UsageError, 400),
    (NoRegistryError, 503),
    (NotFoundError, 404),
    (StorageError, 503),
    (ConflictError, 409),
    (HeldError, 409),
    (RequirementError, 409),
    (CollectionRefusedError, 409),
    (ConfigurationError, 409),
    (RunChangedError, 409),
    (RunRejectedError, 409),
    (BuildFailedError, 409),
)
"""In this order; anything else, damage above all, is 500."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a refused or failed request is answered with below ``/api`` (``application/problem+json``)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def status_of(error: SealrunError) -> int:
    """Return the status that an error is answered with."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def failed(request: web.Request, status: int, reason: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer that it was not done, and why, in the form that whoever asks understands."""
    title = HTTPStatus(status).phrase
    if request.path.startswith("/api/"):
        body = msgspec.json.encode(Problem(title=title, status=status, detail=reason))
        return web.Response(body=body, status=status, headers=headers, content_type="application/problem+json")
    if request.path.startswith("/-/") or "text/html" not in request.headers.get("Accept", "text/html"):
        return web.Response(text=f"{reason}\n", status=status, headers=headers)
    text = render(
        "error.html",
        request.get(VIEWER, Viewer()),
        here=request.raw_path if request.method in {"GET", "HEAD"} else "/",
        fragment=FRAGMENT in request.headers,
        status=status,
        title=title,
        reason=reason,
    )
    body = text.encode("utf-8", "xmlcharrefreplace")
    return web.Response(body=body, status=status, headers=headers, content_type="text/html", charset="utf-8")


@web.middleware
async def errors_answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whatever an answer raises; what was not foreseen is logged and says nothing of itself."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        kept = {
            name: value
            for name in ("Allow", "Content-Range", "Retry-After")
            if (value := error.headers.get(name)) is not None
        }
        return failed(request, error.status, error.text or error.reason, kept)
    except SealrunError as error:
        status = status_of(error)
        retry = {"Retry-After": "30"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return failed(request, status, str(error), retry)
    except TimeoutError:
        return failed(request, 408, "the request took too long to arrive")
    except ConnectionError:
        raise  # whoever asked is gone
    except Exception:  # noqa: BLE001 - the last resort: nobody should see a traceback who did not ask for it
        _log.exception("%s %s failed unexpectedly", request.method, request.rel_url.raw_path)
        return failed(request, 500, "something unexpected went wrong; the daemon's log has the details")
