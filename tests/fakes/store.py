"""A strict reference model of `ports.Store`, which also sees to it that nobody asks for what the format forbids."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import BinaryIO, NamedTuple

from tests.fakes.stage import MemoryStage

from sealrun.domain.address import Key, is_discardable
from sealrun.domain.errors import NotFoundError, RunChangedError, UsageError
from sealrun.domain.pieces import Body
from sealrun.domain.records import sha256
from sealrun.ports import Capabilities, Creation, ObjectStat, Source, Stage, Unfinished

_ATTEMPT = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"


class Kind(Enum):
    """How the format lets a key be written."""

    WRITE_ONCE = "create, and never again"
    OBJECT = "put_many, by its attempt"
    INTENT = "create, put and discard"
    ROW = "create and discard"
    PROJECTION = "replace and copy"
    PROBE = "anything"


_FORMAT = [
    (Kind.WRITE_ONCE, r"registry\.json"),
    (Kind.OBJECT, rf"store/objects/sha256/[0-9a-f]{{2}}/[0-9a-f]{{2}}/[0-9a-f]{{60}}\.{_ATTEMPT}"),
    (Kind.OBJECT, rf"store/packs/sha256/[0-9a-f]{{2}}/[0-9a-f]{{2}}/[0-9a-f]{{60}}\.{_ATTEMPT}\.zip"),
    (Kind.INTENT, rf"attempts/{_ATTEMPT}/intent\.json"),
    (Kind.WRITE_ONCE, rf"attempts/{_ATTEMPT}/(outcome|refs|retired)\.json"),
    (Kind.WRITE_ONCE, rf"experiments/{_NAME}/runs/{_NAME}/(run\.json|manifest\.json|MANIFEST\.sha256)"),
    (Kind.WRITE_ONCE, rf"experiments/{_NAME}/runs/{_NAME}/seals/{_ATTEMPT}\.json"),
    (Kind.PROJECTION, rf"experiments/{_NAME}/runs/{_NAME}/artifacts/.+"),
    (Kind.WRITE_ONCE, rf"experiments/{_NAME}/pointers/{_NAME}/[0-9]{{12}}\.json"),
    (Kind.PROJECTION, rf"experiments/{_NAME}/pointers/{_NAME}\.json"),
    (Kind.ROW, rf"experiments/{_NAME}/index/pending/{_ATTEMPT}\.json"),
    (Kind.WRITE_ONCE, rf"experiments/{_NAME}/index/base/[0-9]{{12}}\.jsonl"),
    (Kind.PROJECTION, rf"experiments/{_NAME}/manifest\.jsonl"),
    (Kind.WRITE_ONCE, r"names/[^/]+/[0-9]{12}\.json"),
    (Kind.PROJECTION, r"latest/[^/]+"),
    (Kind.WRITE_ONCE, r"gc/condemned/[^/]+\.json|gc/[^/]+/verdict\.json"),
    (Kind.WRITE_ONCE, r"gc/[^/]+/deleted\.jsonl"),
    (Kind.WRITE_ONCE, rf"quarantine/[0-9a-f]{{64}}\.{_ATTEMPT}(\.zip)?\.json"),
    (Kind.WRITE_ONCE, rf"experiments/{_NAME}/pins/{_NAME}/{_ATTEMPT}(\.lifted)?\.json"),
    (Kind.ROW, rf"experiments/{_NAME}/index/pending/{_ATTEMPT}\.retired\.json"),
    (Kind.WRITE_ONCE, rf"builds/{_NAME}/[0-9a-f]{{64}}/log/[0-9]{{12}}\.json"),
    (Kind.PROJECTION, rf"builds/{_NAME}/[0-9a-f]{{64}}/beat\.json"),
    (Kind.WRITE_ONCE, rf"catalog/schemas/{_NAME}/{_NAME}\.json"),
    (Kind.PROBE, r"probe/.+"),
]
_KINDS = [(kind, re.compile(pattern + r"\Z", re.DOTALL)) for kind, pattern in _FORMAT]


_CLEARED = re.compile(rf"gc/{_ATTEMPT}/(verdict\.json|deleted\.jsonl)\Z|experiments/{_NAME}/index/base/.+\Z")
"""Records that are cleared away once nobody can need them: whoever slept may then write other bytes there."""


class Change(NamedTuple):
    """A key was written, and with what, or was deleted."""

    key: str
    written: bool
    body: bytes = b""


class BrokenRuleError(AssertionError):
    """Something was asked of the store that the format forbids."""


def kind_of(key: str) -> Kind:
    """Say how `key` may be written; a key that the format does not know breaks a rule."""
    for kind, pattern in _KINDS:
        if pattern.match(key):
            return kind
    raise BrokenRuleError(f"{key}: not a key of the format")


class ModelStore:
    """Everything in one dictionary. Also a `ports.Remover`, for tests that play the collector.

    `history` keeps the first bytes of every write-once key and object for ever, so that any later change is seen, but
    for records that may be cleared away. Listings tell digests while it `tells_md5`.
    `log` tells in which order keys were written and deleted. With `stages` bytes may wait in it, as in a directory.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0, *, links: bool = True, stages: bool = False) -> None:
        self.url = "model://registry"
        self.capabilities = Capabilities(write_once=True, verifies_uploads=True, links=links, parallel=1)
        self.bodies: dict[str, bytes] = {}
        self.modified: dict[str, float] = {}
        self.history: dict[str, bytes] = {}
        self.log: list[Change] = []
        self.tells_md5 = False
        self._now = now
        self._stages = stages
        self._lock = threading.Lock()

    def create(self, key: Key, body: Body) -> Creation:
        self._require(key, Kind.WRITE_ONCE, Kind.INTENT, Kind.ROW, Kind.PROBE)
        with self._lock:
            if key in self.bodies:
                return Creation.EXISTS
            self._write(key, bytes(body))
            return Creation.CREATED

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        for key, source in items:
            self._require(key, Kind.OBJECT, Kind.PROBE)
            with source.open() as file:
                body = file.read()
            if sha256(body) != source.digest:
                raise RunChangedError(f"{key}: the bytes are not those of {source.digest}")
            with self._lock:
                self._write(key, body)
            if on_stored is not None:
                on_stored(key, len(body))

    def put(self, key: Key, body: bytes) -> None:
        self._require(key, Kind.INTENT, Kind.PROBE)
        with self._lock:
            self._write(key, body)

    def replace(self, key: Key, body: Body) -> None:
        self._require(key, Kind.PROJECTION, Kind.PROBE)
        with self._lock:
            self._write(key, bytes(body))

    def copy(self, source: Key, target: Key) -> None:
        self._require(target, Kind.PROJECTION, Kind.PROBE)
        body = self.read(source)
        with self._lock:
            self._write(target, body)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        with self._lock:
            body = self.bodies.get(key)
        if body is None:
            raise NotFoundError(f"{key}: not there")
        return body[offset : None if length is None else offset + length]

    def open(self, key: Key) -> BinaryIO:
        return io.BytesIO(self.read(key))

    def stat(self, key: Key) -> ObjectStat | None:
        with self._lock:
            body = self.bodies.get(key)
            return None if body is None else self._stat(key)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        if prefix and not prefix.endswith("/"):
            raise BrokenRuleError(f"{prefix}: a prefix ends in '/'")
        with self._lock:
            found = sorted((key for key in self.bodies if key.startswith(prefix)), key=str.encode)
            return iter([self._stat(key) for key in found[:limit]])

    def _stat(self, key: str) -> ObjectStat:
        body = self.bodies[key]
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest() if self.tells_md5 else None
        return ObjectStat(Key(key), len(body), self.modified[key], md5)

    def list_folders(self, prefix: str) -> Iterator[str]:
        with self._lock:
            below = [key.removeprefix(prefix) for key in self.bodies if key.startswith(prefix)]
        return iter(sorted({rest.split("/", 1)[0] for rest in below if "/" in rest}, key=str.encode))

    def discard(self, key: Key) -> None:
        if not is_discardable(key):
            raise UsageError(f"{key}: only intents, pending rows and probes are discarded")
        self._delete(key)

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        for key in keys:
            self._delete(key)
        return {}

    def unfinished(self) -> Iterator[Unfinished]:
        return iter(())

    def abort(self, upload: Unfinished) -> None:
        """There are none."""

    def stage(self) -> Stage | None:
        return MemoryStage() if self._stages else None

    def close(self) -> None:
        """Nothing is held open."""

    def damage(self, key: str, body: bytes | None) -> None:
        """Change stored bytes behind everybody's back, or with None take them away."""
        if body is None:
            del self.bodies[key]
        else:
            self.bodies[key] = body

    def _write(self, key: str, body: bytes) -> None:
        if key not in self.bodies and _CLEARED.match(key):
            self.history[key] = body
        if kind_of(key) in {Kind.WRITE_ONCE, Kind.OBJECT} and self.history.setdefault(key, body) != body:
            raise BrokenRuleError(f"{key}: its bytes would change")
        self.bodies[key] = body
        self.modified[key] = self._now()
        self.log.append(Change(key, written=True, body=body))

    def _delete(self, key: str) -> None:
        with self._lock:
            if self.bodies.pop(key, None) is not None:
                self.log.append(Change(key, written=False))
            self.modified.pop(key, None)

    @staticmethod
    def _require(key: str, *kinds: Kind) -> None:
        if kind_of(key) not in kinds:
            raise BrokenRuleError(f"{key}: may only be written by {kind_of(key).value}")
