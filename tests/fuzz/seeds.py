"""Valid input to begin with, where the sample registry and the recorded runs have none."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import sealrun
from sealrun.domain import address
from sealrun.domain.records import Record

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "docs" / "sample-registry"
DIGEST = "10fc3c51a152e90e5b90319b601d92ccf37290ef53c35ff92507687d8a911a08"
_ATTEMPT = "20260117T150000Z-eca937c92024f10d"
LISTING = (
    b'{"files": [{"path": "a.txt", "sha256": "x", "size": 1}, {"path": "b/c.txt", "bytes": 2}]}',
    b'{"artifacts": {"a.txt": {"sha256": "x"}}, "outputs": ["a.txt"], "num_files": 2, "total_bytes": 3}',
)
DONE = (
    b'{"status": "success", "run_id": "20260117__ridge__a1b2c3d", "started_at": "2026-01-17T14:00:00Z"}',
    b'{"pipeline_id": "p", "metrics": {"loss": 0.1}, "params": {"a": [1]}, "tags": ["x"], "inputs": [{"path": "a"}]}',
    b'[{"name": "c", "status": "pass", "detail": "x"}]',
)
SETTINGS = b"""version = 1
state = "state"
[registry.main]
url = "s3://bucket/prefix"
storage_options = { key = { env = "SECRET" }, list = [{ b = "${HOME}" }] }
packs = { least = 10 }
[[watch]]
name = "w"
path = "outputs"
experiment = "training"
settle = "30s"
exclude = ["*.tmp"]
names = { "a.json" = "b.json" }
[[notify]]
on = ["run.*"]
url = "https://hooks.example/x?token=y"
[retention.default]
keep_last = 5
keep_within = "30d"
[gc]
schedule = "30 3 * * *"
max_delete_ratio = "10%"
[mirror.m]
path = "m"
[gate.active]
require = ["verified"]
"""
SIGNATURE = (
    b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAg\n-----END SSH SIGNATURE-----\n"
)
REFERENCES = (
    b"training/run-1",
    b"training@latest:metrics.json",
    b"metrics.json",
    f"urn:sealrun:run:sha256:{DIGEST}:a/b.txt".encode(),
)
KEYS = (
    address.object_key(address.Digest(DIGEST), address.AttemptId(_ATTEMPT)).encode(),
    address.pack_key(address.Digest(DIGEST), address.AttemptId(_ATTEMPT)).encode(),
    f"quarantine/{DIGEST}.{_ATTEMPT}.zip.json".encode(),
    f"attempts/{_ATTEMPT}/intent.json".encode(),
    f"gc/condemned/{_ATTEMPT}.json".encode(),
    b"experiments/e/pointers/latest/999999999998.json",
)
POINTERS = (b'{"latest": {"run_root": "/x/y", "run_id": "r", "root_sha256": "s"}}', b'[{"run_root": "a"}]')
YAML = (b"a: 1\nb:\n  - 'c'\n  - d: \"e\\x41\"\n", b"---\nx: {a: 1}\ny: |\n  text\nz: &a [1]\nw: *a\n")


def files_like(pattern: str, most: int = 12) -> list[bytes]:
    """Small files of the recorded runs."""
    found = sorted((ROOT / "tests/fixtures/frameworks").rglob(pattern))
    return [path.read_bytes()[:50_000] for path in found if path.is_file()][:most]


@cache
def record_kinds() -> Mapping[str, type[Record]]:
    """Every record class, by its kind."""
    for module in pkgutil.walk_packages(sealrun.__path__, "sealrun."):
        if ".domain." in module.name or ".services." in module.name:
            importlib.import_module(module.name)
    kinds: dict[str, type[Record]] = {}
    ahead = list(Record.__subclasses__())
    while ahead:
        kind = ahead.pop()
        ahead += kind.__subclasses__()
        if kind.KIND and kind.__module__.startswith("sealrun."):
            kinds[kind.KIND] = kind
    return kinds


@cache
def sample(kind: str) -> list[bytes]:
    """The records of a kind in the sample registry, or one that has only what every record has."""
    found = []
    for path in filter(Path.is_file, sorted(SAMPLE.rglob("*.json"))):
        body = path.read_bytes()
        if len(body) < 20_000 and b"artifacts/" not in os.fsencode(path) and f'"kind": "{kind}"'.encode() in body:
            found.append(body)
    return found or [json.dumps({"format": "sealrun/1", "kind": kind, **_made(record_kinds()[kind])}).encode()]


def _made(kind: type[Record]) -> dict[str, Any]:
    """Values by the names of the fields: enough to begin with."""
    return {name: "2026-01-17T00:00:00Z" for name in kind.__struct_fields__ if name != "extra"}
