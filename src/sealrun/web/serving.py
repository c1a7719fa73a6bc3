"""The server: one thread with its own event loop, inside the daemon, that nothing but a request to stop ends.

A place that is taken stops nothing: it is reported, and tried again every 30 seconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from aiohttp import web

from sealrun.ports import Clock
from sealrun.settings.http import Place
from sealrun.web.answering import errors_answered
from sealrun.web.board import Board
from sealrun.web.gate import MOST_BYTES, PATIENCE, Patience, gate, headers_added, sign_in_routes
from sealrun.web.guarding import Guard
from sealrun.web.live import Live
from sealrun.web.loop import BOARD, POOL, QUICK, quickly
from sealrun.web.threads import Threads

MOST_CONNECTIONS = 256
BACKLOG = 32
"""Connections that are accepted at once: so many may be more than the most."""
RETRY_S = 30.0
_THREADS = 8
_QUICK_THREADS = 2
IDLE_S = 15.0
"""A connection on which no request was completed for so long is closed: also one whose client is slow on purpose."""
_GRACE_S = 2.0
_MOST_LINE, _MOST_HEADERS = 8190, 64
_log = logging.getLogger("sealrun.http")
_silent = logging.getLogger("sealrun.http.refused")
_silent.setLevel(logging.CRITICAL + 1)  # aiohttp would log requests that are none, with what they hold


class Pulse(Protocol):
    """Says how the daemon is, in lines that give nothing away: whoever asks need not know the token."""

    def unhealthy(self) -> Sequence[str]:
        """Why it should be started again; nothing if it need not."""
        ...

    def unready(self) -> Sequence[str]:
        """What it is still waiting for, or cannot do; nothing if it works."""
        ...


Reported = Callable[[str | None], None]
"""Told why the place cannot be listened at, and None once it can."""


def make_app(
    board: Board,
    pulse: Pulse,
    guard: Guard,
    clock: Clock,
    routes: Iterable[web.RouteDef],
    patience: Patience = PATIENCE,
) -> web.Application:
    """Return the application: the gate before everything, `routes`, and what is answered by this room itself."""
    app = web.Application(middlewares=[errors_answered, gate(guard, clock, patience)], client_max_size=MOST_BYTES)
    pool = Threads(_THREADS, "sealrun-http")
    quick = Threads(_QUICK_THREADS, "sealrun-http-quick")
    live = Live()
    app[BOARD] = board
    app[POOL] = pool
    app[QUICK] = quick
    app.add_routes([*_probes(pulse), *sign_in_routes(guard, clock, patience, live.ask_again), *live.routes(), *routes])
    app.on_response_prepare.append(headers_added)
    app.on_shutdown.append(live.stop)

    async def end_pool(_app: web.Application) -> None:
        for each in (pool, quick):
            each.shutdown()

    app.on_cleanup.append(end_pool)
    return app


def _probes(pulse: Pulse) -> list[web.RouteDef]:
    def answering(ask: Callable[[], Sequence[str]], well: str) -> Callable[[web.Request], object]:
        async def answer(request: web.Request) -> web.Response:
            reasons = await quickly(request, ask)
            text = "".join(f"{line}\n" for line in reasons or (well,))
            return web.Response(text=text, status=503 if reasons else 200)

        return answer

    return [
        web.get("/-/healthy", answering(pulse.unhealthy, "healthy")),  # type: ignore[arg-type] # an answer, all the same
        web.get("/-/ready", answering(pulse.unready, "ready")),  # type: ignore[arg-type] # likewise
    ]


class Server:
    """Answers at one place from `start` until `stop`."""

    def __init__(
        self,
        place: Place,
        app: Callable[[], web.Application],
        *,
        report: Reported = lambda _reason: None,
        retry_s: float = RETRY_S,
        idle_s: float = IDLE_S,
    ) -> None:
        """Start nothing yet. `app` is called in the server's thread."""
        self._place = place
        self._make_app = app
        self._report = report
        self._retry_s = retry_s
        self._idle_s = idle_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._listening = threading.Event()
        self._address: Place | None = None
        self._thread = threading.Thread(target=self._run, name="sealrun-http", daemon=True)

    @property
    def address(self) -> Place | None:
        """Where it listens now, with the port that was found if none was asked for; None if it does not."""
        return self._address

    def start(self) -> None:
        """Begin, without waiting until it listens."""
        self._thread.start()

    def wait(self, patience_s: float) -> bool:
        """Wait until it listens; tell whether it does."""
        return self._listening.wait(patience_s)

    def stop(self, patience_s: float = 5.0) -> bool:
        """End what goes on, within a few seconds; tell whether the thread ended. Harmless twice."""
        if self._thread.ident is None:
            return True
        self._ready.wait(patience_s)
        if self._loop is not None and self._stopping is not None:
            with suppress(RuntimeError):  # the loop ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:  # noqa: BLE001 - the daemon goes on without a page
            _log.exception("the page at %s ended unexpectedly; a reload of the settings starts it again", self._place)
            self._report("it ended unexpectedly; the log has the details")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        runner = web.AppRunner(
            self._make_app(),
            handle_signals=False,
            handler_cancellation=True,
            access_log=None,
            logger=_silent,
            auto_decompress=False,  # nobody compresses a form; somebody may compress a gigabyte of zeros
            keepalive_timeout=self._idle_s,
            max_line_size=_MOST_LINE,
            max_field_size=_MOST_LINE,
            max_headers=_MOST_HEADERS,
            shutdown_timeout=_GRACE_S,
        )
        await runner.setup()
        server: asyncio.Server | None = None
        try:
            server = await self._listen(runner, self._stopping)
            if server is not None:
                await self._stopping.wait()
        finally:
            self._address = None
            if server is not None:
                await _close(server)
                self._leave()
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner, stopping: asyncio.Event) -> asyncio.Server | None:
        """Listen as soon as the place is free; None if it is asked to stop before."""
        said: str | None = None
        while not stopping.is_set():
            try:
                server = await self._bind(runner)
            except OSError as error:
                reason = f"cannot listen on {self._place}: {error.strerror or error}"
                if reason != said:
                    _log.warning("%s; tried again every %.0f s", reason, self._retry_s)
                    self._report(reason)
                    said = reason
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._retry_s):
                        await stopping.wait()
                continue
            self._address = _bound(server, self._place)
            self._listening.set()
            self._report(None)
            _log.info("answering on %s", _shown(self._address))
            return server
        return None

    async def _bind(self, runner: web.AppRunner) -> asyncio.Server:
        loop, inner = asyncio.get_running_loop(), runner.server
        if inner is None:
            raise OSError("the application was not set up")

        def connection() -> asyncio.Protocol:
            return inner() if len(inner.connections) < MOST_CONNECTIONS else _Full()

        if self._place.socket is not None:
            made = _unix_socket(self._place.socket)
            return await loop.create_unix_server(connection, sock=made, backlog=BACKLOG)
        host, port = self._place.host, self._place.port
        return await loop.create_server(connection, host, port, reuse_address=True, backlog=BACKLOG)

    def _leave(self) -> None:
        if self._place.socket is not None:
            with suppress(FileNotFoundError):
                Path(self._place.socket).unlink()


async def _close(server: asyncio.Server) -> None:
    """Accept nothing more. What was accepted just now first becomes a connection: asyncio would lose its socket."""
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(3):
        await asyncio.sleep(0)
    server.close()


class _Full(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _unix_socket(path: str) -> socket.socket:
    """Return a socket at `path` for its owner and group, in place of one that nobody listens at any more."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(Path(path).lstat().st_mode):
            with socket.socket(socket.AF_UNIX) as asking:
                if asking.connect_ex(path) == 0:
                    raise OSError("somebody else listens there")
            Path(path).unlink()
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(path)
        Path(path).chmod(0o660)  # before anybody can connect: it does not listen yet
    except OSError:
        made.close()
        raise
    made.settimeout(0)
    return made


def _bound(server: asyncio.Server, place: Place) -> Place:
    if place.socket is not None or not server.sockets:
        return place
    host, port = server.sockets[0].getsockname()[:2]
    return Place(host=str(host), port=int(port)) if place.port == 0 else place


def _shown(place: Place) -> str:
    return str(place) if place.socket is not None else f"http://{place}/"
