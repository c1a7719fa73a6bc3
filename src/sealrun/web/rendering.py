"""Pages made from templates. Everything that a template is given is escaped; a name that it lacks is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from sealrun import __version__
from sealrun.web import wording

FRAGMENT = "X-Fragment"
"""A request with this header wants a page's sections only."""
_WORDS: Mapping[str, Callable[..., object]] = {
    name: getattr(wording, name)
    for name in (
        "absolute", "ago", "at", "count", "flat", "lines", "quoted", "rate", "relative", "run_url", "said", "shown",
        "size", "state", "told", "url", "visible",
    )
}  # fmt: skip


class Viewer(NamedTuple):
    """Who looks. `csrf` goes into every form; without it this viewer changes nothing. `token`: one is configured."""

    csrf: str | None = None
    token: bool = False
    signed_in: bool = False


VIEWER = web.RequestKey("viewer", Viewer)
"""``request[VIEWER]``: set by whatever guards the pages."""


@cache
def templates() -> Environment:
    """Return the templates: autoescape on, undefined names refused."""
    environment = Environment(
        loader=PackageLoader("sealrun.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_WORDS)
    environment.filters.update(_WORDS)
    return environment


def render(template: str, viewer: Viewer, *, here: str = "/", fragment: bool = False, **values: Any) -> str:  # noqa: ANN401 - whatever the template names
    """Return a page as text. `here` is its own address, to come back to; `now` may be given, or is the time now."""
    if not here.startswith("/") or here.startswith(("//", "/\\")):
        here = "/"  # a browser would take such a link for another server's
    values.setdefault("now", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    layout = "fragment.html" if fragment else "base.html"
    return (
        templates()
        .get_template(template)
        .render(viewer=viewer, here=here, layout=layout, version=__version__, **values)
    )


def page(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:  # noqa: ANN401 - likewise
    """Answer a request with a page; ``request[VIEWER]`` is who looks, nobody in particular if nothing set it."""
    text = render(
        template,
        request.get(VIEWER, Viewer()),
        here=request.raw_path,
        fragment=FRAGMENT in request.headers,
        **values,
    )
    # A lone surrogate (a name on disk that is not UTF-8) has no UTF-8: as a reference it becomes U+FFFD.
    body = text.encode("utf-8", "xmlcharrefreplace")
    return web.Response(body=body, status=status, content_type="text/html", charset="utf-8")
