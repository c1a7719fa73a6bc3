"""Pages as somebody gets them: asked of an application of its own, and taken apart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler
from yarl import URL

from sealrun.web.answering import errors_answered
from sealrun.web.board import Board
from sealrun.web.loop import BOARD, POOL
from sealrun.web.pages import routes
from sealrun.web.rendering import VIEWER, Viewer

NOBODY = Viewer()
SIGNED_IN = Viewer(csrf="csrf-of-ada", token=True, signed_in=True)
RUN = "/runs/main/training/run-00000"
EVERY_PAGE = (
    "/",
    "/watches/outbox",
    "/watches/sweeps",
    "/registries/main",
    "/registries/cold",
    "/registries/archive",
    "/registries/main/plan",
    "/registries/cold/plan",
    "/runs",
    "/runs?page=2&status=success",
    "/runs?search=nothing+at+all",
    RUN,
    f"{RUN}/file?path=metrics.csv",
    f"{RUN}/file?path=plots%2Floss.png",
    f"{RUN}/file?path=plots%2Fhostile.svg",
    f"{RUN}/file?path=report.html",
    f"{RUN}/file?path=weights.bin",
    "/pointers",
    "/pointers/main/training/latest",
    "/events",
    "/events?before=10",
    "/runbook",
)
"""Every kind of page, of `tests.builders.boards.InventedBoard`."""


class Answer(NamedTuple):
    status: int
    text: str
    kind: str
    headers: dict[str, str]


class Element(NamedTuple):
    tag: str
    attributes: dict[str, str]


class Taken(HTMLParser):
    """A page taken apart: its elements in order, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        doubled = [name for name, times in Counter(name for name, _ in attrs).items() if times > 1]
        assert not doubled, f"<{tag}> has {doubled} twice"
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def application(board: Board, viewer: Viewer) -> web.Application:
    @web.middleware
    async def seen(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[VIEWER] = viewer
        return await handler(request)

    app = web.Application(middlewares=[seen, errors_answered])
    app[BOARD] = board
    app[POOL] = ThreadPoolExecutor(2)
    app.add_routes(routes())

    async def end(_app: web.Application) -> None:
        app[POOL].shutdown()

    app.on_cleanup.append(end)
    return app


def answers(
    board: Board, paths: Sequence[str], viewer: Viewer = NOBODY, headers: Mapping[str, str] | None = None
) -> list[Answer]:
    """Ask for each path, as it is written."""

    async def ask() -> list[Answer]:
        async with TestClient(TestServer(application(board, viewer))) as client:
            found = []
            for path in paths:
                response = await client.get(URL(path, encoded=True), headers=headers)
                body = await response.read()
                found.append(
                    Answer(
                        response.status,
                        body.decode(errors="replace"),
                        response.content_type,
                        {name.lower(): value for name, value in response.headers.items()},
                    )
                )
            return found

    return asyncio.run(ask())


def answer(board: Board, path: str, viewer: Viewer = NOBODY, headers: Mapping[str, str] | None = None) -> Answer:
    return answers(board, [path], viewer, headers)[0]
