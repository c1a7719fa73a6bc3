"""The board of a house, served as the daemon serves it, on a port of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

from sealrun.adapters.machine.clock import SystemClock
from sealrun.settings.http import Place
from sealrun.web import api
from sealrun.web.board import Board
from sealrun.web.guarding import Guard
from sealrun.web.serving import Server, make_app

PATIENCE_S = 60.0
TOKEN = "a-token-of-the-tests-only"  # noqa: S105 - of these tests


class Well:
    """A pulse that beats."""

    def unhealthy(self) -> Sequence[str]:
        return ()

    def unready(self) -> Sequence[str]:
        return ()


@contextmanager
def served(
    board: Board, *, token: str | None = None, more: Sequence[web.RouteDef] = (), downloads: int = api.DOWNLOADS
) -> Iterator[str]:
    """Serve the API, and `more`, while this lasts; give the URL."""
    place = Place(host="127.0.0.1", port=0)

    def app() -> web.Application:
        return make_app(board, Well(), Guard(place, (), token), SystemClock(), [*api.routes(downloads), *more])

    server = Server(place, app)
    server.start()
    try:
        assert server.wait(PATIENCE_S)
        assert server.address is not None
        yield f"http://{server.address}"
    finally:
        assert server.stop(PATIENCE_S)
