"""One server of each kind for everybody in this process who needs one, started when first asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from functools import cache
from typing import TypeVar

from tests.servers import moto, seaweedfs
from tests.servers.endpoint import Endpoint

T = TypeVar("T")
_running = ExitStack()


@cache
def shared_seaweedfs() -> seaweedfs.SeaweedFS:
    """Return a server that nobody stops; make a bucket of your own in it."""
    return _entered(seaweedfs.running())


@cache
def shared_moto() -> Endpoint:
    """Return a server that nobody resets; make a bucket of your own in it."""
    return _entered(moto.running())


def stop_shared() -> None:
    """Stop what was started."""
    _running.close()
    shared_seaweedfs.cache_clear()
    shared_moto.cache_clear()


def _entered(server: AbstractContextManager[T]) -> T:
    return _running.enter_context(server)
