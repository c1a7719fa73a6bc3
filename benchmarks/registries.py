"""Registries of any size, written straight to a place instead of published: a publisher would take hours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.places import Place, into_bucket
from benchmarks.sealed_records import EXPERIMENT, OWNER, at, records_of, seal, stamp
from sealrun.domain.address import (
    REGISTRY,
    Digest,
    Key,
    artifact_key,
    attempt_id,
    base_log,
    generation_key,
    object_key,
    pointer_log,
    retired_key,
)
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.pointing import LATEST, Generation, Target
from sealrun.domain.registry.publication import Retired, Stored
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.services.storage.opening import RegistryRecord

PER_RUN = 50
SHARED = 5
RETIRED, SPARE = 3, 8
"""Of ten runs, the fourth is retired, and the ninth is what a plain deletion takes."""


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


def fill(place: Place, objects: int) -> Iterator[Made]:
    """Write a registry of so many objects; yield every run, oldest first. Complete once all were taken."""
    place.write(REGISTRY, RegistryRecord(registry_id=OWNER, created_at=stamp(0)).encode())
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
    return into_bucket(endpoint, bucket, lambda place: fill(place, objects), threads)


def _write_run(place: Place, number: int, before: Made | None) -> Made:
    """Write a run of `PER_RUN` new objects and some of the run before."""
    attempt = attempt_id(at(number).strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(b"%d" % number).hexdigest()[:16])
    bodies = [b"%d of run %d\n" % (i, number) for i in range(PER_RUN)]
    digests = [Digest(hashlib.sha256(body).hexdigest()) for body in bodies]
    own = tuple(object_key(digest, attempt) for digest in digests)
    for key, body in zip(own, bodies, strict=True):
        place.write(key, body)
    objects = {digest: Stored(key, len(body)) for digest, key, body in zip(digests, own, bodies, strict=True)}
    for key in before.own[:SHARED] if before else ():
        digest = Digest(key.split("/", 3)[-1].replace("/", "").partition(".")[0])
        objects[digest] = Stored(key, len(b"%d of run %d\n" % (before.own.index(key) if before else 0, number - 1)))
    manifest = Manifest.build(
        Entry(f"part{i:03}.bin", stored.size, digest) for i, (digest, stored) in enumerate(objects.items())
    )
    run = seal(f"run{number:06}", number, manifest)
    row = Row.of(run.envelope(), attempt, run.sums().root, stamp(number))
    entries = manifest.entries
    links = tuple(artifact_key(EXPERIMENT, row.run_id, entry.path) for entry in entries)
    for key, record in records_of(run, row, objects).items():
        place.write(key, record)
    made = Made(own, links, row, number)
    if made.retired or made.spare:
        for entry, link in zip(entries, links, strict=True):
            place.link(objects[entry.sha256].key, link)
    if made.retired:
        retired = Retired(attempt=attempt, retired_at=stamp(0), by=OWNER, why="keep_last=1")
        place.write(retired_key(attempt), retired.encode())
    return made


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
        moved_at=stamp(0),
        by=OWNER,
        why="newest",
        nonce=OWNER,
    )
    place.write(generation_key(pointer_log(EXPERIMENT, LATEST), 1), generation.encode())
