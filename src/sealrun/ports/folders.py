"""Folders on this machine: watched, scanned, hashed, sealed, reclaimed, restored to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.registry.packing import Members
from sealrun.domain.runs.manifest import Entry, Link
from sealrun.domain.runs.recorder import Recorder
from sealrun.ports.stores import Source, Stage


class FileFacts(msgspec.Struct, frozen=True, gc=False):
    """What identifies an unchanged file: same facts, same bytes. Times in nanoseconds."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    executable: bool


class Tree(msgspec.Struct, frozen=True):
    """A scan of a folder: files by path and in order of their paths, empty folders, inner links."""

    files: Mapping[str, FileFacts]
    directories: tuple[str, ...]
    links: tuple[Link, ...]


class Survey(msgspec.Struct, frozen=True):
    """A look at a folder that may not be fit to be sealed: `problem` is what `RunFolder.scan` would reject it for."""

    tree: Tree
    problem: str | None


class RunFolder(Protocol):
    """The files of one run on this machine, as the watch's patterns show them. Never written to.

    `path` is absolute; for a file unit it is the file and the run's only entry is its name.
    """

    path: str
    name: str
    unit: Literal["folder", "file"]

    def scan(self) -> Tree:
        """List everything; links are not followed. `RunRejectedError` names the first thing no run may hold."""
        ...

    def survey(self) -> Survey:
        """List everything like `scan`, but tell what is wrong instead of raising it. `RunChangedError`: it is gone."""
        ...

    def hash(self, tree: Tree, copying: Copying | None = None) -> Hashed:
        """Digest every file of `tree` with a pool of workers, from the hash cache where the facts are unchanged.

        What `copying` says is copied while it is hashed. stat → hash → stat: `RunChangedError` on any difference,
        `RunRejectedError` for an unreadable file. Bounded memory.
        """
        ...

    def source(self, entry: Entry, facts: FileFacts | None = None) -> Source:
        """Return the bytes of `entry`; opening checks `facts` where given, and that no link leads there."""
        ...

    def read_small(self, path: str, limit: int) -> bytes | None:
        """Return a file of at most `limit` bytes for markers and producers' records; None if absent or larger."""
        ...

    def read_part(self, path: str, offset: int, length: int) -> bytes | None:
        """Return at most `length` bytes from `offset` on, fewer at the file's end; None if it is absent."""
        ...


class FolderSeals(Protocol):
    """Writes seals into runs' own folders, for watches that ask for it. The only writer in a watched folder."""

    def write(self, run: str, body: bytes, mtime_ns: int) -> None:
        """Put ``MANIFEST.sha256`` with `body` into the folder `run`, whole or not at all, in place of what is there.

        It is dated `mtime_ns`: sealing does not make a run newer.

        On return it is durable, and so is every byte that was in the folder before. Leaves nothing else there, whatever
        happens; a crash may leave a file in ``.sealrun/tmp``. `AccessDeniedError`: not writable. `UnavailableError`:
        not now. `RunChangedError`: the folder is gone.
        """
        ...


class Ahead(Protocol):
    """Hears what was digested while other files are still read: it may be on its way to a registry before all is.

    Called from any thread; never waits, and never raises.
    """

    def pack(self, pack: StagedPack) -> None:
        """A pack is complete, and waits in the stage."""
        ...

    def file(self, path: str, facts: FileFacts, digest: Digest) -> None:
        """A file that is in no pack has this digest, and still looked like `facts` when that was known."""
        ...


class Copying(msgspec.Struct, frozen=True, kw_only=True):
    """What is copied to `stage` while a folder is hashed, so that its files are read once.

    Files for which `alone(path, facts)` wait there each by itself. `packs` are lists of files, by their positions in
    the tree from the first on, and each becomes one pack, without the files whose bytes the registry has already:
    `known` says of which digests, given with their sizes, it has; some files are asked about at a time. A file belongs
    to one pack at most, and is not asked about alone. Without a `stage` nothing is copied, and there are no `packs`.
    What was digested anew is told `ahead`.
    """

    stage: Stage | None
    alone: Callable[[str, FileFacts], bool]
    packs: Sequence[Sequence[int]] = ()
    known: Callable[[Mapping[Digest, int]], Collection[Digest]] = lambda _sizes: ()
    ahead: Ahead | None = None


class StagedPack(msgspec.Struct, frozen=True):
    """A complete pack that waits in a stage, as a source that `put_many` of the same store takes."""

    source: Source
    members: Members


class Hashed(msgspec.Struct, frozen=True):
    """Result of hashing: entries in order of their paths, and what waits in the stage: sources by digest, and packs."""

    entries: Sequence[Entry]
    staged: Mapping[Digest, Source] = msgspec.field(default_factory=dict)
    packs: tuple[StagedPack, ...] = ()


class FolderSource(Protocol):
    """The root of one watch: where its candidates are found."""

    unreadable: Sequence[str]
    """Folders between the root and the candidates that may not be listed, as far as the last listing saw."""

    def candidates(self) -> Sequence[str] | None:
        """Absolute paths of the candidates, sorted; None if the root cannot be listed (it is gone or not mounted).

        Hidden names and symbolic links are no candidates. Names that are not UTF-8 are listed with surrogate escapes.
        The same object as before means that nothing came and nothing went.
        """
        ...

    def glance(self, paths: Sequence[str]) -> Sequence[int | None]:
        """Stand for how each candidate's own entry looks: the same number, and nothing changed that shows there.

        Much cheaper than a survey: reads neither a listing nor a file, so a change deeper down does not show. None
        where it cannot be told, or not yet: then the candidate has to be looked at. Numbers hold for this process.
        """
        ...

    def open(self, path: str) -> RunFolder:
        """Return a candidate's files as the watch's patterns and the ignore files show them, read now."""
        ...


class Watcher(Protocol):
    """Turns file system events into hints. Losing every event only costs time: the rescan is the truth."""

    def watch(self, root: str, on_change: Callable[[str | None], None]) -> None:
        """Report paths that changed below `root`, or None for "rescan". `on_change` may run in any thread."""
        ...

    def follow(self, folder: str) -> None:
        """Also report what happens deep inside an unsettled run folder. Harmless twice."""
        ...

    def unfollow(self, folder: str) -> None:
        """Stop following a folder that settled or went away."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Say how each root is watched: ``inotify``, ``polling`` or ``rescan`` and why."""
        ...

    def close(self) -> None:
        """Stop. Harmless twice."""
        ...


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A run folder, or the file of a file unit, that stands under a hidden name beside its own.

    `path` is its own name, `hidden` the present one. `begun`: every check was passed and files may be missing already.
    """

    path: str
    hidden: str
    begun: bool


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run folder holds, whatever the watch's patterns say: every file was read just now.

    `entries` are sorted and named as in the seal, also those of a file unit that stands under a hidden name. `facts`
    and `markers` are of the files as they were read; a marker tells sealrun something and is never content.
    """

    entries: tuple[Entry, ...]
    links: tuple[Link, ...]
    directories: tuple[str, ...]
    facts: Mapping[str, FileFacts]
    markers: Mapping[str, FileFacts]


class SourceRemover(Protocol):
    """The right to delete run folders below watch roots. Only reclaiming gets one.

    Nothing is ever deleted under the name that the producer gave it. Errors: `RunChangedError` (it is gone, or not
    what it was), `RunRejectedError` (holds what no run may hold, or may not be read), `ConflictError` (a name is
    taken), `NoSpaceError` (the file system does not let us).
    """

    def real(self, path: str) -> str:
        """Return `path` without links on the way. Its last part is kept, which may be gone, or be set aside."""
        ...

    def look(self, path: str, unit: Literal["folder", "file"]) -> Tree:
        """List everything in a candidate, whatever the watch's patterns say."""
        ...

    def set_aside(self, path: str) -> SetAside:
        """Give a candidate its hidden name, at once and durably. A crash from here on leaves a leftover."""
        ...

    def put_back(self, aside: SetAside) -> None:
        """Give it its own name again, durably; `ConflictError` if that is taken by now: nothing is overwritten."""
        ...

    def leftovers(self, root: str, levels: int) -> Sequence[SetAside]:
        """Everything that stands aside among the candidates `levels` below `root`, sorted by path."""
        ...

    def contents(self, aside: SetAside, unit: Literal["folder", "file"]) -> Contents:
        """List everything in it and digest every byte anew, never from a cache."""
        ...

    def begin(self, aside: SetAside) -> SetAside:
        """Mark it, durably and by its name, as one whose deletion has begun: it is never put back from now on.

        `RunRejectedError` names a folder in it from which nothing may be deleted, before anything is.
        """
        ...

    def remove(self, aside: SetAside, contents: Contents) -> Sequence[str]:
        """Delete what `contents` lists and then the empty folders; return why something stayed, nothing if all is gone.

        Each file is compared with its facts just before it is unlinked, and no link is followed. What differs, and
        what `contents` does not list, stays.
        """
        ...


class OpenWriters(Protocol):
    """Knows who still has a run's files open, and who still lives."""

    def writers(self, path: str) -> Sequence[str]:
        """Names of processes that hold a file below `path` open for writing, as far as this machine lets us see."""
        ...

    def lives(self, recorder: Recorder) -> bool | None:
        """Whether that very process lives; None if it is not of this system, or cannot be told."""
        ...
