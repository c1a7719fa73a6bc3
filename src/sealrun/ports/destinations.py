"""Places on this machine where runs are restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from sealrun.domain.runs.manifest import Entry


class Destination(Protocol):
    """A place on this machine where a run is restored: complete or not there."""

    @property
    def resumed(self) -> bool:
        """Tell whether an interrupted attempt at the same run left something here: then ask `has`."""
        ...

    def has(self, path: str, entry: Entry) -> bool:
        """Tell whether the file with the bytes and the executable bit of `entry` is there; reads it to find out."""
        ...

    def begun(self, path: str, step: int, most: int) -> Iterator[bytes | memoryview] | None:
        """Return what an interrupted attempt left of a file, cut to a multiple of `step` and at most `most` bytes.

        The next `write` of `path` is given what follows. None: nothing was left. Callable from many threads.
        """
        ...

    def write(self, path: str, chunks: Iterable[bytes | memoryview], *, executable: bool) -> None:
        """Write one file below the destination, creating folders. Callable from many threads. `path` was checked."""
        ...

    def share(self, path: str, origin: str, *, executable: bool) -> bool:
        """Make one file from the file `origin` without copying its bytes; False where that cannot be: then `write`.

        Either may be written to later without changing the other, or nobody has the right to write to them. Callable
        from many threads.
        """
        ...

    def folder(self, path: str) -> None:
        """Create an empty folder."""
        ...

    def link(self, path: str, target: str) -> None:
        """Create a symbolic link that stays inside; called after every file is written."""
        ...

    def commit(self) -> None:
        """Make everything visible under the final name at once. `UsageError` if something has appeared there."""
        ...

    def abandon(self) -> None:
        """Remove what was written. Harmless after `commit`."""
        ...

    def suspend(self) -> None:
        """Leave what was written to a later attempt, where one can go on with it; else remove it."""
        ...
