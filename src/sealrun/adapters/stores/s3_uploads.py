"""Many uploads at once, each file read once.

A few threads read and digest; every request runs on the loop. What is in memory is bounded for the whole store.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import BinaryIO

from sealrun.adapters.stores.s3_asking import Answer, Pending
from sealrun.adapters.stores.s3_bodies import FileBody
from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_errors import Refusal
from sealrun.adapters.stores.s3_multipart import Limits, Multipart, base64_sha256
from sealrun.adapters.stores.spooling import Spooled
from sealrun.domain.address import Key
from sealrun.domain.errors import RunChangedError, RunRejectedError
from sealrun.domain.oversight.hearing import HeardSource
from sealrun.ports import Source

_READERS = 4
_CHUNK = 1 << 20
_ON_THE_WAY = 4 << 20
"""What a body that is sent out of a file takes: pieces of it, in buffers of the connection."""
_Item = tuple[Key, Source]


class Room:
    """Memory for bytes on their way, counted."""

    def __init__(self, limit: int) -> None:
        """Let `limit` bytes be taken at a time."""
        self._limit = limit
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, size: int, stopped: threading.Event) -> Taken:
        """Wait for room, and take it. `StoppedError` if `stopped`. What is larger than everything goes alone."""
        size = min(size, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: stopped.is_set() or self._taken + size <= self._limit)
            if stopped.is_set():
                raise StoppedError
            self._taken += size
        return Taken(self, size)

    def give(self, size: int) -> None:
        """Give room back."""
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    def wake(self) -> None:
        """Let those who wait look whether they were stopped."""
        with self._changed:
            self._changed.notify_all()


class Taken:
    """Room that somebody has. Belongs to one thread at a time."""

    def __init__(self, room: Room, size: int) -> None:
        """Own `size` bytes of `room`."""
        self._room = room
        self._size = size

    def give(self) -> None:
        """Give it back. Harmless twice."""
        size, self._size = self._size, 0
        self._room.give(size)


class StoppedError(Exception):
    """Ends a thread's work after another's failed; it never leaves this module."""


class Uploads:
    """The uploads of one `put_many`."""

    def __init__(self, connection: Connection, room: Room, parallel: int, limits: Limits) -> None:
        """Upload over `connection`, `parallel` items at once, with memory from `room`."""
        self._connection = connection
        self._room = room
        self._parallel = parallel
        self._limits = limits
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._running: set[Pending] = set()
        self._ended: SimpleQueue[tuple[Key, int, BaseException | None]] = SimpleQueue()
        self._begun = 0

    def run(self, items: Iterable[_Item], on_stored: Callable[[Key, int], None] | None) -> None:
        """Upload all, or raise the first error; nothing is in flight on return. `on_stored` runs in this thread."""
        with ThreadPoolExecutor(min(_READERS, self._parallel), thread_name_prefix="sealrun-s3") as readers:
            try:
                self._feed(iter(items), readers, on_stored)
            except BaseException:
                self._stop()
                raise
            finally:
                while self._begun:
                    self._ended.get()
                    self._begun -= 1

    def _feed(
        self, items: Iterator[_Item], readers: ThreadPoolExecutor, on_stored: Callable[[Key, int], None] | None
    ) -> None:
        more = True
        while more or self._begun:
            while more and self._begun < self._parallel:
                item = next(items, None)
                if item is None:
                    more = False
                else:
                    readers.submit(self._store, *item)
                    self._begun += 1
            if self._begun:
                key, size, error = self._ended.get()
                self._begun -= 1
                if error is not None:
                    raise error
                if on_stored is not None:
                    on_stored(key, size)

    def _stop(self) -> None:
        with self._lock:
            self._stopped.set()
            for running in self._running:
                running.cancel()
        self._room.wake()

    def _store(self, key: Key, source: Source) -> None:
        """Store one item, in a reader's thread. Tells `_ended` exactly once, perhaps later and from the loop."""
        try:
            if source.size < self._limits.single:
                self._store_whole(key, source)
                return
            self._store_in_parts(key, source)
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._ended.put((key, 0, error))
        else:
            self._ended.put((key, source.size, None))

    def _store_whole(self, key: Key, source: Source) -> None:
        size = source.size

        def ended(outcome: Future[Answer | Refusal]) -> None:
            self._ended.put((key, size, outcome.exception()))

        waiting = _waiting(source)
        taken = self._room.take(size if waiting is None else _ON_THE_WAY, self._stopped)
        body: bytes | FileBody = b""
        try:
            body = self._checked_bytes(key, source) if waiting is None else self._checked_file(key, source, waiting)
            running = self._put(key, "put_object", body, taken, {"ChecksumSHA256": base64_sha256(source.digest)})
        except BaseException:
            if isinstance(body, FileBody):
                body.close()
            taken.give()
            raise
        running.when_done(ended)

    def _checked_bytes(self, key: Key, source: Source) -> bytes:
        with source.open() as stream:
            body = self._read(stream, source.size + 1)
        _check(key, hashlib.sha256(body).hexdigest() == source.digest)
        return body

    def _checked_file(self, key: Key, source: Source, waiting: Spooled) -> FileBody:
        """Read what waits in a file of ours, which nobody else can open, and send it from there."""
        body, hasher = FileBody(waiting.duplicate(), source.size), hashlib.sha256()
        try:
            with source.open() as stream:
                while chunk := self._read(stream, _CHUNK):
                    hasher.update(chunk)
            _check(key, hasher.hexdigest() == source.digest)
        except BaseException:
            body.close()
            raise
        return body

    def _store_in_parts(self, key: Key, source: Source) -> None:
        limits = self._limits
        if source.size > limits.largest:
            raise RunRejectedError(f"{key}: S3 keeps objects of at most {limits.largest} bytes; this has {source.size}")
        step = limits.part_size(source.size)
        digest = hashlib.sha256()
        in_parts = Multipart(self._connection, key, source.size, limits.parts_at_once, "SHA256")
        with source.open() as stream, in_parts as upload:
            for start in range(0, source.size, step):
                self._send_part(key, stream, min(step, source.size - start), digest, upload)
            _check(key, not stream.read(1) and digest.hexdigest() == source.digest)
            upload.complete()

    def _send_part(self, key: Key, stream: BinaryIO, size: int, digest: hashlib._Hash, upload: Multipart) -> None:
        """Begin to send the next `size` bytes, and digest them."""
        taken = self._room.take(size, self._stopped)
        try:
            chunk = self._read(stream, size)
            _check(key, len(chunk) == size)
            digest.update(chunk)
            checksum = base64_sha256(hashlib.sha256(chunk).hexdigest())
            part = {**upload.next_part(), "ChecksumSHA256": checksum}
            running = self._put(key, "upload_part", chunk, taken, part)
        except BaseException:
            taken.give()
            raise
        upload.add(running, checksum)

    def _put(self, key: Key, operation: str, body: bytes | FileBody, taken: Taken, more: Answer) -> Pending:
        """Start sending; gives back what was `taken` when that has ended, unless this raises."""
        named = {"Key": self._connection.place.name(key), "Body": body, **more}
        with self._lock:
            if self._stopped.is_set():
                raise StoppedError
            running = self._connection.begin(operation, f"{key} cannot be stored", **named)
            self._running.add(running)

        file = body if isinstance(body, FileBody) else None  # bytes would stay in memory until all parts are there

        def ended(_outcome: Future[Answer | Refusal]) -> None:
            with self._lock:
                self._running.discard(running)
            if file is not None:
                file.close()
            taken.give()

        running.when_done(ended)
        return running

    def _read(self, stream: BinaryIO, size: int) -> bytes:
        """Read `size` bytes, or up to the end."""
        chunks: list[bytes] = []
        while size > 0:
            if self._stopped.is_set():
                raise StoppedError
            chunk = stream.read(size)  # in one piece: joining pieces would take the memory twice
            if not chunk:
                break
            chunks.append(chunk)
            size -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check(key: Key, unchanged: bool) -> None:  # noqa: FBT001 - a condition
    if not unchanged:
        raise RunChangedError(f"{key}: the bytes read are not the ones that were hashed; settle again")


def _waiting(source: Source) -> Spooled | None:
    """Return what waits in a file of ours, whoever listens to how it is read."""
    inner: object = source
    while isinstance(inner, HeardSource):
        inner = inner.inner
    return inner if isinstance(inner, Spooled) else None
