"""``/runbook``: what to do about each alarm, from the documentation of this very version."""

from __future__ import annotations

from functools import cache

from aiohttp import web
from markupsafe import Markup

from sealrun.adapters.content.runbook import runbook_text
from sealrun.web.pages.markdown import as_html
from sealrun.web.rendering import page


async def answer_runbook(request: web.Request) -> web.Response:
    """Answer the runbook; `NotFoundError` if this installation has none."""
    title, _, rest = runbook_text().partition("\n")
    return page(request, "runbook.html", title=title.lstrip("# "), body=_page(rest))


@cache
def _page(text: str) -> Markup:
    return as_html(text)


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/runbook", answer_runbook)]
