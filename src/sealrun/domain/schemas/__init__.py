"""Schemas: those of everything that sealrun writes, which are published with it, and those of users.

The published ones lie beside this file as ``NAME.schema.json`` (JSON Schema 2020-12, each complete in itself, its
``$id`` ``urn:sealrun:schema:NAME:1``). They say what is written; readers of the format bear with more, see
docs/format.md.
"""

from __future__ import annotations

import re

PUBLISHED: dict[str, str] = {
    "active-registry-pointers": "ACTIVE_REGISTRY_POINTERS.json: which run of each registry is active",
    "beat": "builds/<type>/<config digest>/beat.json: the last sign of life of whoever builds",
    "build": "builds/<type>/<config digest>/log/<n>.json: one step of a build that is to happen once",
    "checks": "checks.json as a recorder of runs writes it",
    "condemned": "gc/condemned/<batch>.json: keys that a collector is about to delete",
    "deleted": "A line of gc/<batch>/deleted.jsonl: an object that was deleted",
    "done": ".sealrun/done.json: declares a folder complete",
    "dropped": "experiments/<e>/index/pending/<attempt>.retired.json: leave the row of this attempt out",
    "experiment-line": "A line of a local experiment's manifest.jsonl: a run that was recorded there",
    "intent": "attempts/<attempt>/intent.json: every digest the attempt may reference",
    "latest-meta": "latest/<name>.meta.json: the sidecar of a published name",
    "lifted": "experiments/<e>/pins/<run_id>/<pin>.lifted.json: that reason counts no longer",
    "manifest": "manifest.json of a sealed run: its entries",
    "mirror": ".sealrun-mirror/mirror.json: which mirror a folder is",
    "mirrored": ".sealrun-mirror/runs/<e>/<run_id>.json: a run folder that the mirror made",
    "outcome": "attempts/<attempt>/outcome.json: how the attempt ended",
    "pin": "experiments/<e>/pins/<run_id>/<pin>.json: a reason to keep a run",
    "pointer": "One generation of a pointer, or of a published name",
    "quarantined": "quarantine/<digest>.<attempt>.json: this object or pack is damaged",
    "recorded-run": "run.json as a recorder of runs writes it, before it is sealed",
    "recording": ".sealrun/recording.json: the run is being recorded, or its producer died",
    "refs": "attempts/<attempt>/refs.json: where each digest of the run is stored",
    "registry": "registry.json: makes the place a registry",
    "registry-catalog": "REGISTRY_CATALOG.json: every registry artifact known",
    "retired": "attempts/<attempt>/retired.json: takes the run out of the live set",
    "row": "A row of the index: experiments/<e>/index/pending/<attempt>.json, and a line of its bases",
    "run": "run.json of a sealed run: the envelope",
    "schema": "catalog/schemas/<name>/<version>.json: a schema of a user, never changed in place",
    "seal": "experiments/<e>/runs/<run_id>/seals/<attempt>.json: this attempt holds the run's bytes",
    "verdict": "gc/<batch>/verdict.json: what becomes of a batch",
}
"""Each published schema, and what it is of."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_ATTEMPT = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}"
_N = r"[0-9]{12}"
_KEYS = [
    (schema, re.compile(pattern + r"\Z", re.DOTALL))
    for schema, pattern in (
        ("registry", r"registry\.json"),
        ("intent", rf"attempts/{_ATTEMPT}/intent\.json"),
        ("outcome", rf"attempts/{_ATTEMPT}/outcome\.json"),
        ("refs", rf"attempts/{_ATTEMPT}/refs\.json"),
        ("retired", rf"attempts/{_ATTEMPT}/retired\.json"),
        ("run", rf"experiments/{_NAME}/runs/{_NAME}/run\.json"),
        ("manifest", rf"experiments/{_NAME}/runs/{_NAME}/manifest\.json"),
        ("seal", rf"experiments/{_NAME}/runs/{_NAME}/seals/{_ATTEMPT}\.json"),
        ("pointer", rf"experiments/{_NAME}/pointers/{_NAME}/{_N}\.json"),
        ("pointer", rf"experiments/{_NAME}/pointers/{_NAME}\.json"),
        ("pointer", rf"names/[^/]+/{_N}\.json"),
        ("row", rf"experiments/{_NAME}/index/pending/{_ATTEMPT}\.json"),
        ("row", rf"experiments/{_NAME}/index/base/{_N}\.jsonl"),
        ("row", rf"experiments/{_NAME}/manifest\.jsonl"),
        ("dropped", rf"experiments/{_NAME}/index/pending/{_ATTEMPT}\.retired\.json"),
        ("pin", rf"experiments/{_NAME}/pins/{_NAME}/{_ATTEMPT}\.json"),
        ("lifted", rf"experiments/{_NAME}/pins/{_NAME}/{_ATTEMPT}\.lifted\.json"),
        ("latest-meta", r"latest/[^/]+\.meta\.json"),
        ("build", rf"builds/{_NAME}/[0-9a-f]{{64}}/log/{_N}\.json"),
        ("beat", rf"builds/{_NAME}/[0-9a-f]{{64}}/beat\.json"),
        ("quarantined", rf"quarantine/[0-9a-f]{{64}}\.{_ATTEMPT}(\.zip)?\.json"),
        ("condemned", rf"gc/condemned/{_ATTEMPT}\.json"),
        ("verdict", rf"gc/{_ATTEMPT}/verdict\.json"),
        ("deleted", rf"gc/{_ATTEMPT}/deleted\.jsonl"),
        ("schema", rf"catalog/schemas/{_NAME}/{_NAME}\.json"),
    )
]


def schema_file(name: str) -> str:
    """Name the file of a published schema."""
    return f"{name}.schema.json"


def schema_of_key(key: str) -> str | None:
    """Name the published schema of the record at `key` (of each line, where the key ends in ``.jsonl``), or None.

    None for what is no record of ours: bytes of files, MANIFEST.sha256, probes.
    """
    return next((schema for schema, pattern in _KEYS if pattern.match(key)), None)
