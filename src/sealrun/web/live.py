"""``GET /live``: what happens, as server-sent events, so that a page need not ask again and again.

Every event of the journal is a message with its number as ``id`` and itself as JSON; after each batch comes an event
``changed`` with the newest number. A browser that was cut off goes on where it was (``Last-Event-ID``), with the newest
few hundred at most. One task asks the journal, and only while somebody listens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from aiohttp import web

from sealrun.domain.errors import SealrunError
from sealrun.domain.oversight.board import EventRow
from sealrun.web.loop import BOARD, quickly

MOST_LISTENERS = 32
_BACKLOG = 200
_WAITING = 64
_LOOK_S = 0.5
_HEARTBEAT_S = 15.0
_log = logging.getLogger("sealrun.http")


class Live:
    """Tells everybody who listens. All of it runs on the event loop, but for asking the board."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._listeners: set[asyncio.Queue[Sequence[EventRow] | None]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._stopped = False

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [web.get("/live", self._answer_live, allow_head=False)]

    async def stop(self, _app: web.Application) -> None:
        """Let everybody go; a signal for `on_shutdown`."""
        self._stopped = True
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking
        self.ask_again()

    def ask_again(self) -> None:
        """Let everybody go: browsers come back by themselves, where they still may."""
        for listener in tuple(self._listeners):
            self._let_go(listener)

    async def _answer_live(self, request: web.Request) -> web.StreamResponse:
        if self._stopped or len(self._listeners) >= MOST_LISTENERS:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "30"}, text="too many listen already")
        listener: asyncio.Queue[Sequence[EventRow] | None] = asyncio.Queue(_WAITING)
        self._listeners.add(listener)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(request))
        try:
            missed = await self._missed(request)
            answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
            await answer.prepare(request)
            await answer.write(b"retry: 3000\n\n" + _told(missed))
            await self._pass_on(listener, answer, missed[-1].id if missed else 0)
        finally:
            self._listeners.discard(listener)
        return answer

    async def _pass_on(
        self, listener: asyncio.Queue[Sequence[EventRow] | None], answer: web.StreamResponse, told: int
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    rows = await listener.get()
            except TimeoutError:
                await answer.write(b": nothing new\n\n")
                continue
            if rows is None:
                return
            await answer.write(_told([row for row in rows if row.id > told]))

    async def _missed(self, request: web.Request) -> Sequence[EventRow]:
        """What came after the event that a returning listener heard last; the newest only, if that is too much."""
        last = request.headers.get("Last-Event-ID", "")
        if not last.isascii() or not last.isdigit() or len(last) > 18 or int(last) == 0:  # noqa: PLR2004 - fits int64
            return ()
        newest = await quickly(request, request.app[BOARD].events, 0, _BACKLOG)
        return [row for row in newest if row.id > int(last)]

    async def _ask(self, request: web.Request) -> None:
        """Ask what is new as long as anybody listens; of `request` only the application matters."""
        newest: int | None = None
        while self._listeners:
            try:
                rows = await self._after(request, newest)
            except SealrunError as error:
                _log.debug("what is new cannot be told now: %s", error)
            else:
                if newest is not None:
                    self._tell(rows)
                newest = rows[-1].id if rows else newest or 0
            await asyncio.sleep(_LOOK_S)

    async def _after(self, request: web.Request, newest: int | None) -> Sequence[EventRow]:
        """What came after an event; with None the newest one; with 0 everything, since there was none yet."""
        events = request.app[BOARD].events
        if newest:
            return await quickly(request, events, newest, _BACKLOG)
        return await quickly(request, events, 0, 1 if newest is None else _BACKLOG)

    def _tell(self, rows: Sequence[EventRow]) -> None:
        for listener in tuple(self._listeners) if rows else ():
            try:
                listener.put_nowait(rows)
            except asyncio.QueueFull:  # it does not read; a browser comes back by itself
                self._let_go(listener)

    def _let_go(self, listener: asyncio.Queue[Sequence[EventRow] | None]) -> None:
        self._listeners.discard(listener)
        while not listener.empty():
            listener.get_nowait()
        listener.put_nowait(None)


def _told(rows: Sequence[EventRow]) -> bytes:
    if not rows:
        return b""
    messages = b"".join(b"id: %d\ndata: %s\n\n" % (row.id, msgspec.json.encode(row)) for row in rows)
    return messages + b"event: changed\ndata: %d\n\n" % rows[-1].id
