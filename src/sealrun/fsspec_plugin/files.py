"""One file of a run, as fsspec's users expect it."""

# ruff: noqa: ANN401 - fsspec ships no types

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sealrun.domain.runs.manifest import Entry
from sealrun.services.access.opened import Fetch, OpenFile

_BLOCK = 1 << 20


class RunFile(OpenFile):
    """A file that knows its file system, and is open at the same place when it comes out of a pickle.

    fsspec's own ``blockcache`` puts a `cache` of its own in here, which then fetches: blocks of `blocksize` bytes.
    """

    def __init__(
        self, fs: Any, path: str, entry: Entry, fetch: Fetch, damaged: Callable[[], Exception], window: int | None
    ) -> None:
        """Read `path` of `fs`."""
        super().__init__(path, entry.size, entry.sha256, self._from_cache, damaged, window)
        self.fs = fs
        self.cache: Any = None
        self.blocksize = window or _BLOCK
        self._fetch_new = fetch
        self.path = self.full_name = path

    @property
    def details(self) -> dict[str, object]:
        """What `info` of the file system says."""
        described: dict[str, object] = self.fs.info(self.path)
        return described

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return super().closed

    @closed.setter
    def closed(self, closed: bool) -> None:
        """Take the word of fsspec's cache, which says so once it has closed the file."""
        if closed:
            super().close()

    def _from_cache(self, offset: int, length: int) -> bytes:
        if self.cache is None:
            return self._fetch_new(offset, length)
        return bytes(self.cache._fetch(offset, offset + length))  # noqa: SLF001 - what fsspec's own files call

    def _fetch_range(self, start: int, end: int) -> bytes:
        """Return the bytes between two positions, for the cache."""
        return self._fetch_new(start, end - start)

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the same file at the same place in another process."""
        return _reopened, (self.fs, self.path, self.tell())


def _reopened(fs: Any, path: str, at: int) -> Any:
    file = fs.open(path, "rb")
    file.seek(at)
    return file
