"""A store in this process's memory, shared by name: for tests, demonstrations and trying things out."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

from sealrun.domain.address import Digest, Key, is_discardable
from sealrun.domain.errors import NotFoundError, RunChangedError, UsageError
from sealrun.domain.pieces import Body
from sealrun.ports import Capabilities, Creation, ObjectStat, Source, Unfinished


class _Held(NamedTuple):
    body: bytes
    modified: float


def _stat(key: Key, held: _Held) -> ObjectStat:
    md5 = hashlib.md5(held.body, usedforsecurity=False).hexdigest()
    return ObjectStat(key, len(held.body), held.modified, md5)


class _Space:
    """The keys that every store of one name sees."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: dict[Key, _Held] = {}


_spaces: dict[str, _Space] = {}
_spaces_lock = threading.Lock()


def forget_space(name: str) -> None:
    """Drop everything that stores called `name` hold; stores that are open keep what they see."""
    with _spaces_lock:
        _spaces.pop(name, None)


class MemoryStore:
    """`ports.Store` in memory: durable as long as the process lives."""

    def __init__(self, name: str, *, parallel: int = 4, clock: Callable[[], float] = time.time) -> None:
        """See what every store called `name` sees; `clock` gives POSIX seconds and is this store's own."""
        self.name = name
        with _spaces_lock:
            self._space = _spaces.setdefault(name, _Space())
        self._parallel = parallel
        self._clock = clock

    @property
    def url(self) -> str:
        """Where it is; see the port."""
        return f"memory://{self.name}"

    @property
    def capabilities(self) -> Capabilities:
        """What it claims; see the port."""
        return Capabilities(write_once=True, verifies_uploads=False, links=False, parallel=self._parallel)

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key`, exclusively; see the port."""
        self._check(key)
        with self._space.lock:
            if key in self._space.held:
                return Creation.EXISTS
            self._hold(key, bytes(body))
            return Creation.CREATED

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store one item after the other; see the port."""
        for key, source in items:
            with source.open() as stream:
                body = stream.read()
            if hashlib.sha256(body).hexdigest() != source.digest:
                raise RunChangedError(f"{key}: the bytes read are not the ones that were hashed; settle again")
            self.put(key, body)
            if on_stored is not None:
                on_stored(key, len(body))

    def put(self, key: Key, body: bytes) -> None:
        """Write an owned record; see the port."""
        self._check(key)
        with self._space.lock:
            self._hold(key, body)

    def replace(self, key: Key, body: Body) -> None:
        """Write a projection; see the port."""
        self.put(key, bytes(body))

    def copy(self, source: Key, target: Key) -> None:
        """Copy; see the port."""
        self.put(target, self._find(source).body)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes; see the port."""
        body = self._find(key).body
        return body[offset:] if length is None else body[offset : offset + length]

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking; see the port."""
        return io.BytesIO(self._find(key).body)

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`; see the port."""
        self._check(key)
        with self._space.lock:
            held = self._space.held.get(key)
        return None if held is None else _stat(key, held)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key below `prefix` as of now; see the port."""
        if prefix and not prefix.endswith("/"):
            raise UsageError(f"{self.url}: a prefix ends in '/': {prefix!r}")
        with self._space.lock:
            found = [_stat(key, held) for key, held in self._space.held.items() if key.startswith(prefix)]
        found.sort(key=lambda one: one.key)  # comparing code points gives the order of UTF-8 bytes
        return iter(found[:limit])

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Folders directly below `prefix`; see the port."""
        tails = (one.key[len(prefix) :] for one in self.list(prefix))
        return iter(sorted({tail.split("/", 1)[0] for tail in tails if "/" in tail}))

    def discard(self, key: Key) -> None:
        """Delete what a publisher may delete; see the port."""
        if not is_discardable(key):
            raise UsageError(f"{self.url}: {key} is not for a publisher to delete")
        self.remove(key)

    def remove(self, key: Key) -> None:
        """Delete any key. For the remover: it is not part of the port."""
        with self._space.lock:
            self._space.held.pop(key, None)

    def stage(self) -> MemoryStage:
        """Open a stage; see the port."""
        return MemoryStage()

    def close(self) -> None:
        """Nothing to release."""

    def _find(self, key: Key) -> _Held:
        self._check(key)
        with self._space.lock:
            held = self._space.held.get(key)
        if held is None:
            raise NotFoundError(f"{self.url}: there is no {key}")
        return held

    def _check(self, key: Key) -> None:
        if "\0" in key or not {"", ".", ".."}.isdisjoint(key.split("/")):
            raise UsageError(f"{self.url}: not a key: {key!r}")

    def _hold(self, key: Key, body: bytes) -> None:
        self._space.held[key] = _Held(bytes(body), self._clock())


class MemoryRemover:
    """`ports.Remover` in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Delete what `store` sees."""
        self._store = store

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """Delete `keys`; see the port."""
        for key in keys:
            self._store.remove(key)
        return {}

    def unfinished(self) -> Iterator[Unfinished]:
        """None: memory holds complete bytes only."""
        return iter(())

    def abort(self, upload: Unfinished) -> None:
        """Nothing to end."""


class MemoryStage:
    """`ports.Stage` in memory."""

    def __init__(self) -> None:
        """Begin empty."""
        self.closed = False

    def receive(self) -> MemoryIncoming:
        """Begin receiving; see the port."""
        return MemoryIncoming(self)

    def close(self) -> None:
        """Discard what was not taken; see the port."""
        self.closed = True


class MemoryIncoming:
    """`ports.Incoming` in memory."""

    def __init__(self, stage: MemoryStage) -> None:
        """Receive for `stage`."""
        self._stage = stage
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes | memoryview) -> None:
        """Append."""
        self._chunks.append(bytes(chunk))

    def clone(self, descriptor: int) -> None:
        """Memory shares nothing with a file."""

    def keep(self, digest: Digest) -> MemoryStaged:
        """Keep the bytes; see the port."""
        return MemoryStaged(self._stage, b"".join(self._chunks), digest)

    def drop(self) -> None:
        """Discard; see the port."""
        self._chunks = []


class MemoryStaged:
    """`ports.Source` of staged bytes."""

    def __init__(self, stage: MemoryStage, body: bytes, digest: Digest) -> None:
        """Stand for `body`, while `stage` is open."""
        self._stage = stage
        self._body = body
        self._digest = digest

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._body)

    @property
    def digest(self) -> Digest:
        """sha256 of the bytes."""
        return self._digest

    def open(self) -> BinaryIO:
        """Open for one sequential read; see the port."""
        if self._stage.closed:
            raise RunChangedError("the stage was closed and its bytes discarded; the folder has to be read again")
        return io.BytesIO(self._body)
