"""``/runs/REGISTRY/EXPERIMENT/RUN_ID``: one run, its lineage drawn."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Sequence

from aiohttp import web
from markupsafe import Markup

from sealrun.domain.curation.drawing import as_svg
from sealrun.domain.curation.lineage import Edge, Lineage, Node
from sealrun.domain.errors import RetiredError
from sealrun.domain.oversight.board import Relation, RunDetail
from sealrun.web.loop import BOARD, off_loop
from sealrun.web.pages.asking import number_in, pages_of
from sealrun.web.pages.files import is_picture
from sealrun.web.rendering import page
from sealrun.web.wording import flat

_FILES = 100
_PICTURES = 6
_DRAWN = 12
"""So many neighbours on each side are drawn; more is a picture that nobody reads."""


def lineage_of(run: RunDetail) -> Lineage:
    """Return the neighbours of a run as a graph to draw: the first of each side."""
    center = run.row.ref
    nodes = {center: Node(center, "run", run.row.status, run.row.finished_at)}
    edges = []
    for neighbours, upward in ((run.upstream, True), (run.downstream, False)):
        for each in neighbours[:_DRAWN]:
            name = each.ref or each.label
            if name == center:
                continue
            nodes.setdefault(name, Node(name, "run" if each.ref else "external"))
            edges.append(Edge(name, center, each.kind) if upward else Edge(center, name, each.kind))
    return Lineage(center, nodes, tuple(edges))


def _drawing(upstream: Sequence[Relation], downstream: Sequence[Relation], run: RunDetail) -> Markup:
    # Names are escaped by `as_svg`, as its tests say.
    return Markup(as_svg(lineage_of(run))) if upstream or downstream else Markup()  # noqa: S704 - see above


def _names(request: web.Request) -> tuple[str, str, str]:
    found = request.match_info
    return found["registry"], found["experiment"], found["run_id"]


async def answer_run(request: web.Request) -> web.Response:
    """Answer the page of one run."""
    board, names = request.app[BOARD], _names(request)
    try:
        run, files = await asyncio.gather(
            off_loop(request, board.run, *names),
            off_loop(request, board.files, *names, number_in(request), _FILES),
        )
    except RetiredError as error:
        return _retired(request, names, error)
    return await off_loop(  # thousands of parameters take a while
        request,
        page,
        request,
        "run.html",
        run=run,
        files=files,
        pictures=[file for file in files.rows if is_picture(file.path)][:_PICTURES],
        metrics=list(flat(run.metrics)),
        params=list(flat(run.params)),
        drawing=_drawing(run.upstream, run.downstream, run),
        envelope=json.dumps(run.envelope, indent=2, ensure_ascii=False, default=str),
        lines=_lines(run),
        address=pages_of("runs", *names),
    )


def _retired(request: web.Request, names: tuple[str, str, str], error: RetiredError) -> web.Response:
    """Answer that a run is not there, and how it is brought back."""
    registry, experiment, run_id = names
    line = f"sealrun undo {shlex.quote(f'{experiment}/{run_id}')} --registry {shlex.quote(registry)}"
    given = {"registry": registry, "experiment": experiment, "run_id": run_id, "reason": str(error), "line": line}
    return page(request, "retired.html", status=404, **given)


def _lines(run: RunDetail) -> dict[str, str]:
    """Return the command that does the same as each form."""
    ref, registry = shlex.quote(run.row.ref), shlex.quote(run.row.registry)
    return {
        "promote": f"sealrun promote {ref} POINTER --registry {registry} --why '…'",
        "pin": f"sealrun pin {ref} --registry {registry} --why '…'",
        "unpin": f"sealrun unpin {ref} --registry {registry} --why '…'",
    }


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/runs/{registry}/{experiment}/{run_id}", answer_run)]
