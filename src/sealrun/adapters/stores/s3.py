"""A bucket, or a prefix in one, as a store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from sealrun.adapters.stores.s3_address import parse_place
from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_errors import Refusal, is_damaged, is_missing, lost_race
from sealrun.adapters.stores.s3_listing import list_keys, list_names, md5_in
from sealrun.adapters.stores.s3_multipart import Limits, base64_sha256, copy_object
from sealrun.adapters.stores.s3_reading import fetch, open_object
from sealrun.adapters.stores.s3_records import ready_to_send
from sealrun.adapters.stores.s3_removal import remove
from sealrun.adapters.stores.s3_unfinished import abort_upload, unfinished_uploads
from sealrun.adapters.stores.s3_uploads import Room, Uploads
from sealrun.domain.address import Key, is_discardable
from sealrun.domain.errors import ConfigurationError, UsageError
from sealrun.domain.pieces import Body
from sealrun.ports import Capabilities, Creation, ObjectStat, Source, Unfinished

_PARALLEL = 32
_WRONG = base64_sha256(hashlib.sha256(b"not what is sent").hexdigest())


class S3Store:
    """`ports.Store` on S3 and servers like it.

    Records are written with the ``If-None-Match: *`` of a single PUT (Amazon S3 User Guide, "Conditional writes").
    Uploads carry their SHA-256, which most servers verify; `verifies_uploads` is not claimed, since some do not: the
    bytes are compared with their digest here, before they are sent. Objects from 32 MiB on are sent in parts.
    """

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None = None,
        *,
        read_only: bool = False,
        limits: Limits | None = None,
    ) -> None:
        """Use ``s3://BUCKET/PREFIX`` with s3fs's storage options; ``parallel`` among them is ours.

        Connects at the first request. With `read_only` every write is a `UsageError`. `ConfigurationError` for
        options or installed packages that do not do.
        """
        options = dict(storage_options or {})
        self._parallel = options.pop("parallel", _PARALLEL)
        if not isinstance(self._parallel, int) or self._parallel < 1:
            raise ConfigurationError(f"storage option parallel = {self._parallel!r}: not a number of requests")
        self._place = parse_place(url)
        self._read_only = read_only
        self._limits = limits or Limits()
        self._connection = Connection(self._place, options, self._parallel)
        self._room = Room(self._limits.in_flight)
        self._pid = os.getpid()

    @property
    def url(self) -> str:
        """Where it is; see the port."""
        return self._place.url

    @property
    def capabilities(self) -> Capabilities:
        """What it claims; see the port."""
        return Capabilities(write_once=True, verifies_uploads=False, links=False, parallel=self._parallel)

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key`, exclusively; see the port."""
        with ready_to_send(body) as (sent, digest):
            answer = self._put(
                key,
                sent,
                "created",
                checksum=base64_sha256(digest),
                write_once=True,
                expected=lost_race,
                IfNoneMatch="*",
            )
        return Creation.EXISTS if isinstance(answer, Refusal) else Creation.CREATED

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store many; see the port. `on_stored` is called in the caller's thread."""
        self._may_write()
        if self._pid != os.getpid():  # forked: uploads of the parent hold room that nobody here will give back
            self._pid, self._room = os.getpid(), Room(self._limits.in_flight)
        Uploads(self._connection, self._room, self._parallel, self._limits).run(items, on_stored)

    def put(self, key: Key, body: bytes) -> None:
        """Write an owned record; see the port."""
        self._put(key, body, "written", checksum=_checksum(body))

    def replace(self, key: Key, body: Body) -> None:
        """Write a projection; see the port."""
        with ready_to_send(body) as (sent, digest):
            self._put(key, sent, "replaced", checksum=base64_sha256(digest))

    def copy(self, source: Key, target: Key) -> None:
        """Copy inside the bucket; see the port."""
        self._may_write()
        copy_object(self._connection, source, target, self._limits)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes; see the port."""
        return fetch(self._connection, key, offset, length)

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking; see the port. A handle that outlives a replacement raises."""
        answer = self._connection.call("head_object", f"{key} cannot be opened", Key=self._place.name(key))
        assert not isinstance(answer, Refusal)  # noqa: S101 - none is expected
        return open_object(self._connection, key, answer)

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`; see the port. S3 answers alike when there is no such bucket."""
        name = self._place.name(key)
        answer = self._connection.call("head_object", f"{key} cannot be looked at", expected=is_missing, Key=name)
        if isinstance(answer, Refusal):
            return None
        return ObjectStat(key, int(answer["ContentLength"]), answer["LastModified"].timestamp(), md5_in(answer))

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key below `prefix`; see the port."""
        self._place.below(prefix)
        return list_keys(self._connection, prefix, limit)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Folders directly below `prefix`; see the port."""
        return list_names(self._connection, prefix)

    def discard(self, key: Key) -> None:
        """Delete what a publisher may delete; see the port."""
        if not is_discardable(key):
            raise UsageError(f"{self.url}: {key} is not for a publisher to delete")
        self._may_write()
        name = self._place.name(key)
        self._connection.call("delete_object", f"{key} cannot be deleted", strict=True, expected=is_missing, Key=name)

    def stage(self) -> None:
        """Bytes cannot wait without a name here."""
        return

    def close(self) -> None:
        """Release connections; see the port."""
        self._connection.close()

    def refuses_wrong_checksum(self, key: Key) -> bool | None:
        """Send bytes with a wrong checksum to `key`: True if the server refuses them, False if it stores them."""
        answer = self._put(key, b"sent\n", "tried", expected=is_damaged, checksum=_WRONG)
        return isinstance(answer, Refusal)

    def unfinished(self) -> Iterator[Unfinished]:
        """Multipart uploads that are not complete: for the remover only."""
        return unfinished_uploads(self._connection)

    def abort(self, upload: Unfinished) -> None:
        """Abort one of them: for the remover only."""
        abort_upload(self._connection, upload)

    def remove(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """Delete any keys. For the remover: it is not part of the port."""
        self._may_write()
        return remove(self._connection, keys)

    def _put(
        self,
        key: Key,
        body: bytes | BinaryIO,
        verb: str,
        *,
        checksum: str,
        write_once: bool = False,
        expected: Callable[[Refusal], bool] | None = None,
        **conditions: str,
    ) -> Mapping[str, Any] | Refusal:
        self._may_write()
        return self._connection.call(
            "put_object",
            f"{key} cannot be {verb}",
            strict=True,
            write_once=write_once,
            expected=expected,
            Key=self._place.name(key),
            Body=body,
            ChecksumSHA256=checksum,
            **conditions,
        )

    def _may_write(self) -> None:
        if self._read_only:
            raise UsageError(f"{self.url}: was opened for reading only")


def _checksum(body: bytes) -> str:
    return base64_sha256(hashlib.sha256(body).hexdigest())


class S3Remover:
    """`ports.Remover` on S3."""

    def __init__(self, store: S3Store) -> None:
        """Delete what `store` sees."""
        self._store = store

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """Delete `keys`; see the port."""
        return self._store.remove(keys)

    def unfinished(self) -> Iterator[Unfinished]:
        """Multipart uploads that are neither complete nor aborted."""
        return self._store.unfinished()

    def abort(self, upload: Unfinished) -> None:
        """Abort a multipart upload; see the port."""
        self._store.abort(upload)
