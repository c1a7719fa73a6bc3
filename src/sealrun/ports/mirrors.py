"""Mirrors: plain copies of runs at natural paths."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from sealrun.domain.runs.manifest import Entry
from sealrun.domain.upkeep.mirroring import MirroredRun, MirrorRecord


class MirrorIncoming(Protocol):
    """One run on its way into a mirror. What a crash leaves of it is gone on with."""

    @property
    def resumed(self) -> bool:
        """Whether an earlier attempt may have left something."""
        ...

    def has(self, entry: Entry) -> bool:
        """Tell whether a file with these bytes is there already, from an earlier attempt; reads it to find out."""
        ...

    def write(self, path: str, chunks: Iterable[bytes | memoryview], *, executable: bool) -> None:
        """Write one file. Callable from many threads."""
        ...

    def folder(self, path: str) -> None:
        """Create an empty folder."""
        ...

    def link(self, path: str, target: str) -> None:
        """Create a symbolic link that stays inside."""
        ...

    def commit(self, names: Callable[[], Collection[str]]) -> None:
        """Make the run visible under its name, at once: complete, durable, and holding nothing but `names`.

        They are asked for only where an earlier attempt may have left others. `ConflictError` if something has appeared
        there; it is not touched.
        """
        ...


class MirrorPlace(Protocol):
    """The folder of one mirror. It touches nothing but what it made itself.

    Errors: `UnavailableError` (the disk is not there, or holds no mirror any more), `ConfigurationError` (another one
    is where one was), `NoSpaceError` (full, or not writable).
    """

    def find(self, registry_id: str) -> MirrorRecord | None:
        """Return whose mirror is there, or None where there is none yet; the errors above. Writes nothing."""
        ...

    def enter(self, registry_id: str, *, take_over: bool = False) -> MirrorRecord:
        """Make it the mirror of that registry if it is none yet, and finish what a crash left undone.

        `take_over`: fill from now on a mirror that another state folder filled.
        """
        ...

    def held(self) -> Sequence[MirroredRun]:
        """Runs that the mirror made and that are there."""
        ...

    def foreign(self, names: Iterable[tuple[str, str]]) -> Collection[tuple[str, str]]:
        """Which of these places (experiment, run id) are taken by something that the mirror did not make."""
        ...

    def receive(self, run: MirroredRun) -> MirrorIncoming:
        """Begin, or go on with, copying a run."""
        ...

    def discard_incoming(self, but: Collection[tuple[str, str]]) -> None:
        """Drop what had begun to arrive, other than the runs named."""
        ...

    def remove(self, run: MirroredRun) -> None:
        """Delete a run: first it is out of sight, at once, then it goes. Harmless when it is gone."""
        ...

    def close(self) -> None:
        """Let go of the disk. Harmless twice."""
        ...
