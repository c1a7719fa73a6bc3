"""A server of our own around any board, for as long as a block runs."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from sealrun.adapters.machine.clock import SystemClock
from sealrun.settings.http import Place
from sealrun.web.board import Board
from sealrun.web.gate import Patience
from sealrun.web.guarding import Guard
from sealrun.web.serving import IDLE_S, Server, make_app

TOKEN = "0123456789abcdef-of-a-test"  # noqa: S105 - invented
_PATIENCE_S = 60.0


class APulse:
    """A daemon that is as the test says."""

    def __init__(self) -> None:
        self.ill: Sequence[str] = ()
        self.busy: Sequence[str] = ()

    def unhealthy(self) -> Sequence[str]:
        return self.ill

    def unready(self) -> Sequence[str]:
        return self.busy


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:  # noqa: ANN401 - whatever the answer is
        return json.loads(self.body)


class Site(NamedTuple):
    """A running server. `bearer` is the header of whoever knows the token."""

    server: Server
    host: str
    port: int
    pulse: APulse
    token: str | None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def bearer(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | str | None = None
    ) -> Answer:
        """Send one request over a connection of its own; redirects are not followed."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_PATIENCE_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, headers)

    def post(self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        """Send a form as a browser does, but for what `headers` say otherwise."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, {**kind, **(headers or {})}, urlencode(form))

    def sign_in(self) -> Mapping[str, str]:
        """Return the headers of a browser that was told the token."""
        answer = self.post("/login", {"token": self.token or ""})
        assert answer.status == 303, answer
        return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0], "Origin": self.url}


@contextmanager
def a_site(
    board: Board,
    routes: Iterable[web.RouteDef] = (),
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = (),
    idle_s: float = IDLE_S,
    arrival_s: float = 15.0,
) -> Iterator[Site]:
    """Serve `routes` over `board` on a free port of this machine."""
    place, pulse = Place(host="127.0.0.1", port=0), APulse()
    guard = Guard(place, hosts, token)
    patience = Patience(arrival_s=arrival_s, after_wrong_s=0.05)
    server = Server(place, lambda: make_app(board, pulse, guard, SystemClock(), routes, patience), idle_s=idle_s)
    server.start()
    try:
        assert server.wait(_PATIENCE_S)
        assert server.address is not None
        yield Site(server, server.address.host, server.address.port, pulse, token)
    finally:
        assert server.stop(_PATIENCE_S)
