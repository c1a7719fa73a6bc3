"""One file of a run: a preview that executes nothing, and its picture.

HTML, SVG and everything else that a browser might run is shown as text. A picture is answered only if its bytes are
those of one, as `Board.picture` says, and as that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from aiohttp import web

from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.board import TablePreview, TextPreview
from sealrun.web.board import Board
from sealrun.web.loop import BOARD, off_loop
from sealrun.web.rendering import page
from sealrun.web.wording import url

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_NO_PICTURE = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 100">
<rect width="160" height="100" fill="#eef1ee"/>
<text x="80" y="54" text-anchor="middle" font-family="sans-serif" font-size="12" fill="#54605b">not a picture</text>
</svg>"""


def is_picture(path: str) -> bool:
    """Whether a file may be a picture, by its name."""
    return path.lower().endswith(_PICTURES)


def _asked(request: web.Request) -> tuple[str, str, str, str]:
    path = request.query.get("path", "")
    if not path:
        raise UsageError("the address names no file: it ends in ?path=…")
    found = request.match_info
    return found["registry"], found["experiment"], found["run_id"], path


class _Preview(NamedTuple):
    """One of the three, or why there is none."""

    picture: bool = False
    table: TablePreview | None = None
    text: TextPreview | None = None
    why: str = ""


def _preview(board: Board, names: tuple[str, str, str, str]) -> _Preview:
    """Look what can be shown: a picture by its bytes, then a table, then text."""
    if is_picture(names[3]):
        with suppress(UsageError):
            board.picture(*names)
            return _Preview(picture=True)
    with suppress(UsageError):
        return _Preview(table=board.table(*names))
    try:
        return _Preview(text=board.text(*names))
    except UsageError as error:
        return _Preview(why=str(error))


async def answer_file(request: web.Request) -> web.Response:
    """Answer what can be shown of one file; what cannot be shown can be downloaded."""
    registry, experiment, run_id, path = names = _asked(request)
    preview = await off_loop(request, _preview, request.app[BOARD], names)
    parts = ("runs", registry, experiment, run_id)
    return await off_loop(  # thousands of cells take a while
        request,
        page,
        request,
        "file.html",
        registry=registry,
        experiment=experiment,
        run_id=run_id,
        path=path,
        preview=preview,
        picture=url(*parts, "picture", path=path),
        download=url("api", "v1", "registries", registry, "runs", experiment, run_id, "file", path=path),
    )


async def answer_picture(request: web.Request) -> web.Response:
    """Answer a picture to be shown inline; for a file that is none, a drawing that says so."""
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=3600",
    }
    try:
        picture = await off_loop(request, request.app[BOARD].picture, *_asked(request))
    except UsageError:
        return web.Response(body=_NO_PICTURE, content_type="image/svg+xml", headers=headers)
    return web.Response(body=picture.body, content_type=picture.media_type, headers=headers)


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    here = "/runs/{registry}/{experiment}/{run_id}"
    return [web.get(f"{here}/file", answer_file), web.get(f"{here}/picture", answer_picture)]
