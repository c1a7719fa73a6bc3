"""A store, and the right to delete from it, that count what they are asked.

What is counted is calls of the port: a put_many is one, whatever it stores. Nothing is allocated for a file, and no
lock is taken; what the store does quickly by itself it does as quickly here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, ParamSpec, TypeVar

from sealrun.adapters.stores.surrounding import SurroundingStore
from sealrun.domain.address import Key
from sealrun.domain.errors import (
    AccessDeniedError,
    NoSpaceError,
    NotFoundError,
    OutcomeUnknownError,
    UnavailableError,
)
from sealrun.domain.oversight.hearing import heard_file
from sealrun.domain.oversight.metering import (
    DOWNLOADED_BYTES,
    OPERATIONS,
    OUTCOMES,
    REQUEST_SECONDS,
    REQUESTS,
    UPLOADED_BYTES,
    UPLOADED_OBJECTS,
)
from sealrun.domain.pieces import Body
from sealrun.ports import Creation, Meters, ObjectStat, Remover, Source, Store, Unfinished

_OUTCOME_OF = {
    NotFoundError: "missing",
    UnavailableError: "unavailable",
    OutcomeUnknownError: "unknown",
    AccessDeniedError: "refused",
    NoSpaceError: "full",
}

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Item = TypeVar("_Item")


class _Operation:
    """What is counted of one operation on one registry."""

    __slots__ = ("_failed", "_ok", "_seconds")

    def __init__(self, meters: Meters, registry: str, operation: str) -> None:
        def counter(outcome: str) -> Callable[[float], object]:
            return meters.counter(REQUESTS, registry=registry, operation=operation, outcome=outcome)

        self._ok = counter("ok")
        self._failed = {outcome: counter(outcome) for outcome in OUTCOMES if outcome != "ok"}
        self._seconds = meters.histogram(REQUEST_SECONDS, registry=registry, operation=operation)

    def worked(self, began: float) -> None:
        """It was done, and told so."""
        self._seconds(time.perf_counter() - began)
        self._ok(1)

    def failed(self, began: float, error: BaseException) -> None:
        """It ended with an error."""
        self._seconds(time.perf_counter() - began)
        self.failed_later(error)

    def failed_later(self, error: BaseException) -> None:
        """It ended with an error after its first answer."""
        found = (outcome for known, outcome in _OUTCOME_OF.items() if isinstance(error, known))
        self._failed[next(found, "error")](1)

    def call(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do it."""
        began = time.perf_counter()
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            self.failed(began, error)
            raise
        self.worked(began)
        return answer

    def walk(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """Go through what it answers; it took as long as the first of it."""
        began = time.perf_counter()
        try:
            first = next(items, None)
        except BaseException as error:
            self.failed(began, error)
            raise
        self._seconds(time.perf_counter() - began)
        try:
            if first is not None:
                yield first
                yield from items
        except GeneratorExit:
            self._ok(1)
            raise
        except BaseException as error:
            self.failed_later(error)
            raise
        self._ok(1)


class MeteredStore(SurroundingStore):
    """`ports.Store` that counts what it is asked."""

    def __init__(self, inner: Store, meters: Meters, registry: str) -> None:
        """Count in the name of `registry`."""
        super().__init__(inner)
        self.meters = meters
        self.registry = registry
        self._by = {name: _Operation(meters, registry, name) for name in OPERATIONS}
        self._copy = self._by["copy"]
        self._objects = meters.counter(UPLOADED_OBJECTS, registry=registry)
        self._sent = meters.counter(UPLOADED_BYTES, registry=registry)
        self._received = meters.counter(DOWNLOADED_BYTES, registry=registry)

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key`, exclusively; see the port."""
        return self._by["create"].call(self.inner.create, key, body)

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store many; see the port."""
        objects, sent = self._objects, self._sent

        def counted(key: Key, size: int) -> None:
            objects(1)
            sent(size)
            if on_stored is not None:
                on_stored(key, size)

        self._by["put_many"].call(self.inner.put_many, items, counted)

    def put(self, key: Key, body: bytes) -> None:
        """Write an owned record; see the port."""
        self._by["put"].call(self.inner.put, key, body)

    def replace(self, key: Key, body: Body) -> None:
        """Write a projection; see the port."""
        self._by["replace"].call(self.inner.replace, key, body)

    def copy(self, source: Key, target: Key) -> None:
        """Copy inside the store; see the port."""
        began = time.perf_counter()  # not by `call`: it is asked for every file of a run, and takes microseconds
        try:
            self.inner.copy(source, target)
        except BaseException as error:
            self._copy.failed(began, error)
            raise
        self._copy.worked(began)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes; see the port."""
        body = self._by["read"].call(self.inner.read, key, offset, length)
        self._received(len(body))
        return body

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking; see the port."""
        return heard_file(self._by["open"].call(self.inner.open, key), self._received)

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`; see the port."""
        return self._by["stat"].call(self.inner.stat, key)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key below `prefix`; see the port."""
        return self._by["list"].walk(self.inner.list(prefix, limit=limit))

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Folders directly below `prefix`; see the port."""
        return self._by["list_folders"].walk(self.inner.list_folders(prefix))

    def discard(self, key: Key) -> None:
        """Delete what a publisher may delete; see the port."""
        self._by["discard"].call(self.inner.discard, key)


class MeteredRemover:
    """`ports.Remover` that passes everything on to `inner`."""

    def __init__(self, inner: Remover, meters: Meters, registry: str) -> None:
        """Count in the name of `registry`."""
        self._inner = inner
        self._delete = _Operation(meters, registry, "delete")

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """Delete `keys`; see the port."""
        return self._delete.call(self._inner.delete, keys)

    def unfinished(self) -> Iterator[Unfinished]:
        """Uploads that are not complete; see the port."""
        return self._inner.unfinished()

    def abort(self, upload: Unfinished) -> None:
        """Abort an upload; see the port."""
        self._inner.abort(upload)
