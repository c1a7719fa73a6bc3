"""A store whose every call passes through a gate: where tests fail, kill and interleave."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar, cast

from sealrun.domain.address import Digest, Key
from sealrun.domain.pieces import Body
from sealrun.ports import Capabilities, Creation, ObjectStat, Remover, Source, Stage, Store, Unfinished

T = TypeVar("T")
_WRITES = {"create", "put_many", "put", "replace", "copy", "discard", "delete"}


class Call(NamedTuple):
    """One call of a store's method; `put_many` passes the gate once per item, and `list` once per page."""

    op: str
    key: str

    @property
    def writes(self) -> bool:
        """Whether the call changes the store."""
        return self.op in _WRITES


class Gate(Protocol):
    """Decides what becomes of a call."""

    def __call__(self, call: Call, act: Callable[[], T]) -> T:
        """Carry out `act` now, or not at all, or and then lose its answer."""
        ...


class Noting:
    """A gate that lets everything through and remembers it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(self, call: Call, act: Callable[[], T]) -> T:
        self.calls.append(call)
        return act()


class _Sent(NamedTuple):
    """A source whose bytes are on their way: what becomes of the source matters no more, even if they arrive late."""

    body: bytes
    size: int
    digest: Digest

    @classmethod
    def of(cls, source: Source) -> _Sent:
        with source.open() as file:
            return cls(file.read(), source.size, source.digest)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.body)


class GatedStore:
    """`ports.Store` in front of `inner`. With `page`, listings are read that many keys at a time, as of each page."""

    def __init__(self, inner: Store, gate: Gate, page: int | None = None) -> None:
        self._inner = inner
        self._gate = gate
        self._page = page

    @property
    def url(self) -> str:
        return self._inner.url

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def create(self, key: Key, body: Body) -> Creation:
        return self._gate(Call("create", key), lambda: self._inner.create(key, body))

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        for key, source in items:
            sent = _Sent.of(source)
            self._gate(Call("put_many", key), partial(self._inner.put_many, [(key, sent)]))
            if on_stored is not None:
                on_stored(key, source.size)

    def put(self, key: Key, body: bytes) -> None:
        self._gate(Call("put", key), lambda: self._inner.put(key, body))

    def replace(self, key: Key, body: Body) -> None:
        self._gate(Call("replace", key), lambda: self._inner.replace(key, body))

    def copy(self, source: Key, target: Key) -> None:
        self._gate(Call("copy", target), lambda: self._inner.copy(source, target))

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        return self._gate(Call("read", key), lambda: self._inner.read(key, offset, length))

    def open(self, key: Key) -> BinaryIO:
        return self._gate(Call("open", key), lambda: self._inner.open(key))

    def stat(self, key: Key) -> ObjectStat | None:
        return self._gate(Call("stat", key), lambda: self._inner.stat(key))

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        if self._page is None or limit is not None:
            return iter(self._gate(Call("list", prefix), lambda: [*self._inner.list(prefix, limit=limit)]))
        return self._pages(prefix, self._page)

    def list_folders(self, prefix: str) -> Iterator[str]:
        return iter(self._gate(Call("list_folders", prefix), lambda: [*self._inner.list_folders(prefix)]))

    def discard(self, key: Key) -> None:
        self._gate(Call("discard", key), lambda: self._inner.discard(key))

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """`ports.Remover`, one call per key, where the inner store is one."""
        remover = cast("Remover", self._inner)
        for key in keys:
            self._gate(Call("delete", key), partial(remover.delete, [key]))
        return {}

    def unfinished(self) -> Iterator[Unfinished]:
        return iter(())

    def abort(self, upload: Unfinished) -> None:
        """There are none."""

    def stage(self) -> Stage | None:
        return self._inner.stage()

    def close(self) -> None:
        """The inner store outlives every process."""

    def _pages(self, prefix: str, size: int) -> Iterator[ObjectStat]:
        last = b""

        def page() -> list[Any]:
            return [found for found in self._inner.list(prefix) if found.key.encode() > last][:size]

        while found := self._gate(Call("list", prefix), page):
            yield from found
            last = found[-1].key.encode()
