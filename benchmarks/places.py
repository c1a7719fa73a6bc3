"""Where a registry is written straight to, without a publisher: a directory, a bucket, memory."""

from __future__ import annotations

import functools
import http.client
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, urlsplit

from sealrun.domain.address import Key
from sealrun.ports import Store

_AT_ONCE = 500

T = TypeVar("T")


class Place(Protocol):
    """Where a registry is written."""

    def write(self, key: str, body: bytes) -> None:
        """Write a key."""

    def link(self, source: str, target: str) -> None:
        """Give a key a second name, where the place has such."""


class Directory:
    """A directory as a place. Nothing is made durable: syncfs does that for all of it."""

    def __init__(self, root: Path) -> None:
        """Write below `root`."""
        self._root = str(root)
        self._folder = functools.lru_cache(1 << 17)(functools.partial(os.makedirs, exist_ok=True))

    def write(self, key: str, body: bytes) -> None:
        """Write a read-only file, as the store does."""
        path = f"{self._root}/{key}"
        self._folder(path.rpartition("/")[0])
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o444)
        try:
            os.write(descriptor, body)
        finally:
            os.close(descriptor)

    def link(self, source: str, target: str) -> None:
        """Make a hard link."""
        path = f"{self._root}/{target}"
        self._folder(path.rpartition("/")[0])
        os.link(f"{self._root}/{source}", path)


class Bucket:
    """A bucket that anonymous clients may write to, as a place. One connection: give each thread its own."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        """Write to `bucket`."""
        self._connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
        self._bucket = bucket

    def write(self, key: str, body: bytes) -> None:
        """Put an object."""
        self._connection.request("PUT", f"/{self._bucket}/{quote(key)}", body)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            msg = f"{key}: {answer.status} {said[:200]!r}"
            raise OSError(msg)

    def link(self, source: str, target: str) -> None:
        """Nothing: buckets have no links."""


class InMemory:
    """A store in memory as a place: it takes any key."""

    def __init__(self, store: Store) -> None:
        """Write to `store`."""
        self._store = store

    def write(self, key: str, body: bytes) -> None:
        """Put the bytes."""
        self._store.put(Key(key), body)

    def link(self, source: str, target: str) -> None:
        """Nothing: memory has no links."""


class _Noted:
    """A place that only notes what is to be written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []

    def write(self, key: str, body: bytes) -> None:
        self.written.append((key, body))

    def link(self, source: str, target: str) -> None:
        pass


def into_bucket(endpoint: str, bucket: str, write: Callable[[Place], Iterator[T]], threads: int = 8) -> Iterator[T]:
    """Write to a bucket that anonymous clients may write to, `threads` at a time; yield what `write` yields.

    What was yielded is there only once all was taken.
    """
    room = _Noted()
    with ThreadPoolExecutor(threads) as pool:
        places = [Bucket(endpoint, bucket) for _ in range(threads)]

        def send() -> None:
            shares = [room.written[start::threads] for start in range(threads)]
            list(pool.map(_write_all, places, shares))
            room.written.clear()

        for written in write(room):
            yield written
            if len(room.written) >= _AT_ONCE:
                send()
        send()


def _write_all(place: Place, items: Sequence[tuple[str, bytes]]) -> None:
    for key, body in items:
        place.write(key, body)
