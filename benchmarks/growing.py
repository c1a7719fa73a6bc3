"""Registries whose every log is as long as their history: what has to be there before growth can be seen.

`benchmarks.registries` makes what a collector reads. Here each run has also moved ``latest`` and a published name,
collections have left their verdicts, and damage was once quarantined, so that whoever lists any of it pays for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.places import Place, into_bucket
from benchmarks.sealed_records import EXPERIMENT, OWNER, at, records_of, seal, stamp
from sealrun.domain.address import (
    REGISTRY,
    AttemptId,
    Digest,
    attempt_id,
    base_log,
    batch_key,
    experiment_manifest_key,
    generation_key,
    latest_key,
    name_log,
    object_key,
    pending_key,
    pointer_log,
    pointer_projection,
)
from sealrun.domain.records import sha256
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.pointing import LATEST, Generation, Target
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.domain.upkeep.collection import CondemnedObject, Verdict
from sealrun.services.storage.opening import RegistryRecord

NAME = "model.bin"
_PENDING_SHARE = 32
"""Of so many runs one is not in the base yet: half of what a compactor lets lie."""
_RUNS_PER_BATCH = 50


class Shape(NamedTuple):
    """How large a registry is: so many runs, of so many files each with `size` bytes."""

    runs: int
    files: int = 1
    size: int = 64

    @property
    def objects(self) -> int:
        """How many objects it holds."""
        return self.runs * self.files


class Written(NamedTuple):
    """A run as it was written."""

    row: Row
    body: bytes


def grow(place: Place, shape: Shape) -> Iterator[Written]:
    """Write a registry; yield its runs, oldest first. Complete once all were taken."""
    place.write(REGISTRY, RegistryRecord(registry_id=OWNER, created_at=stamp(0)).encode())
    before: dict[str, bytes] = {}
    rows: list[Row] = []
    for number in range(shape.runs):
        written = _write_run(place, number, shape)
        for log, label, path in (
            (pointer_log(EXPERIMENT, LATEST), f"{EXPERIMENT}@{LATEST}", None),
            (name_log(NAME), NAME, "f000000.bin"),
        ):
            before[log] = _move(place, log, label, number, _target(written.row, path), before.get(log))
        if number % _RUNS_PER_BATCH == 0:
            _collect(place, number)
        rows.append(written.row)
        yield written
    if shape.runs:
        _finish(place, rows, before)


def grow_bucket(endpoint: str, bucket: str, shape: Shape, threads: int = 8) -> Iterator[Written]:
    """Do the same in a bucket that anonymous clients may write to, `threads` at a time."""
    return into_bucket(endpoint, bucket, lambda place: grow(place, shape), threads)


def _write_run(place: Place, number: int, shape: Shape) -> Written:
    attempt = attempt_id(at(number).strftime("%Y%m%dT%H%M%SZ"), sha256(b"%d" % number)[:16])
    objects: dict[Digest, Stored] = {}
    for i in range(shape.files):
        body = (b"%d of run %d " % (i, number)).ljust(shape.size, b".")
        digest = sha256(body)
        objects[digest] = Stored(object_key(digest, attempt), len(body))
        place.write(objects[digest].key, body)
    manifest = Manifest.build(Entry(f"f{i:06}.bin", it.size, digest) for i, (digest, it) in enumerate(objects.items()))
    run = seal(f"run{number:07}", number, manifest)
    row = Row.of(run.envelope(), attempt, run.sums().root, stamp(number))
    for key, record in records_of(run, row, objects).items():
        place.write(key, record)
    return Written(row, body)


def _target(row: Row, path: str | None) -> Target:
    return Target(
        experiment=EXPERIMENT,
        run_id=row.run_id,
        attempt=row.attempt,
        root_sha256=row.root_sha256,
        finished_at=row.finished_at,
        path=path,
    )


def _move(place: Place, log: str, label: str, number: int, target: Target, before: bytes | None) -> bytes:
    """Add a generation to a log; return its bytes."""
    body = Generation(
        pointer=label,
        generation=number + 1,
        target=target,
        previous_sha256=None if before is None else sha256(before),
        moved_at=target.finished_at,
        by=OWNER,
        why="run published",
        nonce=sha256(b"%d" % number)[:32],
    ).encode()
    place.write(generation_key(log, number + 1), body)
    return body


def _collect(place: Place, number: int) -> None:
    """Leave what a collection leaves for ever: a verdict and a log."""
    batch = attempt_id(at(number).strftime("%Y%m%dT%H%M%SZ"), sha256(b"batch %d" % number)[:16])
    verdict = Verdict(
        batch=batch, nonce=OWNER, decision="sweep", decided_at=stamp(number), by=OWNER, condemned_sha256=sha256(b"")
    )
    gone = CondemnedObject(key=object_key(sha256(b"gone %d" % number), AttemptId(batch)), size=1)
    place.write(batch_key(batch, "verdict.json"), verdict.encode())
    place.write(batch_key(batch, "deleted.jsonl"), gone.line(batch))


def _finish(place: Place, rows: Sequence[Row], heads: dict[str, bytes]) -> None:
    """Write the index and the projections."""
    pending = rows[len(rows) - len(rows) // _PENDING_SHARE :]
    base = _lines(rows[: len(rows) - len(pending)])
    place.write(generation_key(base_log(EXPERIMENT), 1, ".jsonl"), base)
    place.write(experiment_manifest_key(EXPERIMENT), base)
    for row in pending:
        place.write(pending_key(EXPERIMENT, row.attempt), row.encode())
    place.write(pointer_projection(EXPERIMENT, LATEST), heads[pointer_log(EXPERIMENT, LATEST)])
    place.write(latest_key(NAME), b"shown")


def _lines(rows: Iterable[Row]) -> bytes:
    return b"".join(row.line() for row in rows)
