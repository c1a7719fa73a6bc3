"""``/pointers``: where every pointer stands, and ``/pointers/REGISTRY/EXPERIMENT/NAME``: every move of one."""

from __future__ import annotations

import shlex

from aiohttp import web

from sealrun.web.loop import BOARD, off_loop
from sealrun.web.pages.asking import registry_in
from sealrun.web.rendering import page


async def answer_pointers(request: web.Request) -> web.Response:
    """Answer the pointers of one registry."""
    board = request.app[BOARD]
    overview = await off_loop(request, board.overview)
    name = registry_in(request, overview)
    pointers = await off_loop(request, board.pointers, name) if name else ()
    return page(
        request,
        "pointers.html",
        registry=name,
        registries=[registry.name for registry in overview.registries],
        pointers=pointers,
    )


async def answer_pointer(request: web.Request) -> web.Response:
    """Answer the history of one pointer."""
    found = request.match_info
    registry, experiment, name = found["registry"], found["experiment"], found["name"]
    moves = await off_loop(request, request.app[BOARD].pointer_history, registry, experiment, name)
    return page(
        request,
        "pointer.html",
        registry=registry,
        experiment=experiment,
        name=name,
        moves=moves,
        commands=commands(registry, experiment, name),
    )


def commands(registry: str, experiment: str, name: str) -> list[tuple[str, str]]:
    """Return what can be done with a pointer from a shell: what each line does, and the line."""
    ref, of = shlex.quote(f"{experiment}@{name}"), f"--registry {shlex.quote(registry)}"
    both = f"{shlex.quote(experiment)} {shlex.quote(name)}"
    return [
        ("Restore what it stands on", f"sealrun get {ref} ./{shlex.quote(name)} {of}"),
        ("Its history", f"sealrun pointer history {both} {of}"),
        ("Back to where it stood before", f"sealrun pointer rollback {both} {of} --why '…'"),
    ]


def routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/pointers", answer_pointers), web.get("/pointers/{registry}/{experiment}/{name}", answer_pointer)]
