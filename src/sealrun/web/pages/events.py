"""``/events``: what happened, newest first. ``?before=N`` shows those before event N."""

from __future__ import annotations

from aiohttp import web

from sealrun.web.loop import BOARD, off_loop
from sealrun.web.pages.asking import number_in
from sealrun.web.rendering import page
from sealrun.web.wording import url

_SIZE = 100


async def answer_events(request: web.Request) -> web.Response:
    """Answer a page of events: the newest, or those before event ``before``. Their numbers ascend, gaps are short."""
    board = request.app[BOARD]
    before = number_in(request, "before", 1, 0)
    after = 0
    if before:
        # 0 would ask for the newest: what is before the first page begins after -1.
        after = before - 1 - _SIZE if before - 1 > _SIZE else -1
    events = await off_loop(request, board.events, after, _SIZE)
    rows = [event for event in reversed(events) if not before or event.id < before]
    older = url("events", before=rows[-1].id) if rows and rows[-1].id > 1 else None
    return page(request, "events.html", events=rows, older=older, newer=url("events") if before else None)


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/events", answer_events)]
