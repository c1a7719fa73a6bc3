"""``/``: health at a glance."""

from __future__ import annotations

from aiohttp import web

from sealrun.domain.oversight.alarming import KINDS
from sealrun.domain.oversight.board import Overview
from sealrun.web.loop import BOARD, off_loop
from sealrun.web.rendering import page
from sealrun.web.wording import count

_EVENTS = 12


def sentence(overview: Overview) -> str:
    """Say in a line what stands and what waits."""
    queued = sum(registry.queued for registry in overview.registries)
    moving = sum(len(registry.in_flight) for registry in overview.registries)
    parked = sum(registry.parked for registry in overview.registries)
    pending = sum(watch.pending for watch in overview.watches)
    alarms = (
        f"{count(len(overview.alarms), 'alarm')} {'stands' if len(overview.alarms) == 1 else 'stand'}."
        if overview.alarms
        else "No alarm stands."
    )
    waiting = (
        f"{count(moving, 'run')} in flight, {count(queued)} waiting, {count(parked)} parked,"
        f" {count(pending, 'folder')} pending."
    )
    return f"{alarms} {waiting}"


async def answer_health(request: web.Request) -> web.Response:
    """Answer the page; made from the journal only."""
    overview = await off_loop(request, request.app[BOARD].overview)
    return page(
        request,
        "health.html",
        overview=overview,
        events=list(overview.events)[-_EVENTS:][::-1],
        sentence=sentence(overview),
        moving=any(registry.in_flight for registry in overview.registries),
        first_steps={kind: nature.do for kind, nature in KINDS.items()},
        now=overview.now,
    )


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/", answer_health)]
