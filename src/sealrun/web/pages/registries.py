"""``/registries/NAME``: queue, storage over time, verifications; and ``/plan``: what the collector would do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from sealrun.domain.errors import NotFoundError
from sealrun.domain.oversight.board import Overview, RegistryBoard, StoragePoint
from sealrun.web.loop import BOARD, off_loop
from sealrun.web.pages.asking import number_in, pages_of
from sealrun.web.pages.storage import drawn, saved
from sealrun.web.rendering import page

_SIZE = 50


def _registry(overview: Overview, name: str) -> RegistryBoard:
    for registry in overview.registries:
        if registry.name == name:
            return registry
    raise NotFoundError(f"The settings have no registry {name!r}.")


def _counted(points: Sequence[StoragePoint]) -> StoragePoint | None:
    """Return the newest point at which the stored bytes were counted."""
    return next((point for point in reversed(points) if point.stored_bytes is not None), None)


async def answer_registry(request: web.Request) -> web.Response:
    """Answer the page of one registry; the registry itself is not asked."""
    board, name = request.app[BOARD], request.match_info["name"]
    overview = await off_loop(request, board.overview)
    registry = _registry(overview, name)
    queue, points, scrubs = await asyncio.gather(
        off_loop(request, board.queue, name, number_in(request), _SIZE),
        off_loop(request, board.storage, name),
        off_loop(request, board.scrubs, name),
    )
    stored = _counted(points)
    return page(
        request,
        "registry.html",
        registry=registry,
        queue=queue,
        points=points,
        stored=stored,
        saved=saved(stored) if stored else "",
        charts=drawn(points),
        scrubs=scrubs,
        address=pages_of("registries", name),
        now=overview.now,
    )


async def answer_plan(request: web.Request) -> web.Response:
    """Answer what the collector would do now. The registry is asked: this may take long, and changes nothing."""
    board, name = request.app[BOARD], request.match_info["name"]
    plan = await off_loop(request, board.collection_plan, name)
    return await off_loop(request, page, request, "plan.html", plan=plan)  # thousands of lines take a while


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/registries/{name}", answer_registry), web.get("/registries/{name}/plan", answer_plan)]
