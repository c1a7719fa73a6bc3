"""What pages read out of addresses, and how they show things that several of them have."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.board import Overview
from sealrun.web.wording import url

_MOST_PAGES = 10_000_000


def number_in(request: web.Request, name: str = "page", least: int = 1, absent: int = 1) -> int:
    """Return a number of the query. `UsageError` for what is none."""
    text = request.query.get(name, "")
    if not text:
        return absent
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_MOST_PAGES)):
        raise UsageError(f"{name} in the address is no number from {least} on: {text[:40]!r}")
    found = int(text)
    if found < least:
        raise UsageError(f"{name} in the address counts from {least}: {text}")
    return found


def text_in(request: web.Request, name: str) -> str | None:
    """Return a text of the query; None if it is absent or empty."""
    return request.query.get(name, "").strip() or None


def pages_of(*parts: str, **query: str | None) -> Callable[[int], str]:
    """Return what gives the address of each page of a list; the first has no number."""
    return lambda page: url(*parts, **query, page=page if page > 1 else None)


def registry_in(request: web.Request, overview: Overview) -> str | None:
    """Return the registry that the query names, else the first of the settings; None if there is none."""
    names = [registry.name for registry in overview.registries]
    return text_in(request, "registry") or (names[0] if names else None)
