"""Posting to a URL that somebody chose: bounded in time and size, never redirected, and never shown."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

_TIMEOUT_S = 15.0
_MOST_READ = 64 << 10
_OK = range(200, 300)


def post(url: str, headers: Mapping[str, str], body: bytes, agent: str) -> str | None:
    """Post `body`; return None if the receiver took it, else why not. Of the URL only the host is told."""
    return ask("POST", url, headers, body, agent)


def ask(method: str, url: str, headers: Mapping[str, str], body: bytes | None, agent: str) -> str | None:
    """Ask by `method`; likewise."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=_TIMEOUT_S, context=context
            )
        elif parts.scheme == "http":
            connection = http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT_S)
        else:
            return f"{parts.scheme or 'no scheme'}: is not http or https"
    except ValueError:
        return f"{host}: the port is not a number"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body, {**headers, "User-Agent": agent, "Connection": "close"})
        answer = connection.getresponse()
        answer.read(_MOST_READ)
    except (OSError, http.client.HTTPException) as error:
        return f"{host}: {type(error).__name__}: {getattr(error, 'strerror', None) or 'no answer'}"
    finally:
        connection.close()
    return None if answer.status in _OK else f"{host}: answered {answer.status}"
