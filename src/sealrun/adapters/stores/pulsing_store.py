"""A store whose every call shows that the work it was opened for gets on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

from sealrun.adapters.stores.surrounding import SurroundingStore, is_taken_over
from sealrun.domain.address import Key
from sealrun.domain.oversight.hearing import HeardSource
from sealrun.domain.pieces import Body
from sealrun.ports import Creation, ObjectStat, Source, Stage, Store

_T = TypeVar("_T")


class PulsingStore(SurroundingStore):
    """`ports.Store` that calls `moved` whenever it answers, and for every piece that it reads to store it."""

    def __init__(self, inner: Store, moved: Callable[[], None]) -> None:
        """Call `moved`, from whatever thread asks."""
        super().__init__(inner)
        self._moved = moved

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key`; see the port."""
        with self._answer():
            return self.inner.create(key, body)

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store many; see the port."""
        moved = self._moved

        def passed(_size: int) -> None:
            moved()

        def asked() -> Iterator[tuple[Key, Source]]:
            for key, source in items:
                moved()
                yield key, source if is_taken_over(source) else HeardSource(source, passed)

        def stored(key: Key, size: int) -> None:
            moved()
            if on_stored is not None:
                on_stored(key, size)

        with self._answer():
            self.inner.put_many(asked(), stored)

    def put(self, key: Key, body: bytes) -> None:
        """Write an owned record; see the port."""
        with self._answer():
            self.inner.put(key, body)

    def replace(self, key: Key, body: Body) -> None:
        """Write a projection; see the port."""
        with self._answer():
            self.inner.replace(key, body)

    def copy(self, source: Key, target: Key) -> None:
        """Copy inside the store; see the port."""
        self.inner.copy(source, target)
        self._moved()  # asked for every file of a run: no more than a call

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes; see the port."""
        with self._answer():
            return self.inner.read(key, offset, length)

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking; see the port."""
        with self._answer():
            return self.inner.open(key)

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`; see the port."""
        with self._answer():
            return self.inner.stat(key)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key below `prefix`; see the port."""
        return self._listed(self.inner.list(prefix, limit=limit))

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Folders directly below `prefix`; see the port."""
        return self._listed(self.inner.list_folders(prefix))

    def discard(self, key: Key) -> None:
        """Delete what a publisher may delete; see the port."""
        with self._answer():
            self.inner.discard(key)

    def stage(self) -> Stage | None:
        """Open a stage; see the port."""
        with self._answer():
            return self.inner.stage()

    @contextmanager
    def _answer(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._moved()  # an error is an answer, too

    def _listed(self, found: Iterator[_T]) -> Iterator[_T]:
        for each in found:
            self._moved()
            yield each
        self._moved()
