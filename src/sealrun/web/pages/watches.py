"""``/watches/NAME``: what each pending folder of a watch waits for."""

from __future__ import annotations

from aiohttp import web

from sealrun.domain.errors import NotFoundError
from sealrun.web.loop import BOARD, off_loop
from sealrun.web.pages.asking import number_in, pages_of
from sealrun.web.rendering import page

_SIZE = 50


async def answer_watch(request: web.Request) -> web.Response:
    """Answer the page of one watch."""
    board, name = request.app[BOARD], request.match_info["name"]
    overview = await off_loop(request, board.overview)
    watch = next((watch for watch in overview.watches if watch.name == name), None)
    if watch is None:
        raise NotFoundError(f"The settings have no watch {name!r}.")
    pending = await off_loop(request, board.pending, name, number_in(request), _SIZE)
    return page(
        request, "watch.html", watch=watch, pending=pending, address=pages_of("watches", name), now=overview.now
    )


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/watches/{name}", answer_watch)]
