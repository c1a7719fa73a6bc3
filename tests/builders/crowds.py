"""Registries and journals with very many runs, made quickly: by the real encoders, without publishing one by one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores.posix import PosixStore
from sealrun.domain.address import RunId, attempt_id, base_log, generation_key, pending_key
from sealrun.domain.records import sha256
from sealrun.domain.registry.indexing import Row
from sealrun.services.storage.opening import create_registry

STATUSES = ("success", "success", "success", "failed", "partial")


def a_row(number: int, experiment: str) -> Row:
    """The row of a run that never was."""
    digest = sha256(f"{experiment} {number}".encode())
    when = f"2026-{number // 40000 + 1:02d}-{number // 1440 % 28 + 1:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
    return Row(
        run_id=RunId(f"20260101T000000Z-run-{number:06d}"),
        experiment=experiment,
        attempt=attempt_id("20260101T000000Z", f"{number:016x}"),
        name=f"run-{number:06d}",
        status=STATUSES[number % len(STATUSES)],
        finished_at=when,
        sealed_at=when,
        files=number % 100,
        size=number,
        tree_digest=digest,
        urn=f"urn:sealrun:run:sha256:{digest}",
        root_sha256=digest,
        tags=("nightly",) if number % 7 == 0 else (),
    )


def a_crowded_registry(folder: Path, runs: int, experiments: int, waiting: int = 0) -> PosixStore:
    """A registry whose indexes name so many runs; of each experiment `waiting` rows lie beside the base."""
    store = PosixStore(str(folder), make=True)
    create_registry(store, SystemClock(), SystemEntropy())
    for number in range(experiments):
        experiment = f"experiment-{number}"
        rows = [a_row(each, experiment) for each in range(number, runs, experiments)]
        base, late = rows[: len(rows) - waiting], rows[len(rows) - waiting :]
        key = generation_key(base_log(experiment), 1, ".jsonl")
        store.create(key, b"".join(row.line() for row in base))
        for row in late:
            store.create(pending_key(experiment, row.attempt), row.encode())
    return store


def crowd_journal(path: Path, runs: int, watch: str, registry: str) -> None:
    """Have a journal remember so many runs that were sealed and published, and as many candidates."""
    numbers = range(1, runs + 1)
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO sealed_runs (id, identity, folder, accepted, size) VALUES (?, ?, ?, 0, 1000)",
            ((number, number.to_bytes(32, "big"), f"/drops/{number}") for number in numbers),
        )
        connection.executemany(
            """INSERT INTO deliveries (sealed, registry, state, tries, due, published_at)
               VALUES (?, ?, 'published', 0, 0, 1)""",
            ((number, registry) for number in numbers),
        )
        connection.executemany(
            """INSERT INTO folders (watch, path, state, reason, since, fingerprint, sealed)
               VALUES (?, ?, 'sealed', '', ?, '', ?)""",
            ((watch, f"/drops/{number}", float(number), number) for number in numbers),
        )
