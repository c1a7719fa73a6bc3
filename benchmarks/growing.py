"""Registries whose every log is as long as their history: what has to be there before growth can be seen.

`benchmarks.registries` makes what a collector reads. Here each run has also moved ``latest`` and a published name,
collections have left their verdicts, and damage was once quarantined, so that whoever lists any of it pays for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from benchmarks.registries import Bucket, Place
from sealrun.domain.address import (
    REGISTRY,
    AttemptId,
    Digest,
    Key,
    RunId,
    attempt_id,
    base_log,
    batch_key,
    experiment_manifest_key,
    generation_key,
    latest_key,
    name_log,
    object_key,
    outcome_key,
    pending_key,
    pointer_log,
    pointer_projection,
    refs_key,
    run_key,
    seal_key,
)
from sealrun.domain.collection import CondemnedObject, Verdict
from sealrun.domain.indexing import Row
from sealrun.domain.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, Entry, Manifest
from sealrun.domain.pointing import LATEST, Generation, Target
from sealrun.domain.publication import Outcome, Refs, Seal, Stored
from sealrun.domain.records import sha256
from sealrun.domain.run import Completion, Envelope
from sealrun.domain.sealed import SealedRun
from sealrun.ports import Store
from sealrun.services.opening import RegistryRecord

EXPERIMENT = "bench"
NAME = "model.bin"
OWNER = "0" * 32
_START = datetime(2026, 1, 17, tzinfo=UTC)
_PENDING_SHARE = 32
"""Of so many runs one is not in the base yet: half of what a compactor lets lie."""
_RUNS_PER_BATCH = 50
_AT_ONCE = 500


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
    place.write(REGISTRY, RegistryRecord(registry_id=OWNER, created_at=_stamp(0)).encode())
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
    room = _Noted()
    with ThreadPoolExecutor(threads) as pool:
        places = [Bucket(endpoint, bucket) for _ in range(threads)]

        def send() -> None:
            shares = [room.written[start::threads] for start in range(threads)]
            list(pool.map(_write_all, places, shares))
            room.written.clear()

        for written in grow(room, shape):
            yield written
            if len(room.written) >= _AT_ONCE:
                send()
        send()


class _Noted:
    """A place that only notes what is to be written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []

    def write(self, key: str, body: bytes) -> None:
        self.written.append((key, body))

    def link(self, source: str, target: str) -> None:
        pass


def _write_all(place: Place, items: Sequence[tuple[str, bytes]]) -> None:
    for key, body in items:
        place.write(key, body)


def _write_run(place: Place, number: int, shape: Shape) -> Written:
    attempt = attempt_id(_at(number).strftime("%Y%m%dT%H%M%SZ"), sha256(b"%d" % number)[:16])
    objects: dict[Digest, Stored] = {}
    for i in range(shape.files):
        body = (b"%d of run %d " % (i, number)).ljust(shape.size, b".")
        digest = sha256(body)
        objects[digest] = Stored(object_key(digest, attempt), len(body))
        place.write(objects[digest].key, body)
    run = _seal(number, objects)
    row = Row.of(run.envelope(), attempt, run.sums().root, _stamp(number))
    records = {
        run_key(EXPERIMENT, row.run_id, RUN_FILE): run.run_json,
        run_key(EXPERIMENT, row.run_id, MANIFEST_FILE): run.manifest_json,
        run_key(EXPERIMENT, row.run_id, SUMS_FILE): run.sums().encode(),
        refs_key(attempt): Refs(attempt=attempt, objects=objects).encode(),
        outcome_key(attempt): _outcome(row).encode(),
        seal_key(EXPERIMENT, row.run_id, attempt): Seal(attempt=attempt, root_sha256=row.root_sha256).encode(),
    }
    for key, record in records.items():
        place.write(key, record)
    return Written(row, body)


def _seal(number: int, objects: dict[Digest, Stored]) -> SealedRun:
    manifest = Manifest.build(Entry(f"f{i:06}.bin", it.size, digest) for i, (digest, it) in enumerate(objects.items()))
    manifest_json = manifest.encode()
    envelope = Envelope(
        run_id=RunId(f"run{number:07}"),
        experiment=EXPERIMENT,
        name=f"run{number:07}",
        unit="folder",
        status="success",
        finished_at=_stamp(number),
        completion=Completion("marker", "_SUCCESS", "declared"),
        tree_digest=manifest.tree_digest,
        manifest_sha256=Digest(hashlib.sha256(manifest_json).hexdigest()),
        urn=f"urn:sealrun:run:sha256:{manifest.tree_digest}",
        files=len(manifest.entries),
        size=manifest.size,
    )
    return SealedRun(folder="/", run_json=envelope.encode(), manifest_json=manifest_json)


def _outcome(row: Row) -> Outcome:
    return Outcome(
        attempt=row.attempt,
        nonce=OWNER,
        decision="sealed",
        decided_at=row.sealed_at,
        by=OWNER,
        experiment=EXPERIMENT,
        run_id=row.run_id,
        root_sha256=row.root_sha256,
    )


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
    batch = attempt_id(_at(number).strftime("%Y%m%dT%H%M%SZ"), sha256(b"batch %d" % number)[:16])
    verdict = Verdict(
        batch=batch, nonce=OWNER, decision="sweep", decided_at=_stamp(number), by=OWNER, condemned_sha256=sha256(b"")
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


def _at(number: int) -> datetime:
    return _START + timedelta(seconds=number)


def _stamp(number: int) -> str:
    return _at(number).strftime("%Y-%m-%dT%H:%M:%SZ")


class InMemory:
    """A store in memory as a place: it takes any key."""

    def __init__(self, store: Store) -> None:
        """Write to `store`."""
        self._store = store

    def write(self, key: str, body: bytes) -> None:
        """Put the bytes."""
        self._store.put(Key(key), body)

    def link(self, source: str, target: str) -> None:
        """Nothing: memory has no links."""
