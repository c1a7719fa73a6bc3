"""Stores: where registries keep their bytes, and what removes, stages and caches them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import BinaryIO, Protocol

import msgspec

from sealrun.domain.address import Digest, Key
from sealrun.domain.pieces import Body


class Creation(Enum):
    """Answer of a write-once creation that was understood."""

    CREATED = "these bytes are there, durably, because of this call"
    EXISTS = "something was there before; it may be our own earlier write whose answer was lost"


class ObjectStat(msgspec.Struct, frozen=True, gc=False):
    """What a store says of a key. `modified` is POSIX seconds by the store's own clock.

    `md5` is that of the bytes, where the store tells it by the way. Some say something else in its place: it can prove
    that bytes are the stored ones, never that they are not.
    """

    key: Key
    size: int
    modified: float
    md5: str | None = None


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a store claims; the probe tests the claims before anything is trusted to them.

    `write_once`: `create` is exclusive among any number of writers. `verifies_uploads`: the store itself refuses
    bytes that do not match their checksum. `links`: `copy` costs no bytes, so run folders are projected.
    `parallel`: how many uploads or small requests are worth having in flight.
    """

    write_once: bool
    verifies_uploads: bool
    links: bool
    parallel: int

    @property
    def side_by_side(self) -> int:
        """How many small requests to begin at once: one where they take no time, since threads would only slow them."""
        return 1 if self.links else self.parallel


class Source(Protocol):
    """Bytes to be stored whose digest is known."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    @property
    def digest(self) -> Digest:
        """sha256 of the bytes."""
        ...

    def open(self) -> BinaryIO:
        """Open for one sequential read. `RunChangedError` if it is no longer the file that was hashed."""
        ...


class Incoming(Protocol):
    """Bytes on their way into a stage."""

    def write(self, chunk: bytes | memoryview) -> None:
        """Append."""
        ...

    def clone(self, descriptor: int) -> int | None:
        """Take all that an open file holds at this moment, without copying it: in place of any `write`.

        Return a descriptor to read these bytes from, at its beginning, whatever becomes of the file; it is closed by
        `keep` and `drop`. None where that cannot be done; then nothing has happened.
        """
        ...

    def keep(self, digest: Digest) -> Source:
        """Close and keep the bytes, whose digest is now known, as a source that `put_many` of the same store takes."""
        ...

    def drop(self) -> None:
        """Discard. Harmless after `keep` or twice."""
        ...


class Stage(Protocol):
    """A private room inside a store where bytes wait without a name until their digest is known.

    Lets a run be read once: hashed while it is copied. Closing discards what no `put_many` took. A crash leaves
    files that the next opening of the store removes.
    """

    def receive(self) -> Incoming:
        """Begin receiving one file. Callable from many threads."""
        ...

    def close(self) -> None:
        """Discard everything that was not taken. Harmless twice."""
        ...


class Store(Protocol):
    """A storage root. What a publisher or a reader gets: it cannot delete anything that matters.

    Safe to use from many threads. Every method may raise `UnavailableError`, `AccessDeniedError` or
    `NoSpaceError`. Keys are well-formed (`sealrun.domain.address`); any UTF-8 may occur below ``artifacts/``.
    """

    @property
    def url(self) -> str:
        """Where it is, without secrets: fit for logs and messages."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the store claims."""
        ...

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key` with `body`, exclusively. Durable and visible to everybody, listings included, on CREATED.

        Of any number of callers one gets CREATED. No reader ever sees a part. Anything ambiguous (time-out,
        dropped connection, server error) raises `OutcomeUnknownError`; the call may be repeated with the same body.
        """
        ...

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store bytes under keys that only the caller's attempt owns. All are durable and visible on return.

        `items` is consumed lazily, a bounded number at a time. The bytes stored are checked against
        `Source.digest` on the way: `RunChangedError` if they differ. On any error some items may be stored, none
        partially, and no upload is left running. Repeating is harmless. `on_stored(key, size)` comes from any thread.
        """
        ...

    def put(self, key: Key, body: bytes) -> None:
        """Write a small record that only the caller's attempt owns, over its own earlier version. Durable on return."""
        ...

    def replace(self, key: Key, body: Body) -> None:
        """Write a projection, over whatever is there. Atomic for readers; the last writer wins. Not durable."""
        ...

    def copy(self, source: Key, target: Key) -> None:
        """Make the projection `target` have the bytes of `source`, over whatever is there; by link where possible.

        `NotFoundError` if there is no source. Not durable.
        """
        ...

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of `key`: the current ones, never cached. `NotFoundError` if there are none."""
        ...

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking with bounded memory. `NotFoundError`."""
        ...

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`, never from a cache; None only when the store said that there is no such key."""
        ...

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key that begins with `prefix` (which ends in ``/`` or is empty), in UTF-8 byte order; all pages.

        Includes everything whose creation was acknowledged before the call. `limit` stops after that many keys.
        An incomplete answer raises; it is never passed off as complete.
        """
        ...

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Names, without the prefix, of the folders directly below `prefix` (ends in ``/`` or is empty), sorted."""
        ...

    def discard(self, key: Key) -> None:
        """Delete an intent, a pending row or a probe's key (`address.is_discardable`); anything else is `UsageError`.

        Harmless when it is already gone.
        """
        ...

    def stage(self) -> Stage | None:
        """Open a stage, or None where bytes cannot wait without a name."""
        ...

    def close(self) -> None:
        """Release connections and threads. Harmless twice."""
        ...


class Glimpse(Protocol):
    """What whoever only looks needs of a `Store`: it may be answered from what was listed a moment ago."""

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """See `Store.list`."""
        ...

    def list_folders(self, prefix: str) -> Iterator[str]:
        """See `Store.list_folders`."""
        ...

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a record; see `Store.read`."""
        ...


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that was begun and never completed; it takes room without being visible.

    `started` is POSIX seconds by the store's own clock; `token` is the store's own name for it.
    """

    key: Key
    token: str
    started: float


class Remover(Protocol):
    """The right to delete for good. Only a collector gets one."""

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """Delete `keys`; return the reason for each one that is not certainly gone. Absent keys count as gone."""
        ...

    def unfinished(self) -> Iterator[Unfinished]:
        """Every upload that is not completed, live ones included; nothing where the store has no such thing."""
        ...

    def abort(self, upload: Unfinished) -> None:
        """End an upload and free its room. Harmless when it is gone or complete already."""
        ...


class FileCache(Protocol):
    """Whole files that were verified, kept on this machine by their content. Shared by processes; nothing here fails.

    What is kept may go at any time. Safe to use from many threads.
    """

    def find(self, digest: Digest, size: int, offset: int, length: int) -> bytes | None:
        """Return a range inside a kept file of `size` bytes, or None: then ask the store.

        A file that is read as a whole is verified again by whoever reads it.
        """
        ...

    def keep(self, digest: Digest, body: bytes) -> None:
        """Keep a file, if it is worth it and there is room; repeating is harmless."""
        ...


class RecordCache(Protocol):
    """Records of one registry, kept on this machine. Shared by processes; nothing here fails.

    What is kept may go at any time, or be damaged: whoever takes something out compares it with what the store told.
    Safe to use from many threads.
    """

    def find(self, key: Key, md5: str, size: int) -> bytes | None:
        """Return what was kept of `key` with that digest and size, or None: then ask the store."""
        ...

    def keep(self, key: Key, md5: str, body: bytes) -> None:
        """Keep a record, if there is room; repeating is harmless."""
        ...
