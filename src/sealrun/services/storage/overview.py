"""Reading what never changes with few requests: from a listing that was just made, and from what this machine keeps.

A record that is kept counts only if the store's own listing, made by whoever asks now, tells its MD5: then its bytes
are those that a read would have brought. Whatever is damaged, out of date or another's costs a request, nothing else.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import takewhile
from threading import Lock

from sealrun.domain.address import Key
from sealrun.ports import ObjectStat, RecordCache, Store

PAGE = 1000
"""So many keys a store tells at once."""


class Records:
    """Reads records of one registry that never change once they are written. Safe to use from many threads."""

    def __init__(self, store: Store, cache: RecordCache | None = None, most: int | None = None) -> None:
        """Read from `store`, and keep what it tells the digest of, and has at most so many bytes, in `cache`."""
        self._store = store
        self._cache = cache
        self._most = most

    def read(self, stat: ObjectStat) -> bytes:
        """Return the bytes of a record that was just listed as `stat`. `NotFoundError` if it is gone, and not kept."""
        if self._cache is None or stat.md5 is None or (self._most is not None and stat.size > self._most):
            return self._store.read(stat.key)
        kept = self._cache.find(stat.key, stat.md5, stat.size)
        if kept is not None and _md5(kept) == stat.md5:
            return kept
        body = self._store.read(stat.key)
        if _md5(body) == stat.md5:
            self._cache.keep(stat.key, stat.md5, body)
        return body


class Recent:
    """`ports.RecordCache` in memory, of what was read a moment ago: some 2,000 records at most."""

    _MOST = 2048

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lock = Lock()
        self._held: dict[tuple[Key, str], bytes] = {}

    def find(self, key: Key, md5: str, size: int) -> bytes | None:  # noqa: ARG002 - the port's
        """Return what is held; see the port."""
        return self._held.get((key, md5))

    def keep(self, key: Key, md5: str, body: bytes) -> None:
        """Hold a record, in the place of the oldest; see the port."""
        with self._lock:
            self._held[key, md5] = body
            if len(self._held) > self._MOST:
                del self._held[next(iter(self._held))]


class Overview:
    """`ports.Glimpse` of a registry as it was a moment ago: what few keys begin with is listed once, whoever asks.

    Everything else is asked of the store. Nothing may be decided by it that asks for an order of looks.
    """

    def __init__(self, store: Store, records: Records | None = None) -> None:
        """Know nothing yet; what never changes is read by `records`."""
        self._store = store
        self._records = records or Records(store)
        self._whole: dict[str, Sequence[ObjectStat]] = {}

    def look(self, prefix: str, most: int = PAGE) -> None:
        """Ask for `most` keys, and remember them if there are no more. Near by, where links lie there, do not."""
        if self._store.capabilities.links:
            return
        found = list(self._store.list(prefix, limit=most))
        if len(found) < most:
            self.hold(prefix, found)

    def hold(self, prefix: str, found: Sequence[ObjectStat]) -> None:
        """Remember that this, in order of the keys, is all that begins with `prefix`."""
        self._whole[prefix] = found

    def forget(self, prefix: str) -> None:
        """Ask the store from now on for what begins with `prefix`. Harmless while others look."""
        self._whole = {held: found for held, found in self._whole.items() if held != prefix}

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key that begins with `prefix`, as it was; see the port."""
        whole = self._around(prefix)
        if whole is None:
            return self._store.list(prefix, limit=limit)
        below = _below(whole, prefix)
        return below if limit is None else (stat for stat, _ in zip(below, range(limit), strict=False))

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders below `prefix`, as they were; see the port."""
        whole = self._around(prefix)
        if whole is None:
            return self._store.list_folders(prefix)
        tails = (stat.key[len(prefix) :] for stat in _below(whole, prefix))
        return iter(sorted({tail.partition("/")[0] for tail in tails if "/" in tail}))

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return a record that never changes, or a part of one, which is always asked for; see the port."""
        if offset or length is not None:
            return self._store.read(key, offset, length)
        stat = None if self._around(key) is None else self.stat(key)
        return self._store.read(key) if stat is None else self._records.read(stat)

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`, as it was; see `Store.stat`."""
        whole = self._around(key)
        if whole is None:
            return self._store.stat(key)
        found = next(_below(whole, key), None)
        return found if found is not None and found.key == key else None

    def _around(self, prefix: str) -> Sequence[ObjectStat] | None:
        return next((found for held, found in self._whole.items() if prefix.startswith(held)), None)


def _below(whole: Sequence[ObjectStat], prefix: str) -> Iterator[ObjectStat]:
    first = bisect_left(whole, prefix, key=lambda stat: stat.key)  # code points are in the order of UTF-8 bytes
    return takewhile(lambda stat: stat.key.startswith(prefix), (whole[at] for at in range(first, len(whole))))


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()  # a server's word for what it holds, no signature
