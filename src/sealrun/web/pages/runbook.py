"""``/runbook``: what to do about each alarm, from the documentation of this very version."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from aiohttp import web
from markupsafe import Markup

from sealrun.domain.errors import NotFoundError
from sealrun.web.pages.markdown import as_html
from sealrun.web.rendering import page


@cache
def _text() -> str | None:
    # A wheel has a copy (see pyproject.toml); a checkout that is installed as it is has the original.
    packed = files("sealrun.web").joinpath("runbook.md")
    if packed.is_file():
        return packed.read_text("utf-8")
    original = Path(__file__).parents[4] / "docs" / "runbook.md"
    return original.read_text("utf-8") if original.is_file() else None


async def answer_runbook(request: web.Request) -> web.Response:
    """Answer the runbook; `NotFoundError` if this installation has none."""
    text = _text()
    if text is None:
        raise NotFoundError("This installation came without its runbook: see docs/runbook.md of its sources.")
    title, _, rest = text.partition("\n")
    return page(request, "runbook.html", title=title.lstrip("# "), body=_page(rest))


@cache
def _page(text: str) -> Markup:
    return as_html(text)


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/runbook", answer_runbook)]
