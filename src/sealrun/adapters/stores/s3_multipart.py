"""Objects too large for one request: uploaded, or copied inside S3, in parts."""

from __future__ import annotations

import base64
import contextlib
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from sealrun.adapters.stores.s3_asking import Answer, Pending
from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_errors import Refusal
from sealrun.domain.address import Key
from sealrun.domain.errors import SealrunError, UnavailableError

_MIB = 1 << 20


class Limits(NamedTuple):
    """Sizes in bytes: S3's own (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html) and our choices.

    Below `single` an object is one request. `part` grows where `parts` would not suffice. `in_flight` bounds the
    bytes of all uploads of a store; a part larger than that goes alone. From `copy` on, copies go in parts of
    `copy_part`: S3 copies 5 GB at once, but not within the time that one answer may take.
    """

    single: int = 32 * _MIB
    part: int = 8 * _MIB
    parts: int = 10_000
    parts_at_once: int = 8
    largest: int = 5 << 40
    in_flight: int = 56 * _MIB
    copy: int = 1024 * _MIB
    copy_part: int = 128 * _MIB

    def part_size(self, size: int, smallest: int | None = None) -> int:
        """Return how large the parts of an object of `size` bytes are."""
        return max(smallest or self.part, -(-size // self.parts))


def base64_sha256(digest: str) -> str:
    """Spell a hexadecimal digest as S3's checksum headers do."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


class Multipart:
    """One upload in parts: begun on entry, completed by `complete`, aborted if the block ends without.

    A crash leaves an invisible upload that is billed; a lifecycle rule of the bucket removes such ones. An abort that
    fails too leaves the same.
    """

    def __init__(self, connection: Connection, key: Key, size: int, at_once: int, checksums: str | None = None) -> None:
        """Upload `size` bytes to `key`, `at_once` parts at a time; `checksums` names their algorithm."""
        self._connection = connection
        self._key = key
        self._size = size
        self._at_once = at_once
        self._more: dict[str, Any] = {} if checksums is None else {"ChecksumAlgorithm": checksums}
        self._upload: dict[str, Any] = {}
        self._running: deque[Pending] = deque()
        self._done: list[dict[str, Any]] = []
        self._checksums: dict[int, str] = {}
        self._completed = False

    def __enter__(self) -> Self:
        name = self._connection.place.name(self._key)
        answer = self._connection.call("create_multipart_upload", self._what, Key=name, **self._more)
        self._upload = {"Key": name, "UploadId": _text(answer, "UploadId")}
        return self

    def __exit__(self, *_: object) -> None:
        if self._completed:
            return
        for running in self._running:
            running.cancel()
        for running in self._running:
            running.settle()
        with contextlib.suppress(SealrunError):  # what ended the block is what matters
            self._connection.call("abort_multipart_upload", self._what, **self._upload)

    def next_part(self) -> Answer:
        """Return the parameters that name the next part. Waits while too many are in flight."""
        while len(self._running) >= self._at_once:
            self._collect()
        return {**self._upload, "PartNumber": len(self._done) + len(self._running) + 1}

    def add(self, running: Pending, checksum: str | None = None) -> None:
        """Take over the request that sends the next part."""
        if checksum is not None:
            self._checksums[len(self._done) + len(self._running) + 1] = checksum
        self._running.append(running)

    def complete(self) -> None:
        """Make the object visible. Certain on return."""
        while self._running:
            self._collect()
        answer = self._connection.call(
            "complete_multipart_upload",
            self._what,
            expected=_is_no_such_upload,
            MultipartUpload={"Parts": self._done},
            **self._upload,
        )
        # The client repeats a request whose answer was lost, and then there is nothing left to complete.
        if isinstance(answer, Refusal) and self._stored_size() != self._size:
            raise UnavailableError(f"{self._connection.place.url}: {self._what}: the upload was aborted; try again")
        self._completed = True

    def _collect(self) -> None:
        answer = self._running[0].result()
        self._running.popleft()
        number = len(self._done) + 1
        part = {"PartNumber": number, "ETag": _text(answer, "ETag", "CopyPartResult")}
        if number in self._checksums:
            part["ChecksumSHA256"] = self._checksums[number]
        self._done.append(part)

    def _stored_size(self) -> int | None:
        name = self._upload["Key"]
        answer = self._connection.call("head_object", self._what, expected=lambda _: True, Key=name)
        return None if isinstance(answer, Refusal) else int(answer["ContentLength"])

    @property
    def _what(self) -> str:
        return f"{self._key} cannot be stored"


def copy_object(connection: Connection, source: Key, target: Key, limits: Limits) -> None:
    """Copy inside the bucket, from one unchanging version of `source`. `NotFoundError` if there is none."""
    what = f"{source} cannot be copied to {target}"
    origin = {"Bucket": connection.place.bucket, "Key": connection.place.name(source)}
    facts = connection.call("head_object", what, Key=origin["Key"])
    assert not isinstance(facts, Refusal)  # noqa: S101 - none is expected
    size = int(facts["ContentLength"])
    if size <= limits.copy:
        connection.call("copy_object", what, CopySource=origin, Key=connection.place.name(target))
        return
    step = limits.part_size(size, limits.copy_part)
    with Multipart(connection, target, size, limits.parts_at_once) as upload:
        for first in range(0, size, step):
            last = min(first + step, size) - 1
            wanted = {
                "CopySource": origin,
                "CopySourceIfMatch": facts["ETag"],
                "CopySourceRange": f"bytes={first}-{last}",
            }
            upload.add(connection.begin("upload_part_copy", what, **wanted, **upload.next_part()))
        upload.complete()


def _is_no_such_upload(refusal: Refusal) -> bool:
    return refusal.code == "NoSuchUpload"


def _text(answer: Answer | Refusal, name: str, within: str | None = None) -> str:
    assert not isinstance(answer, Refusal)  # noqa: S101 - none is expected
    holder: Mapping[str, Any] = answer.get(within, answer) if within else answer
    return str(holder[name])
