"""The records of a sealed run, as a publisher would write them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sealrun.domain.address import Digest, Key, RunId, outcome_key, refs_key, run_key, seal_key
from sealrun.domain.records import sha256
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.publication import Outcome, Refs, Seal, Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, Manifest
from sealrun.domain.runs.run import Completion, Envelope
from sealrun.domain.runs.sealed import SealedRun

EXPERIMENT = "bench"
OWNER = "0" * 32
_START = datetime(2026, 1, 17, tzinfo=UTC)


def at(number: int) -> datetime:
    """Return when run `number` was sealed."""
    return _START + timedelta(seconds=number)


def stamp(number: int) -> str:
    """Return that as records write it."""
    return at(number).strftime("%Y-%m-%dT%H:%M:%SZ")


def seal(name: str, number: int, manifest: Manifest) -> SealedRun:
    """Return a run of these files."""
    manifest_json = manifest.encode()
    envelope = Envelope(
        run_id=RunId(name),
        experiment=EXPERIMENT,
        name=name,
        unit="folder",
        status="success",
        finished_at=stamp(number),
        completion=Completion("marker", "_SUCCESS", "declared"),
        tree_digest=manifest.tree_digest,
        manifest_sha256=sha256(manifest_json),
        urn=f"urn:sealrun:run:sha256:{manifest.tree_digest}",
        files=len(manifest.entries),
        size=manifest.size,
    )
    return SealedRun(folder="/", run_json=envelope.encode(), manifest_json=manifest_json)


def records_of(run: SealedRun, row: Row, objects: Mapping[Digest, Stored]) -> dict[Key, bytes]:
    """Return what an attempt has written when its run is sealed, but for pointers and index."""
    outcome = Outcome(
        attempt=row.attempt,
        nonce=OWNER,
        decision="sealed",
        decided_at=row.sealed_at,
        by=OWNER,
        experiment=EXPERIMENT,
        run_id=row.run_id,
        root_sha256=row.root_sha256,
    )
    return {
        run_key(EXPERIMENT, row.run_id, RUN_FILE): run.run_json,
        run_key(EXPERIMENT, row.run_id, MANIFEST_FILE): bytes(run.manifest_json),
        run_key(EXPERIMENT, row.run_id, SUMS_FILE): run.sums().encode(),
        refs_key(row.attempt): Refs(attempt=row.attempt, objects=dict(objects)).encode(),
        outcome_key(row.attempt): outcome.encode(),
        seal_key(EXPERIMENT, row.run_id, row.attempt): Seal(attempt=row.attempt, root_sha256=row.root_sha256).encode(),
    }
