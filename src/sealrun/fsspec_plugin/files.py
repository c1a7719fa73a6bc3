"""One file of a run, as fsspec's users expect it."""

# ruff: noqa: ANN401 - fsspec ships no types

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sealrun.domain.runs.manifest import Entry
from sealrun.services.access.opened import Fetch, OpenFile


class RunFile(OpenFile):
    """A file that knows its file system, and is open at the same place when it comes out of a pickle."""

    def __init__(
        self, fs: Any, path: str, entry: Entry, fetch: Fetch, damaged: Callable[[], Exception], window: int | None
    ) -> None:
        """Read `path` of `fs`."""
        super().__init__(path, entry.size, entry.sha256, fetch, damaged, window)
        self.fs = fs
        self.path = self.full_name = path

    @property
    def details(self) -> dict[str, object]:
        """What `info` of the file system says."""
        described: dict[str, object] = self.fs.info(self.path)
        return described

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the same file at the same place in another process."""
        return _reopened, (self.fs, self.path, self.tell())


def _reopened(fs: Any, path: str, at: int) -> Any:
    file = fs.open(path, "rb")
    file.seek(at)
    return file
