"""The status page: one module for each kind of page, each with its `routes()`."""

from __future__ import annotations

from aiohttp import web

from sealrun.web.pages import events, files, health, pointers, registries, run, runbook, runs, static_files, watches


def routes() -> list[web.RouteDef]:
    """Every page, and the files below ``/static`` that they need."""
    return [
        route
        for room in (health, watches, registries, runs, run, files, pointers, events, runbook, static_files)
        for route in room.routes()
    ]
