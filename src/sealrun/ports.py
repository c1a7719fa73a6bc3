"""Every port and its contract, on one page. Services call these; adapters keep the promises written here.

Errors: adapters translate every foreign exception into `sealrun.domain.errors`; nothing else escapes. Retries live
above the ports, in one layer: an adapter retries nothing on `Store.create`, since only the layer above can tell a
lost answer from a lost race (by the nonce in the record).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import Enum
from typing import Any, BinaryIO, Literal, Protocol

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key
from sealrun.domain.manifest import Entry, Link
from sealrun.domain.metering import Labels, Metric
from sealrun.domain.mirroring import MirroredRun, MirrorRecord
from sealrun.domain.packing import Member
from sealrun.domain.pieces import Body
from sealrun.domain.publication import Hint, Stored
from sealrun.domain.recorder import Recorder
from sealrun.domain.sealed import Published, SealedRun
from sealrun.domain.signing import Checked

# ---------------------------------------------------------------- stores


class Creation(Enum):
    """Answer of a write-once creation that was understood."""

    CREATED = "these bytes are there, durably, because of this call"
    EXISTS = "something was there before; it may be our own earlier write whose answer was lost"


class ObjectStat(msgspec.Struct, frozen=True, gc=False):
    """What a store says of a key. `modified` is POSIX seconds by the store's own clock."""

    key: Key
    size: int
    modified: float


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a store claims; the probe tests the claims before anything is trusted to them.

    `write_once`: `create` is exclusive among any number of writers. `verifies_uploads`: the store itself refuses
    bytes that do not match their checksum. `links`: `copy` costs no bytes, so run folders are projected.
    `parallel`: how many uploads or small requests are worth having in flight.
    """

    write_once: bool
    verifies_uploads: bool
    links: bool
    parallel: int


class Source(Protocol):
    """Bytes to be stored whose digest is known."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    @property
    def digest(self) -> Digest:
        """sha256 of the bytes."""
        ...

    def open(self) -> BinaryIO:
        """Open for one sequential read. `RunChangedError` if it is no longer the file that was hashed."""
        ...


class Incoming(Protocol):
    """Bytes on their way into a stage."""

    def write(self, chunk: bytes | memoryview) -> None:
        """Append."""
        ...

    def keep(self, digest: Digest) -> Source:
        """Close and keep the bytes, whose digest is now known, as a source that `put_many` of the same store takes."""
        ...

    def drop(self) -> None:
        """Discard. Harmless after `keep` or twice."""
        ...


class Stage(Protocol):
    """A private room inside a store where bytes wait without a name until their digest is known.

    Lets a run be read once: hashed while it is copied. Closing discards what no `put_many` took. A crash leaves
    files that the next opening of the store removes.
    """

    def receive(self) -> Incoming:
        """Begin receiving one file. Callable from many threads."""
        ...

    def close(self) -> None:
        """Discard everything that was not taken. Harmless twice."""
        ...


class Store(Protocol):
    """A storage root. What a publisher or a reader gets: it cannot delete anything that matters.

    Safe to use from many threads. Every method may raise `UnavailableError`, `AccessDeniedError` or
    `NoSpaceError`. Keys are well-formed (`sealrun.domain.address`); any UTF-8 may occur below ``artifacts/``.
    """

    @property
    def url(self) -> str:
        """Where it is, without secrets: fit for logs and messages."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the store claims."""
        ...

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key` with `body`, exclusively. Durable and visible to everybody, listings included, on CREATED.

        Of any number of callers one gets CREATED. No reader ever sees a part. Anything ambiguous (time-out,
        dropped connection, server error) raises `OutcomeUnknownError`; the call may be repeated with the same body.
        """
        ...

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store bytes under keys that only the caller's attempt owns. All are durable and visible on return.

        `items` is consumed lazily, a bounded number at a time. The bytes stored are checked against
        `Source.digest` on the way: `RunChangedError` if they differ. On any error some items may be stored, none
        partially, and no upload is left running. Repeating is harmless. `on_stored(key, size)` comes from any thread.
        """
        ...

    def put(self, key: Key, body: bytes) -> None:
        """Write a small record that only the caller's attempt owns, over its own earlier version. Durable on return."""
        ...

    def replace(self, key: Key, body: bytes) -> None:
        """Write a projection, over whatever is there. Atomic for readers; the last writer wins. Not durable."""
        ...

    def copy(self, source: Key, target: Key) -> None:
        """Make the projection `target` have the bytes of `source`, over whatever is there; by link where possible.

        `NotFoundError` if there is no source. Not durable.
        """
        ...

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of `key`: the current ones, never cached. `NotFoundError` if there are none."""
        ...

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking with bounded memory. `NotFoundError`."""
        ...

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`, never from a cache; None only when the store said that there is no such key."""
        ...

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key that begins with `prefix` (which ends in ``/`` or is empty), in UTF-8 byte order; all pages.

        Includes everything whose creation was acknowledged before the call. `limit` stops after that many keys.
        An incomplete answer raises; it is never passed off as complete.
        """
        ...

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Names, without the prefix, of the folders directly below `prefix` (ends in ``/`` or is empty), sorted."""
        ...

    def discard(self, key: Key) -> None:
        """Delete an intent, a pending row or a probe's key (`address.is_discardable`); anything else is `UsageError`.

        Harmless when it is already gone.
        """
        ...

    def stage(self) -> Stage | None:
        """Open a stage, or None where bytes cannot wait without a name."""
        ...

    def close(self) -> None:
        """Release connections and threads. Harmless twice."""
        ...


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that was begun and never completed; it takes room without being visible.

    `started` is POSIX seconds by the store's own clock; `token` is the store's own name for it.
    """

    key: Key
    token: str
    started: float


class Remover(Protocol):
    """The right to delete for good. Only a collector gets one."""

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """Delete `keys`; return the reason for each one that is not certainly gone. Absent keys count as gone."""
        ...

    def unfinished(self) -> Iterator[Unfinished]:
        """Every upload that is not completed, live ones included; nothing where the store has no such thing."""
        ...

    def abort(self, upload: Unfinished) -> None:
        """End an upload and free its room. Harmless when it is gone or complete already."""
        ...


class FileCache(Protocol):
    """Whole files that were verified, kept on this machine by their content. Shared by processes; nothing here fails.

    What is kept may go at any time. Safe to use from many threads.
    """

    def find(self, digest: Digest, size: int, offset: int, length: int) -> bytes | None:
        """Return a range inside a kept file of `size` bytes, or None: then ask the store.

        A file that is read as a whole is verified again by whoever reads it.
        """
        ...

    def keep(self, digest: Digest, body: bytes) -> None:
        """Keep a file, if it is worth it and there is room; repeating is harmless."""
        ...


# ---------------------------------------------------------------- folders


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


class Copying(msgspec.Struct, frozen=True, kw_only=True):
    """What is copied to `stage` while a folder is hashed, so that its files are read once.

    Files for which `alone(path, facts)` wait there each by itself. `packs` are lists of files, by their positions in
    the tree from the first on, and each becomes one pack, without the files whose bytes the registry `knows` already.
    A file belongs to one of them at most, and is not asked about alone.
    """

    stage: Stage
    alone: Callable[[str, FileFacts], bool]
    packs: Sequence[Sequence[int]] = ()
    knows: Callable[[Digest, int], bool] = lambda _digest, _size: False


class StagedPack(msgspec.Struct, frozen=True):
    """A complete pack that waits in a stage, as a source that `put_many` of the same store takes."""

    source: Source
    members: Sequence[Member]


class Hashed(msgspec.Struct, frozen=True):
    """Result of hashing: entries in order of their paths, and what waits in the stage: sources by digest, and packs."""

    entries: Sequence[Entry]
    staged: Mapping[Digest, Source] = msgspec.field(default_factory=dict)
    packs: tuple[StagedPack, ...] = ()


class FolderSource(Protocol):
    """The root of one watch: where its candidates are found."""

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
        """Mark it, durably and by its name, as one whose deletion has begun: it is never put back from now on."""
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


# ---------------------------------------------------------------- the journal (one SQLite file; durable on return)
# Of hashes, hints, events, claims and `settling` records, a power cut may take the last ones.


class HashCache(Protocol):
    """Digests of files whose facts were seen before. Losing it costs re-hashing."""

    def known(self, folder: str) -> Iterable[tuple[str, FileFacts, Digest]]:
        """Everything cached for a folder, by the paths inside it and in their order."""
        ...

    def remember(self, folder: str, digests: Iterable[tuple[str, FileFacts, Digest]]) -> None:
        """Replace what is cached for `folder` by `digests`, which come in order of their paths, in one transaction."""
        ...


class Hints(Protocol):
    """Where digests were once stored, per registry id. A hint proves nothing: the reuse rule checks it."""

    def places_of(self, registry_id: str, digests: Iterable[Digest]) -> Mapping[Digest, Hint]:
        """The most recent place of each digest that has one."""
        ...

    def sizes_known(self, registry_id: str, sizes: Iterable[int]) -> Collection[int]:
        """Which of `sizes` some hinted object has: to copy files of the others while they are hashed is not wasted."""
        ...

    def learn(self, registry_id: str, places: Mapping[Digest, Stored], sealed_by: AttemptId | None) -> None:
        """Remember where the attempt `sealed_by` sealed a run with these bytes, in one transaction."""
        ...

    def forget(self, registry_id: str, digests: Iterable[Digest]) -> None:
        """Drop hints that turned out to be wrong."""
        ...


FolderState = Literal["settling", "sealed", "rejected", "stale", "skipped", "gone", "reclaimed"]


class FolderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal knows of one candidate of one watch. Times are POSIX seconds.

    `fingerprint` is that of the snapshot which was sealed or rejected: while it is unchanged, nothing is done.
    `manifest_sha256` and `run_id` are those of the last seal.
    """

    watch: str
    path: str
    state: FolderState
    reason: str
    since: float
    fingerprint: str = ""
    run_id: str | None = None
    manifest_sha256: str | None = None
    sealed: int | None = None


class Folders(Protocol):
    """Intake's memory."""

    def get(self, watch: str, path: str) -> FolderRecord | None:
        """What is known of a candidate."""
        ...

    def set(self, record: FolderRecord) -> None:
        """Remember; replaces what was known."""
        ...

    def all(self, watch: str | None = None) -> Sequence[FolderRecord]:
        """Everything known, by watch and path."""
        ...

    def counts(self, watch: str) -> Mapping[str, int]:
        """How many candidates of a watch are in which state; no record is read."""
        ...

    def page(
        self, watch: str, states: Collection[FolderState], offset: int = 0, limit: int | None = None
    ) -> Sequence[FolderRecord]:
        """Candidates of a watch in one of these states, the newest first; reads no others."""
        ...


DeliveryState = Literal["queued", "published", "parked"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One sealed run on its way to one registry (by its name in the settings).

    `attempt` and its nonce are durable before the attempt writes anything, so a restart resumes it. `parked` waits
    for an operator: `error` says what for. `published_at` is POSIX seconds.
    """

    id: int
    sealed: int
    registry: str
    state: DeliveryState
    tries: int
    due: float
    error: str | None = None
    attempt: AttemptId | None = None
    nonce: str | None = None
    attempt_created_at: str | None = None
    published: Published | None = None
    published_at: float | None = None


class QueueCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries of a registry are in a state, and of what waits how many bytes its runs have.

    Runs that were accepted before their size was noted count no bytes.
    """

    registry: str
    state: DeliveryState
    count: int
    size: int = 0


class Deliveries(Protocol):
    """The delivery queue: at least once, in order of due time, one line per registry."""

    def accept(self, run: SealedRun, registries: Sequence[str], folder: FolderRecord | None = None) -> int:
        """Store a sealed run, one queued delivery per registry and the folder's new record, in one transaction.

        Returns the id of the sealed run; `folder` is stored with that id. Accepting bytes that are already there
        (same folder, run.json and manifest) adds only the missing deliveries.
        """
        ...

    def run(self, sealed: int) -> SealedRun:
        """The sealed run with that id."""
        ...

    def claim(self, registry: str, now: float, sealed: int | None = None) -> Delivery | None:
        """Take the next due delivery (of one run, if given) for this process; None if there is none.

        A claim ends with `finish`, `postpone` or `park`, or with the process: a dead process's claims are free.
        """
        ...

    def begin(self, delivery: int, attempt: AttemptId, nonce: str, created_at: str) -> None:
        """Make an attempt's identity durable before it writes anything."""
        ...

    def finish(self, delivery: int, published: Published) -> None:
        """The run is sealed there."""
        ...

    def postpone(self, delivery: int, due: float, error: str, *, new_attempt: bool = False) -> None:
        """Try again at `due`, and count the try; as a new attempt if the old one is void."""
        ...

    def park(self, delivery: int, error: str) -> None:
        """Give up until an operator or a change of settings releases it."""
        ...

    def release(self, registry: str | None = None) -> int:
        """Queue parked deliveries again and make postponed ones due, now; return how many."""
        ...

    def repeat(self, sealed: int, registries: Collection[str]) -> None:
        """Queue again, as new attempts, what was published: somebody asks whether the run is still there."""
        ...

    def all(self, *, registry: str | None = None, state: DeliveryState | None = None) -> Sequence[Delivery]:
        """Deliveries, newest first."""
        ...

    def counts(self) -> Sequence[QueueCount]:
        """What there is in every queue; of what is published no row is read."""
        ...

    def waiting(self, registry: str, offset: int = 0, limit: int = 100) -> Sequence[Delivery]:
        """Deliveries that are not published: queued ones by due time, then parked ones."""
        ...

    def last_error(self, registry: str) -> str | None:
        """What went wrong with the newest delivery that waits and has failed."""
        ...

    def of(self, sealed: int) -> Sequence[Delivery]:
        """The deliveries of one sealed run, by registry."""
        ...

    def next_due(self, registry: str) -> float | None:
        """When the next unclaimed delivery of a registry is due."""
        ...


class Events(Protocol):
    """What happened, for people: bounded, oldest dropped."""

    def record(self, kind: str, subject: str, /, **fields: object) -> None:
        """Append an event such as ``run.published`` about `subject`; `fields` are JSON values without secrets."""
        ...

    def recent(self, limit: int = 100, kind: str | None = None) -> Sequence[Mapping[str, Any]]:
        """Newest first: ``{"at", "kind", "subject", ...}``."""
        ...

    def after(self, number: int, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """Oldest first, those that were recorded after the event of that number: the same with their ``"id"``."""
        ...

    def newest(self) -> int:
        """Number of the newest event; 0 if there never was one. Numbers only grow."""
        ...


class Facts(Protocol):
    """Small durable facts by key: registry ids by URL, probe verdicts, timers' last runs."""

    def fact(self, key: str) -> object:
        """The JSON value under `key`, or None."""
        ...

    def set_fact(self, key: str, value: object) -> None:
        """Remember a JSON value."""
        ...

    def facts(self, prefix: str) -> Mapping[str, object]:
        """Every fact whose key begins with `prefix`, by key and in their order."""
        ...

    def drop_fact(self, key: str) -> None:
        """Forget a fact; harmless when there is none."""
        ...


class Moments(Protocol):
    """When things happened first or last, in POSIX seconds; what never happened is left out. Quick at any length."""

    def accepted(self, sealed: int) -> float | None:
        """When the sealed run with that id was accepted into the queue."""
        ...

    def oldest_queued(self) -> Mapping[str, float]:
        """By registry, when the oldest run was accepted of those that are queued for it."""
        ...

    def last_published(self) -> Mapping[str, float]:
        """By registry, when a run was last published there."""
        ...

    def last_sealed(self) -> Mapping[str, float]:
        """By watch, when a run was last sealed."""
        ...

    def size(self) -> int:
        """How many bytes the journal takes on its disk."""
        ...


class Journal(Protocol):
    """The rooms of the one file, and the path and identity of the state folder it lies in."""

    folder: str
    state_id: str
    hashes: HashCache
    hints: Hints
    folders: Folders
    deliveries: Deliveries
    events: Events
    facts: Facts

    def close(self) -> None:
        """Close the file. Harmless twice."""
        ...


# ---------------------------------------------------------------- the rest of the world


class Replica(Protocol):
    """A place that may hold the bytes of runs: another registry, a mirror, the folder that was dropped. Never trusted.

    What it gives is read and compared with the digest before it is used.
    """

    @property
    def name(self) -> str:
        """What it is called in plans and messages."""
        ...

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:
        """Return where the bytes of an entry should be, or None if it has none; storage errors as they are."""
        ...


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Entropy(Protocol):
    """The only source of randomness."""

    def hex(self, digits: int) -> str:
        """Return that many random hexadecimal digits."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between the two."""
        ...


class Progress(Protocol):
    """Somebody who watches long work."""

    def phase(self, name: str, total_bytes: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
        """Announce a phase; the callable advances it by bytes and may be called from any thread."""
        ...


class Meters(Protocol):
    """Counts what this process does, for whoever operates it. Nothing here fails, waits or is durable.

    A meter is taken once, with its labels by name, and then called as often as need be, from any thread: a call costs
    an addition. What has been taken once is shown, with 0, before it happens. Metrics are those of `domain.metering`.
    """

    def counter(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:
        """Return what adds an amount, which is not negative, to a counter."""
        ...

    def histogram(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:
        """Return what adds one value to a histogram."""
        ...

    def totals(self, metric: Metric, /) -> Mapping[Labels, float]:
        """Return a counter's values so far, by its labels' values in their order."""
        ...


class _NoMeters:
    def counter(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:  # noqa: ARG002 - the port's
        return _count_nothing

    def histogram(self, metric: Metric, /, **labels: str) -> Callable[[float], object]:  # noqa: ARG002 - the port's
        return _count_nothing

    def totals(self, metric: Metric, /) -> Mapping[Labels, float]:  # noqa: ARG002 - the port's
        return {}

    def __reduce__(self) -> str:
        return "UNMETERED"


def _count_nothing(_amount: float) -> None:
    return None


UNMETERED: Meters = _NoMeters()
"""Counts nothing: what everything is given that nobody measures."""


# ---------------------------------------------------------------- mirrors


class MirrorIncoming(Protocol):
    """One run on its way into a mirror. What a crash leaves of it is gone on with."""

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

    def commit(self, names: Collection[str]) -> None:
        """Make the run visible under its name, at once: complete, durable, and holding nothing but `names`.

        `ConflictError` if something has appeared there; it is not touched.
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


# ---------------------------------------------------------------- schemas


class SchemaLanguage(Protocol):
    """What understands JSON Schema 2020-12. `ConfigurationError` if what it needs is not installed."""

    def refuse_broken(self, schema: object, where: str) -> None:
        """Raise `UsageError` that names `where` if `schema` is none, or needs anything outside itself."""
        ...

    def checker(self, schema: object) -> Callable[[object], list[str]]:
        """Return what says of a decoded JSON value why it does not conform: the first few reasons, or nothing."""
        ...


# ---------------------------------------------------------------- signatures


class Signer(Protocol):
    """Somebody's key, ready to sign."""

    def sign(self, text: bytes) -> bytes:
        """Return an SSH signature over `text`, for the namespace of sealrun. `UsageError` if the key cannot be used."""
        ...


class SignatureChecker(Protocol):
    """Knows who may sign. May be asked from several threads."""

    def check(self, text: bytes, signature: bytes) -> Checked:
        """Tell who of them made `signature` over `text`, or why that can be said of nobody."""
        ...
