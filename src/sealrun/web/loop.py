"""What every answer needs of the server: the board, and threads for whatever may take a while.

`off_loop` is how an ``async`` answer calls the board: nothing that may wait for a disk or a registry runs on the event
loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from aiohttp import web

from sealrun.web.board import Board

P = ParamSpec("P")
T = TypeVar("T")

BOARD = web.AppKey("board", Board)
"""``request.app[BOARD]``: what pages, API and metrics are made from."""
POOL = web.AppKey("pool", Executor)
QUICK = web.AppKey("quick", Executor)


async def off_loop(request: web.Request, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call `function` in a thread and return what it returns. What it raises is raised here.

    There are few threads: who comes when all are taken waits. A request that ends meanwhile ends no thread.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.app[POOL], lambda: function(*args, **options))


async def quickly(request: web.Request, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Like `off_loop`, for what asks no registry: answered even while all other threads wait for one that hangs."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.app[QUICK], lambda: function(*args, **options))
