"""Look at objects, and read them again: each key once, however many runs use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Literal

from sealrun.domain.address import Digest, Key
from sealrun.domain.damage import Damage, Kind, SeenKeys, Window
from sealrun.domain.errors import NotFoundError
from sealrun.domain.publication import Stored
from sealrun.ports import Source, Store
from sealrun.services.fanning import fan_through

CHUNK = 4 * 1024 * 1024
_WIDTH = 8

Outside = Literal["look", "skip"]
Advance = Callable[[int], None]


class Rereader:
    """Checks objects of one registry. What is remembered of each is a few bytes; of a damaged one, its damage."""

    def __init__(
        self,
        store: Store,
        *,
        read_bytes: bool = True,
        window: Window | None = None,
        outside: Outside = "look",
        advance: Advance | None = None,
    ) -> None:
        """With `read_bytes`, read those objects whose digest lies in `window`. `outside`: what becomes of the others.

        An object that is not read is only looked at (is it there, with the right size), or with ``skip`` passed over.
        """
        self._store = store
        self._window = window or Window()
        self._read_bytes = read_bytes
        self._outside = outside
        self._advance = advance
        self._seen = SeenKeys()
        self._damaged: dict[Key, Damage] = {}
        self._counting = Lock()
        self.bytes_read = 0

    @property
    def objects(self) -> int:
        """How many objects were looked at."""
        return len(self._seen)

    def look(self, objects: Iterable[tuple[Digest, Stored]]) -> None:
        """Check those that were not checked before; `damage_of` tells what was found."""
        fresh = (
            pair
            for pair in objects
            if (self._outside == "look" or self._window.holds(pair[0])) and self._seen.add(pair[1].key)
        )
        width = min(self._store.capabilities.parallel, _WIDTH)
        for damage in fan_through(self._look, fresh, width):
            if damage is not None and damage.key is not None:
                self._damaged[damage.key] = damage

    def damage_of(self, key: Key) -> Damage | None:
        """What is wrong with a key that was checked; its `ref` is empty."""
        return self._damaged.get(key)

    def _look(self, pair: tuple[Digest, Stored]) -> Damage | None:
        digest, stored = pair
        found = self._store.stat(stored.key)
        if found is None:
            return _damage(stored.key, "missing", "is missing")
        if found.size != stored.size:
            return _damage(stored.key, "size", f"has {found.size} bytes, sealed were {stored.size}")
        if not self._read_bytes or not self._window.holds(digest):
            return None
        return self.reread(digest, stored.key)

    def reread(self, digest: Digest, key: Key) -> Damage | None:
        """Read an object's bytes now; say if they are not those of `digest`."""
        try:
            read = self._digest(key)
        except NotFoundError:
            return _damage(key, "missing", "is missing")
        return None if read == digest else _damage(key, "bytes", "holds other bytes than were sealed")

    def _digest(self, key: Key) -> str:
        hasher = hashlib.sha256()
        with self._store.open(key) as source:
            while chunk := source.read(CHUNK):
                hasher.update(chunk)
                with self._counting:
                    self.bytes_read += len(chunk)
                if self._advance is not None:
                    self._advance(len(chunk))
        return hasher.hexdigest()


def is_true(source: Source) -> bool:
    """Read a source whole; tell whether it holds the bytes of its digest. Errors as they come."""
    hasher, size = hashlib.sha256(), 0
    with source.open() as file:
        while chunk := file.read(CHUNK):
            hasher.update(chunk)
            size += len(chunk)
    return hasher.hexdigest() == source.digest and size == source.size


def _damage(key: Key, kind: Kind, what: str) -> Damage:
    return Damage(ref="", kind=kind, detail=f"{key} {what}", key=key)
