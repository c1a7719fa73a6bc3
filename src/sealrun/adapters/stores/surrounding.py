"""A store inside another: what counts, limits or watches it passes everything on, and changes what it is there for.

Nothing is allocated for a file unless it is read, and no lock is taken; what the store does quickly by itself, such as
taking over what waits in its own stage, it does as quickly here. A probe, a remover and whoever wants to know a store's
class ask for what is `beneath`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from sealrun.domain.address import Key
from sealrun.domain.pieces import Body
from sealrun.ports import Capabilities, Creation, ObjectStat, Source, Stage, Store


class SurroundingStore:
    """`ports.Store` that passes everything on to `inner`; see the port for what each method does."""

    def __init__(self, inner: Store) -> None:
        """Surround `inner`."""
        self.inner = inner

    @property
    def url(self) -> str:
        """Where it is."""
        return self.inner.url

    @property
    def capabilities(self) -> Capabilities:
        """What the store claims."""
        return self.inner.capabilities

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key`, exclusively."""
        return self.inner.create(key, body)

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store many."""
        self.inner.put_many(items, on_stored)

    def put(self, key: Key, body: bytes) -> None:
        """Write an owned record."""
        self.inner.put(key, body)

    def replace(self, key: Key, body: Body) -> None:
        """Write a projection."""
        self.inner.replace(key, body)

    def copy(self, source: Key, target: Key) -> None:
        """Copy inside the store."""
        self.inner.copy(source, target)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes."""
        return self.inner.read(key, offset, length)

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking."""
        return self.inner.open(key)

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`."""
        return self.inner.stat(key)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key below `prefix`."""
        return self.inner.list(prefix, limit=limit)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Folders directly below `prefix`."""
        return self.inner.list_folders(prefix)

    def discard(self, key: Key) -> None:
        """Delete what a publisher may delete."""
        self.inner.discard(key)

    def stage(self) -> Stage | None:
        """Open a stage."""
        return self.inner.stage()

    def close(self) -> None:
        """Release what the store holds."""
        self.inner.close()


def beneath(store: Store) -> Store:
    """Return the store itself, whatever surrounds it."""
    while isinstance(store, SurroundingStore):
        store = store.inner
    return store


def is_taken_over(source: Source) -> bool:
    """Whether it waits in a stage of the store, which takes it over as it is: nobody reads it."""
    return hasattr(source, "take")
