"""The journal of this machine: one SQLite file. What is written is durable on return."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from sealrun.domain.address import AttemptId, Digest
from sealrun.domain.registry.publication import Hint, Stored
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports.folders import FileFacts

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
        """Which of `sizes` some hinted content has: there is no place of any of another size.

        To copy files of those while they are hashed is not wasted.
        """
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

    def queued_of(self, sealed: Collection[int]) -> Collection[int]:
        """Those of some sealed runs that a registry has yet to get, also while it gets them."""
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
