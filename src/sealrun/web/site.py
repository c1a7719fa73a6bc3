"""The whole site of a daemon: everything that is answered, at the place that the settings in force name.

Nothing of a server is loaded as long as there is no ``[http]``.
"""

# ruff: noqa: PLC0415 - a daemon without [http] loads no web server
from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sealrun.bootstrap.daemon.surface import Surface
from sealrun.bootstrap.describing import described_registries
from sealrun.bootstrap.parts import Parts
from sealrun.domain.errors import SealrunError
from sealrun.settings.http import Place
from sealrun.settings.resolved import Settings

if TYPE_CHECKING:
    from aiohttp import web

    from sealrun.web.serving import Server

_log = logging.getLogger("sealrun.http")


class _Wanted(NamedTuple):
    place: Place
    hosts: tuple[str, ...]
    token: str | None

    def __repr__(self) -> str:
        return f"<{self.place}>"


class Site:
    """`bootstrap.daemon.surface.Served` over HTTP."""

    def __init__(self, surface: Surface, latest: Callable[[], Settings], jobs: int | None = None) -> None:
        """Serve `surface` as `latest` says: the settings that were described last."""
        self._surface = surface
        self._latest = latest
        self._jobs = jobs
        self._settings = latest()
        self._wanted: _Wanted | None = None
        self._server: Server | None = None

    def renew(self) -> None:
        """Serve by the latest settings from now on. The server is another one only if ``[http]`` has changed."""
        self._settings = self._latest()
        http = self._settings.http
        try:
            wanted = None if http is None else _Wanted(http.place, http.hosts, http.open_token())
        except SealrunError:
            _log.exception("the page goes on as it was")
            return
        if wanted == self._wanted:
            return
        self.stop()
        self._wanted = wanted
        if wanted is not None:
            self._server = self._serve(wanted)
            self._server.start()

    def stop(self) -> None:
        """End; see the protocol."""
        if self._server is not None:
            if not self._server.stop():
                _log.warning("the page is still busy; it is left behind")
            self._server = None
        if self._wanted is not None:
            self._surface.report(str(self._wanted.place), None)
            self._wanted = None

    def _serve(self, wanted: _Wanted) -> Server:
        from sealrun.web.guarding import Guard
        from sealrun.web.serving import Server, make_app
        from sealrun.web.sessions import EndedSessions

        surface = self._surface
        guard = Guard(wanted.place, wanted.hosts, wanted.token, EndedSessions(surface.journal.facts))

        def application() -> web.Application:
            return make_app(surface.board, surface, guard, surface.clock, self._routes())

        place = str(wanted.place)
        return Server(wanted.place, application, report=lambda reason: surface.report(place, reason))

    def _routes(self) -> list[web.RouteDef]:
        from sealrun.bootstrap.daemon.acting import Actor
        from sealrun.web import actions, api, metrics, pages

        surface = self._surface
        actor = Actor(surface.journal, surface.clock, lambda: surface.running, self._open_parts)
        return [
            *pages.routes(),
            *api.routes(),
            *metrics.routes(surface.metrics),
            *actions.routes(actor),
        ]

    def _open_parts(self) -> Parts:
        settings = self._settings
        return Parts(
            settings.state,
            described_registries(settings),
            settings.watches,
            jobs=self._jobs,
            mirrors=settings.mirrors,
            keeping=settings.keeping,
            gates=settings.gates,
        )
