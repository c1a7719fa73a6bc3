"""Registries of any size, written straight to a place instead of published: a publisher would take hours."""

from __future__ import annotations

import functools
import hashlib
import http.client
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from sealrun.domain.address import (
    REGISTRY,
    AttemptId,
    Digest,
    Key,
    RunId,
    artifact_key,
    attempt_id,
    base_log,
    generation_key,
    object_key,
    outcome_key,
    pointer_log,
    refs_key,
    retired_key,
    run_key,
    seal_key,
)
from sealrun.domain.indexing import Row
from sealrun.domain.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, Entry, Manifest
from sealrun.domain.pointing import LATEST, Generation, Target
from sealrun.domain.publication import Outcome, Refs, Retired, Seal, Stored
from sealrun.domain.run import Completion, Envelope
from sealrun.domain.sealed import SealedRun
from sealrun.services.opening import RegistryRecord

EXPERIMENT = "bench"
PER_RUN = 50
SHARED = 5
RETIRED, SPARE = 3, 8
"""Of ten runs, the fourth is retired, and the ninth is what a plain deletion takes."""
_START = datetime(2026, 1, 17, tzinfo=UTC)
_STAMP = "2026-01-17T00:00:00Z"
_OWNER = "0" * 32
_AT_ONCE = 500


class Place(Protocol):
    """Where a registry is written."""

    def write(self, key: str, body: bytes) -> None:
        """Write a key."""

    def link(self, source: str, target: str) -> None:
        """Give a key a second name, where the place has such."""


@dataclass(frozen=True)
class Made:
    """A run as it was written: the keys of its own objects, and the names of its files in the run folder."""

    own: tuple[Key, ...]
    links: tuple[Key, ...]
    row: Row
    number: int

    @property
    def retired(self) -> bool:
        """Was it retired?"""
        return self.number % 10 == RETIRED

    @property
    def spare(self) -> bool:
        """Is it one of as many others, which a plain deletion may take?"""
        return self.number % 10 == SPARE

    @property
    def lonely(self) -> tuple[Key, ...]:
        """Those of its objects that no later run uses."""
        return self.own[SHARED:]


class Directory:
    """A directory as a place. Nothing is made durable: syncfs does that for all of it."""

    def __init__(self, root: Path) -> None:
        """Write below `root`."""
        self._root = str(root)
        self._folder = functools.lru_cache(1 << 17)(functools.partial(os.makedirs, exist_ok=True))

    def write(self, key: str, body: bytes) -> None:
        """Write a read-only file, as the store does."""
        path = f"{self._root}/{key}"
        self._folder(path.rpartition("/")[0])
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o444)
        try:
            os.write(descriptor, body)
        finally:
            os.close(descriptor)

    def link(self, source: str, target: str) -> None:
        """Make a hard link."""
        path = f"{self._root}/{target}"
        self._folder(path.rpartition("/")[0])
        os.link(f"{self._root}/{source}", path)


class Bucket:
    """A bucket that anonymous clients may write to, as a place. One connection: give each thread its own."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        """Write to `bucket`."""
        self._connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
        self._bucket = bucket

    def write(self, key: str, body: bytes) -> None:
        """Put an object."""
        self._connection.request("PUT", f"/{self._bucket}/{quote(key)}", body)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            msg = f"{key}: {answer.status} {said[:200]!r}"
            raise OSError(msg)

    def link(self, source: str, target: str) -> None:
        """Nothing: buckets have no links."""


def fill(place: Place, objects: int) -> Iterator[Made]:
    """Write a registry of so many objects; yield every run, oldest first. Complete once all were taken."""
    place.write(REGISTRY, RegistryRecord(registry_id=_OWNER, created_at=_STAMP).encode())
    before: Made | None = None
    live: list[Row] = []
    for number in range(max(1, objects // PER_RUN)):
        made = _write_run(place, number, before)
        yield made
        before = made
        if not made.retired:
            live.append(made.row)
    _point(place, live[-1])
    place.write(generation_key(base_log(EXPERIMENT), 1, ".jsonl"), b"".join(row.line() for row in live))


def fill_bucket(endpoint: str, bucket: str, objects: int, threads: int = 8) -> Iterator[Made]:
    """Do the same in a bucket, `threads` at a time."""
    room = _Recorded()
    with ThreadPoolExecutor(threads) as pool:
        places = [Bucket(endpoint, bucket) for _ in range(threads)]

        def send() -> None:
            shares = [room.written[start::threads] for start in range(threads)]
            list(pool.map(_write_all, places, shares))
            room.written.clear()

        for made in fill(room, objects):
            yield made
            if len(room.written) >= _AT_ONCE:
                send()
        send()


class _Recorded:
    """A place that only notes what is to be written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []

    def write(self, key: str, body: bytes) -> None:
        self.written.append((key, body))

    def link(self, source: str, target: str) -> None:
        pass


def _write_all(place: Place, items: list[tuple[str, bytes]]) -> None:
    for key, body in items:
        place.write(key, body)


def _write_run(place: Place, number: int, before: Made | None) -> Made:
    """Write a run of `PER_RUN` new objects and some of the run before."""
    at = _START + timedelta(seconds=number)
    attempt = attempt_id(at.strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(b"%d" % number).hexdigest()[:16])
    bodies = [b"%d of run %d\n" % (i, number) for i in range(PER_RUN)]
    digests = [Digest(hashlib.sha256(body).hexdigest()) for body in bodies]
    own = tuple(object_key(digest, attempt) for digest in digests)
    for key, body in zip(own, bodies, strict=True):
        place.write(key, body)
    objects = {digest: Stored(key, len(body)) for digest, key, body in zip(digests, own, bodies, strict=True)}
    for key in before.own[:SHARED] if before else ():
        digest = Digest(key.split("/", 3)[-1].replace("/", "").partition(".")[0])
        objects[digest] = Stored(key, len(b"%d of run %d\n" % (before.own.index(key) if before else 0, number - 1)))
    run, row = _seal(number, at.strftime("%Y-%m-%dT%H:%M:%SZ"), objects, attempt)
    entries = run.manifest().entries
    links = tuple(artifact_key(EXPERIMENT, row.run_id, entry.path) for entry in entries)
    _write_records(place, run, row, Refs(attempt=attempt, objects=objects))
    made = Made(own, links, row, number)
    if made.retired or made.spare:
        for entry, link in zip(entries, links, strict=True):
            place.link(objects[entry.sha256].key, link)
    if made.retired:
        record = Retired(attempt=attempt, retired_at=_STAMP, by=_OWNER, why="keep_last=1")
        place.write(retired_key(attempt), record.encode())
    return made


def _seal(number: int, at: str, objects: dict[Digest, Stored], attempt: AttemptId) -> tuple[SealedRun, Row]:
    entries = [Entry(f"part{i:03}.bin", stored.size, digest) for i, (digest, stored) in enumerate(objects.items())]
    manifest = Manifest.build(entries)
    manifest_json = manifest.encode()
    envelope = Envelope(
        run_id=RunId(f"run{number:06}"),
        experiment=EXPERIMENT,
        name=f"run{number:06}",
        unit="folder",
        status="success",
        finished_at=at,
        completion=Completion("marker", "_SUCCESS", "declared"),
        tree_digest=manifest.tree_digest,
        manifest_sha256=Digest(hashlib.sha256(manifest_json).hexdigest()),
        urn=f"urn:sealrun:run:sha256:{manifest.tree_digest}",
        files=len(entries),
        size=manifest.size,
    )
    run = SealedRun(folder="/", run_json=envelope.encode(), manifest_json=manifest_json)
    return run, Row.of(envelope, attempt, run.sums().root, at)


def _write_records(place: Place, run: SealedRun, row: Row, refs: Refs) -> None:
    attempt, root = row.attempt, row.root_sha256
    place.write(run_key(EXPERIMENT, row.run_id, RUN_FILE), run.run_json)
    place.write(run_key(EXPERIMENT, row.run_id, MANIFEST_FILE), run.manifest_json)
    place.write(run_key(EXPERIMENT, row.run_id, SUMS_FILE), run.sums().encode())
    place.write(refs_key(attempt), refs.encode())
    outcome = Outcome(
        attempt=attempt,
        nonce=_OWNER,
        decision="sealed",
        decided_at=row.sealed_at,
        by=_OWNER,
        experiment=EXPERIMENT,
        run_id=row.run_id,
        root_sha256=root,
    )
    place.write(outcome_key(attempt), outcome.encode())
    place.write(seal_key(EXPERIMENT, row.run_id, attempt), Seal(attempt=attempt, root_sha256=root).encode())


def _point(place: Place, row: Row) -> None:
    """Let ``latest`` stand on a run."""
    target = Target(
        experiment=EXPERIMENT,
        run_id=row.run_id,
        attempt=row.attempt,
        root_sha256=row.root_sha256,
        finished_at=row.finished_at,
    )
    generation = Generation(
        pointer=f"{EXPERIMENT}@{LATEST}",
        generation=1,
        target=target,
        moved_at=_STAMP,
        by=_OWNER,
        why="newest",
        nonce=_OWNER,
    )
    place.write(generation_key(pointer_log(EXPERIMENT, LATEST), 1), generation.encode())
