"""``/runs``: every run of a registry, to filter, search and page through."""

from __future__ import annotations

from aiohttp import web

from sealrun.domain.oversight.board import RunPage, RunQuestion
from sealrun.web.loop import BOARD, off_loop
from sealrun.web.pages.asking import number_in, pages_of, registry_in, text_in
from sealrun.web.rendering import page

_NOTHING = RunPage(rows=(), total=0, page=1, size=1, experiments=(), statuses=())


async def answer_runs(request: web.Request) -> web.Response:
    """Answer one page of the runs that fit the query."""
    board = request.app[BOARD]
    overview = await off_loop(request, board.overview)
    names = [registry.name for registry in overview.registries]
    name = registry_in(request, overview)
    chosen = {key: text_in(request, key) for key in ("experiment", "status", "tag", "search")}
    question = RunQuestion(
        registry=name or "",
        experiment=chosen["experiment"],
        status=chosen["status"],
        tag=chosen["tag"],
        search=chosen["search"],
        page=number_in(request),
    )
    runs = await off_loop(request, board.runs, question) if name else None
    return page(
        request,
        "runs.html",
        question=question,
        runs=runs,
        choices=runs or _NOTHING,
        registries=names,
        asked=any(chosen.values()),
        paths=[watch.path for watch in overview.watches[:3]],
        address=pages_of("runs", registry=name, **chosen),
        now=overview.now,
    )


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/runs", answer_runs)]
