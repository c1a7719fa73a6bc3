"""A store that counts what is asked of it, as an S3 server would count: calls, and listings by the page."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, TypeVar

from sealrun.domain.address import Key
from sealrun.domain.pieces import Body
from sealrun.ports import Capabilities, Creation, ObjectStat, Remover, Source, Stage, Store, Unfinished

PAGE = 1000
"""Keys in one answer to a listing, and in one request to delete."""

T = TypeVar("T")


class CountingStore:
    """`ports.Store` around another one. Counts of a call are complete when it returns, or its listing is used up.

    The kinds: ``put`` (write-once creations, owned records, projections, objects), ``get``, ``head``, ``list`` (pages),
    ``copy`` and ``delete``. An object is counted as one ``put``, however many parts it is sent in.
    """

    def __init__(self, store: Store, page: int = PAGE) -> None:
        """Count from nothing; a listing answers with `page` keys at a time."""
        self._store = store
        self._page = page
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.prefixes: Counter[str] = Counter()

    def count(self, kind: str, key: str, times: int = 1) -> None:
        """Note a request; `prefixes` shows in which part of the registry it was made."""
        with self._lock:
            self.counts[kind] += times
            self.prefixes[f"{kind} {_part(key)}"] += times

    @property
    def inner(self) -> Store:
        """The store that does the work."""
        return self._store

    @property
    def url(self) -> str:
        """See the port."""
        return self._store.url

    @property
    def capabilities(self) -> Capabilities:
        """See the port."""
        return self._store.capabilities

    def create(self, key: Key, body: Body) -> Creation:
        """See the port."""
        self.count("put", key)
        return self._store.create(key, body)

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """See the port."""

        def counted() -> Iterator[tuple[Key, Source]]:
            for key, source in items:
                self.count("put", key)
                yield key, source

        self._store.put_many(counted(), on_stored)

    def put(self, key: Key, body: bytes) -> None:
        """See the port."""
        self.count("put", key)
        self._store.put(key, body)

    def replace(self, key: Key, body: Body) -> None:
        """See the port."""
        self.count("put", key)
        self._store.replace(key, body)

    def copy(self, source: Key, target: Key) -> None:
        """See the port. S3 asks for the size first."""
        self.count("head", source)
        self.count("copy", target)
        self._store.copy(source, target)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """See the port."""
        self.count("get", key)
        return self._store.read(key, offset, length)

    def open(self, key: Key) -> BinaryIO:
        """See the port. S3 asks for the size first; a large object is then read by several requests, counted as one."""
        self.count("head", key)
        self.count("get", key)
        return self._store.open(key)

    def stat(self, key: Key) -> ObjectStat | None:
        """See the port."""
        self.count("head", key)
        return self._store.stat(key)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """See the port."""
        return self._paged(prefix, self._store.list(prefix, limit=limit))

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See the port."""
        return self._paged(prefix, self._store.list_folders(prefix))

    def discard(self, key: Key) -> None:
        """See the port."""
        self.count("delete", key)
        self._store.discard(key)

    def stage(self) -> Stage | None:
        """See the port. What waits in a stage is not in the registry yet."""
        return self._store.stage()

    def close(self) -> None:
        """See the port."""
        self._store.close()

    def __getattr__(self, name: str) -> object:
        """Whatever else the store can do (try its checksums), uncounted."""
        return getattr(self._store, name)

    def _paged(self, prefix: str, found: Iterator[T]) -> Iterator[T]:
        """Count a page when its first key is taken, and one for an answer without keys."""
        self.count("list", prefix)
        for number, one in enumerate(found):
            if number and number % self._page == 0:
                self.count("list", prefix)
            yield one


class CountingRemover:
    """`ports.Remover` around another one, counted with the store that it deletes from."""

    def __init__(self, remover: Remover, store: CountingStore) -> None:
        """Add to the counts of `store`."""
        self._remover = remover
        self._store = store

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """See the port."""
        self._store.count("delete", keys[0] if keys else "", -(-len(keys) // PAGE))
        return self._remover.delete(keys)

    def unfinished(self) -> Iterator[Unfinished]:
        """See the port."""
        return self._remover.unfinished()

    def abort(self, upload: Unfinished) -> None:
        """See the port."""
        self._remover.abort(upload)


def _part(key: str) -> str:
    """Name the part of the registry: its top folder, of an experiment the folder inside."""
    parts = key.split("/")
    return "/".join((parts[0], *parts[2:3])) if parts[0] == "experiments" else parts[0]
