"""Importing s3fs, and certificates that are read when a connection with TLS is made: many a store has none.

Reading the machine's certificates takes 20 ms. aiohttp does it twice when it is imported, for contexts that botocore
replaces by its own, and botocore for each client, also for an endpoint without TLS: 80 ms of each command.
"""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def load_s3fs() -> Any:  # noqa: ANN401 - untyped
    """Import s3fs."""
    with _reading_later():
        import s3fs  # noqa: PLC0415 - what this is about
    return s3fs


def read_when_used(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return `context`, which from now on puts off reading certificates until the first connection is made with it."""
    if type(context) is ssl.SSLContext:  # not one of those that ask the system instead
        context.__class__ = _ReadsLater
    return context


class _ReadsLater(ssl.SSLContext):
    """Reads certificates just before its first use, and is a usual context from then on."""

    def set_default_verify_paths(self) -> None:
        """Put it off."""
        self._put_off(lambda: ssl.SSLContext.set_default_verify_paths(self))

    def load_verify_locations(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - as the usual one's
        """Put it off."""
        self._put_off(lambda: ssl.SSLContext.load_verify_locations(self, *given, **named))

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:  # noqa: ANN401 - as the usual one's
        """Read, then do as usual."""
        return self._ready().wrap_bio(*given, **named)

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:  # noqa: ANN401 - as the usual one's
        """Read, then do as usual."""
        return self._ready().wrap_socket(*given, **named)

    def get_ca_certs(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the usual one's
        """Read, then do as usual."""
        return self._ready().get_ca_certs(*given, **named)

    def cert_store_stats(self) -> dict[str, int]:
        """Read, then do as usual."""
        return self._ready().cert_store_stats()

    def _put_off(self, read: Callable[[], None]) -> None:
        vars(self).setdefault("_put_off_reads", []).append(read)

    def _ready(self) -> ssl.SSLContext:
        context: ssl.SSLContext = self
        for read in vars(context).get("_put_off_reads", ()):
            read()  # two threads at once may both do it: certificates that are known are not added again
        context.__class__ = ssl.SSLContext
        return context


@contextmanager
def _reading_later() -> Iterator[None]:
    """Have contexts that this thread makes meanwhile read the machine's certificates later: aiohttp's are the only."""
    usual, mine = ssl.SSLContext.set_default_verify_paths, threading.get_ident()

    def later(context: ssl.SSLContext) -> None:
        if threading.get_ident() == mine:
            read_when_used(context)
        if type(context) is _ReadsLater:
            context.set_default_verify_paths()
        else:
            usual(context)

    if "aiohttp" in sys.modules or "set_default_verify_paths" in vars(ssl.SSLContext):
        yield  # nothing to gain, or somebody else has a hand in it
        return
    setattr(ssl.SSLContext, usual.__name__, later)
    try:
        yield
    finally:
        delattr(ssl.SSLContext, usual.__name__)
