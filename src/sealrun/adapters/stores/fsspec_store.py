"""Any other file system that fsspec knows, as a store: Azure, Google Cloud, SFTP, ..."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from sealrun.adapters.stores.fsspec_facts import (
    PRIVATE,
    has_exclusive_create,
    is_flat,
    modified_of,
    renames,
    translated,
)
from sealrun.adapters.stores.fsspec_reading import copy_checked
from sealrun.adapters.stores.ranges import READ_AHEAD, Ranges
from sealrun.domain.address import Key, is_discardable
from sealrun.domain.errors import (
    NotFoundError,
    UnavailableError,
    UsageError,
)
from sealrun.domain.pieces import Body
from sealrun.ports import Capabilities, Creation, ObjectStat, Source

_CHUNK = 4 << 20
_REFUSED = {"", ".", ".."}


class FsspecStore:
    """`ports.Store` on an fsspec file system, which must not be shared with anybody who relies on its caches.

    Write-once only where the backend really creates exclusively. Elsewhere `create` looks first and then writes:
    `capabilities.write_once` is False, and the store is fit for a single writer only. Where names are folders a
    file is written under a private name and then renamed; where they are keys an upload becomes visible whole.
    """

    def __init__(self, fs: Any, root: str, url: str, *, parallel: int = 8) -> None:  # noqa: ANN401 - fsspec has no types
        """Use `fs` below `root`; `url` is shown to people."""
        self._fs = fs
        self._root = root.rstrip("/")
        self._url = url
        self._parallel = parallel
        self._flat = is_flat(fs)
        self._seen = False
        self._exclusive = has_exclusive_create(fs)
        listings = getattr(fs, "dircache", None)
        if listings is not None:
            listings.use_listings_cache = False

    @property
    def url(self) -> str:
        """Where it is; see the port."""
        return self._url

    @property
    def capabilities(self) -> Capabilities:
        """What it claims; see the port."""
        return Capabilities(write_once=self._exclusive, verifies_uploads=False, links=False, parallel=self._parallel)

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key`; see the port, and the class for when this is exclusive."""
        body = bytes(body)
        path = self._place(key)
        with self._translated(key, "created", ambiguous=True):
            if self._exclusive:
                try:
                    self._fs.pipe_file(path, body, mode="create")
                except FileExistsError:
                    return Creation.EXISTS
                return Creation.CREATED
            if self.stat(key) is not None:
                return Creation.EXISTS
            self._write(path, body)
            return Creation.CREATED

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store many files and read each one back; see the port."""

        def one(key: Key, source: Source) -> None:
            self._upload(key, source)
            if on_stored is not None:
                on_stored(key, source.size)

        running: deque[Future[None]] = deque()
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="store") as pool:
            try:
                for key, source in items:
                    running.append(pool.submit(one, key, source))
                    if len(running) > 2 * self._parallel:
                        running.popleft().result()
                while running:
                    running.popleft().result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _upload(self, key: Key, source: Source) -> None:
        path = self._place(key)
        with tempfile.NamedTemporaryFile() as spool:
            copy_checked(key, source, spool)
            with self._translated(key, "stored"):
                self._send(path, spool.name, source.size)
        with self.open(key) as stored:
            back = hashlib.file_digest(stored, "sha256").hexdigest()  # type: ignore[arg-type] # a BinaryIO reads so
        if back != source.digest:
            with self._translated(key, "removed"):
                self._fs.rm_file(path)
            raise UnavailableError(f"{self._url}: {key} reads back with other bytes than were sent; it was removed")

    def _send(self, path: str, spool: str, size: int) -> None:
        if self._flat and size > _CHUNK:
            self._fs.put_file(spool, path)
            return
        with Path(spool).open("rb") as file:
            self._write(path, file)

    def put(self, key: Key, body: bytes) -> None:
        """Write an owned record; see the port."""
        with self._translated(key, "written"):
            self._write(self._place(key), body)

    def replace(self, key: Key, body: Body) -> None:
        """Write a projection; see the port."""
        self.put(key, bytes(body))

    def copy(self, source: Key, target: Key) -> None:
        """Copy inside the store; see the port."""
        origin, final = self._place(source), self._place(target)
        if self.stat(source) is None:
            raise NotFoundError(f"{self._url}: there is no {source}")
        with self._translated(target, "copied"):
            if self._flat:
                self._fs.cp_file(origin, final)
                return
            temporary = self._temporary()
            self._fs.cp_file(origin, temporary)
            self._name(temporary, final)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes; see the port."""
        if not offset and length is None:
            with self._translated(key, "read"):
                return bytes(self._fs.cat_file(self._place(key)))
        with self.open(key) as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking; see the port."""
        found = self.stat(key)
        if found is None:
            raise NotFoundError(f"{self._url}: there is no {key}")

        def read_range(start: int, length: int) -> bytes:
            with self._translated(key, "read"):
                return bytes(self._fs.cat_file(self._place(key), start=start, end=start + length))

        return io.BufferedReader(Ranges(f"{self._url}: {key}", found.size, read_range), READ_AHEAD)

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`; see the port."""
        path = self._place(key)
        try:
            with self._translated(key, "looked at"):
                self._fs.invalidate_cache()
                found = self._fs.info(path)
                if found["type"] != "file":
                    return None
                return ObjectStat(key, int(found["size"]), modified_of(self._fs, found, self._url))
        except NotFoundError:
            self._confirm_root()
            return None

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key below `prefix`; see the port."""
        if limit is not None and limit <= 0:
            return
        levels = [self._below(prefix)]
        count = 0
        while levels:
            found = next(levels[-1], None)
            if found is None:
                levels.pop()
            elif isinstance(found, str):
                levels.append(self._below(found))
            else:
                yield found
                count += 1
                if count == limit:
                    return

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Folders directly below `prefix` with a file somewhere; see the port."""
        names: set[str] = set()
        if self._flat:
            names = {tail.split("/", 1)[0] for one in self.list(prefix) if "/" in (tail := one.key[len(prefix) :])}
        else:
            folders = [one for one in self._below(prefix) if isinstance(one, str)]
            names = {one[len(prefix) : -1] for one in folders if next(self.list(one, limit=1), None) is not None}
        return iter(sorted(names))

    def discard(self, key: Key) -> None:
        """Delete what a publisher may delete; see the port."""
        if not is_discardable(key):
            raise UsageError(f"{self._url}: {key} is not for a publisher to delete")
        self.remove(key)

    def remove(self, key: Key) -> None:
        """Delete any key. For the remover: it is not part of the port."""
        with contextlib.suppress(NotFoundError), self._translated(key, "deleted"):
            self._fs.rm_file(self._place(key))

    def stage(self) -> None:
        """Bytes cannot wait without a name here."""
        return

    def close(self) -> None:
        """Nothing that has to be released by hand."""

    def _below(self, prefix: str) -> Iterator[ObjectStat | str]:
        """Return what lies below `prefix` in the order of keys: all files where names are flat, else one level."""
        path = f"{self._root}/{prefix}".rstrip("/") if not prefix else self._place(Key(prefix.removesuffix("/")))
        if prefix and not prefix.endswith("/"):
            raise UsageError(f"{self._url}: a prefix ends in '/': {prefix!r}")
        try:
            with self._translated(prefix, "listed"):
                self._fs.invalidate_cache()
                found = (
                    list(self._fs.find(path, detail=True).values()) if self._flat else self._fs.ls(path, detail=True)
                )
        except NotFoundError:
            self._confirm_root()
            return iter(())
        by_key: dict[str, ObjectStat | str] = {}
        for info in found:
            key = self._key(str(info["name"]))
            if not key.startswith(prefix) or key.split("/", 1)[0] == PRIVATE:
                continue
            if info["type"] == "directory":
                by_key[f"{key}/"] = f"{key}/"
            elif not key.endswith("/"):
                by_key[key] = ObjectStat(Key(key), int(info["size"]), modified_of(self._fs, info, self._url))
        return (by_key[key] for key in sorted(by_key))

    def _confirm_root(self) -> None:
        """Raise `UnavailableError` if it is not a key that is missing, but the bucket or the root seen before."""
        root = self._root.split("/", 1)[0] if self._flat else self._root
        try:
            with self._translated("the root", "looked at"):
                self._fs.info(root)
            self._seen = True
        except NotFoundError as error:
            if self._flat or self._seen:
                raise UnavailableError(f"{self._url}: is not there; was it deleted, or is it not mounted?") from error

    def _key(self, name: str) -> str:
        return name.rstrip("/").removeprefix(self._root).lstrip("/")

    def _place(self, key: Key) -> str:
        parts = key.split("/")
        if parts[0] == PRIVATE or "\0" in key or not _REFUSED.isdisjoint(parts):
            raise UsageError(f"{self._url}: not a key: {key!r}")
        return f"{self._root}/{key}"

    def _temporary(self) -> str:
        folder = f"{self._root}/{PRIVATE}/waiting"
        self._fs.makedirs(folder, exist_ok=True)
        return f"{folder}/{uuid.uuid4().hex}"

    def _write(self, path: str, body: bytes | BinaryIO) -> None:
        """Make `path` have `body`, visible whole or not at all."""
        if self._flat:
            self._fs.pipe_file(path, body if isinstance(body, bytes) else body.read())
            return
        temporary = self._temporary()
        try:
            with self._fs.open(temporary, "wb") as file:
                for chunk in (body,) if isinstance(body, bytes) else iter(lambda: body.read(_CHUNK), b""):
                    file.write(chunk)
            self._name(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self._fs.rm_file(temporary)
            raise

    def _name(self, temporary: str, path: str) -> None:
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if renames(self._fs):
            self._fs.mv(temporary, path)
        else:
            self._fs.cp_file(temporary, path)
            self._fs.rm_file(temporary)

    def _translated(self, key: str, verb: str, *, ambiguous: bool = False) -> contextlib.AbstractContextManager[None]:
        return translated(f"{self._url}: {key} cannot be {verb}", ambiguous=ambiguous)
