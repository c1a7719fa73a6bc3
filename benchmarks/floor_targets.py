"""Where the floors keep their bytes: a folder, or a bucket through obstore."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Container, Iterator
from pathlib import Path

from benchmarks.floors import CHUNK, MIB, THREADS, _chunks, _write_durably, walk
from benchmarks.measuring import sync_file_system

_PART = 32 * MIB
_PARTS = 4
_WRITERS = 32
_PIECE = 512 * 1024


def _write(descriptor: int, body: bytes | bytearray | memoryview) -> None:
    """Write in pieces: MiBs at once take up to four times as long, see docs/performance.md."""
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view[:_PIECE]) :]


class Folder:
    """A folder. Nothing is durable before `finish`."""

    packed_by = THREADS

    def __init__(self, root: str, known: Container[str]) -> None:
        self._root, self._known, self._made = root, known, set[str]()
        for inner in ("packs", "objects"):
            os.makedirs(f"{root}/{inner}", exist_ok=True)  # noqa: PTH103 - strings throughout

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Write under another name, then rename."""
        final = self._place(key)
        growing = f"{final}.part"
        with open(growing, "wb", buffering=0) as file:  # noqa: PTH123 - ten thousand times
            _write(file.fileno(), body)
        os.rename(growing, final)  # noqa: PTH104 - the same

    def copy(self, path: str) -> str:
        """Hash while copying: the bytes are read once, and thrown away if they are known."""
        growing, hasher = f"{self._root}/{time.time_ns()}.part", hashlib.sha256()
        with open(growing, "wb", buffering=0) as file:  # noqa: PTH123 - strings throughout
            for chunk in _chunks(path):
                hasher.update(chunk)
                _write(file.fileno(), chunk)
        digest = hasher.hexdigest()
        if digest in self._known:
            os.unlink(growing)  # noqa: PTH108 - strings throughout
        else:
            os.rename(growing, self._place(f"objects/{digest[:2]}/{digest[2:]}"))  # noqa: PTH104 - the same
        return digest

    def read(self, key: str, offset: int, size: int) -> Iterator[memoryview]:
        """Read a range, a few MiB at a time."""
        return _chunks(f"{self._root}/{key}", offset, size)

    def objects(self) -> Iterator[tuple[str, int]]:
        """List both folders."""
        for path, size in (*walk(f"{self._root}/packs"), *walk(f"{self._root}/objects")):
            yield path[len(self._root) + 1 :], size

    def finish(self, manifest: bytes) -> None:
        """One syncfs for all bytes, then the manifest."""
        sync_file_system(Path(self._root))
        _write_durably(Path(f"{self._root}/manifest-{time.time_ns()}.json"), manifest)

    def _place(self, key: str) -> str:
        final = f"{self._root}/{key}"
        folder = final.rpartition("/")[0]
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - strings throughout
            self._made.add(folder)
        return final


class S3:
    """A bucket. A large file is hashed first, since its digest is its key."""

    packed_by = _WRITERS

    def __init__(self, url: str, known: Container[str]) -> None:
        from obstore.store import S3Store  # type: ignore[import-untyped,import-not-found,unused-ignore] # noqa: PLC0415 - optional

        self._known = known
        self._store = S3Store(
            url.removeprefix("s3://"),
            endpoint=os.environ["FLOOR_ENDPOINT"],
            region=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
            access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def put(self, key: str, body: bytes | bytearray) -> None:
        """One request."""
        self._store.put(key, bytes(body), use_multipart=False)

    def copy(self, path: str) -> str:
        """Hash, then send in parts."""
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - strings throughout
            digest = hashlib.file_digest(file, "sha256", _bufsize=CHUNK).hexdigest()
        if digest not in self._known:
            with open(path, "rb") as file:  # noqa: PTH123 - strings throughout
                key = f"objects/{digest[:2]}/{digest[2:]}"
                self._store.put(key, file, use_multipart=True, chunk_size=_PART, max_concurrency=_PARTS)
        return digest

    def read(self, key: str, offset: int, size: int) -> Iterator[bytes]:
        """Ranged reads of a part each, one after the other."""
        for start in range(offset, offset + size, _PART):
            yield bytes(self._store.get_range(key, start=start, length=min(_PART, offset + size - start)))

    def objects(self) -> Iterator[tuple[str, int]]:
        """List objects and packs."""
        for prefix in ("objects/", "packs/"):
            for page in self._store.list(prefix):
                for facts in page:
                    yield str(facts["path"]), int(facts["size"])

    def finish(self, manifest: bytes) -> None:
        """Store the manifest: what was acknowledged is as durable as the server makes it."""
        self.put(f"manifests/{time.time_ns()}.json", manifest)
