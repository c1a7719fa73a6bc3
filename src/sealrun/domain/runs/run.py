"""The run envelope (``run.json``): what is known of a run besides its bytes.

An envelope is a function of the run alone. It holds no time, host or path of whoever sealed it, so two daemons
that see the same folder write the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar, Literal

import msgspec

from sealrun.domain.address import Digest, RunId, is_name, parse_name
from sealrun.domain.records import JsonObject, Record
from sealrun.domain.types import TypedArtifact

Status = Literal["success", "failed", "partial", "interrupted", "unknown"]
STATUSES: tuple[Status, ...] = ("success", "failed", "partial", "interrupted", "unknown")
Method = Literal["marker", "framework", "quiet", "command"]
_SELF_NAMED = re.compile(r"[0-9]{8}T[0-9]{6}Z(__[A-Za-z0-9._-]+__[0-9a-f]{7}|-[A-Za-z0-9._-]+-[0-9a-z]{6})\Z")
_SLUG = re.compile(r"[^A-Za-z0-9._]+")
_REVISION = re.compile(r"(.*)\.r([0-9]+)\Z")
_MAX_SLUG = 60
_MAX_RUN_ID = 128


class Completion(msgspec.Struct, frozen=True):
    """Why the run was taken to be complete.

    `method`: an explicit marker, a framework's own status, quiet (no change and no open writer), or a person's
    command. `evidence` is the marker's or status's name; `confidence` is ``declared`` or ``inferred``.
    """

    method: Method
    evidence: str
    confidence: Literal["declared", "inferred"]


class Producer(msgspec.Struct, frozen=True, kw_only=True):
    """What the run's own files say of it; absent where they do not.

    `framework`: which one made the run, with its ``version`` and the ``run``'s name in it, as far as they are known.
    `artifacts`: which files it declares to be typed artifacts, as it says it; an envelope has them by themselves.
    """

    run_id: str | None = None
    status: Status | None = None
    started_at: str | None = None
    finished_at: str | None = None
    pipeline_id: str | None = None
    pipeline_version: str | None = None
    trigger: JsonObject | None = None
    inputs: list[Any] | None = None
    outputs: list[Any] | None = None
    checks: list[Any] | None = None
    tags: list[str] | None = None
    params: JsonObject | None = None
    metrics: JsonObject | None = None
    framework: JsonObject | None = None
    artifacts: list[Any] | None = None


class Envelope(Record, frozen=True, kw_only=True):
    """``run.json``. Times are UTC, ISO 8601 with a final ``Z``; `finished_at` orders runs for ``latest``.

    `manifest_sha256` is the digest of ``manifest.json``: two envelopes with the same one are of the same content.
    `artifacts` are the typed ones among the files, sorted by path; absent where there are none.
    """

    KIND: ClassVar[str] = "run"
    run_id: RunId
    experiment: str
    name: str
    unit: Literal["folder", "file"]
    status: Status
    finished_at: str
    completion: Completion
    tree_digest: Digest
    manifest_sha256: Digest
    urn: str
    files: int
    size: int
    started_at: str | None = None
    supersedes: str | None = None
    publish_names: dict[str, str] = msgspec.field(default_factory=dict)
    producer: JsonObject = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    artifacts: tuple[TypedArtifact, ...] | None = None

    @property
    def called(self) -> str | None:
        """What the framework that made the run calls it for people, such as MLflow's run name; None if it says none."""
        framework = self.producer.get("framework")
        ids = framework.get("ids") if isinstance(framework, dict) else None
        name = ids.get("name") if isinstance(ids, dict) else None
        return name if isinstance(name, str) and name != self.name else None

    @property
    def order(self) -> tuple[str, str]:
        """What ``latest`` moves forward in: finish time, then run id."""
        return (self.finished_at, self.run_id)


def names_itself(folder_name: str) -> bool:
    """Tell whether a folder's name is a run id: ``<utc>__<pipeline>__<git7>`` or ``<utc>-<algo>[-<tag>]-<rand6>``."""
    return is_name(folder_name) and _SELF_NAMED.match(folder_name) is not None


def derive_run_id(experiment: str, name: str, finished_at: str, content: Digest) -> RunId:
    """Name a run that does not name itself: ``<utc>-<slug>-<h8>``.

    `content` is the digest of manifest.json. The same folder gives the same id on every machine and at every retry.
    """
    slug = _SLUG.sub("-", name).strip("-._")[:_MAX_SLUG].rstrip("-._") or "run"
    compact = re.sub(r"[-:]|\.[0-9]+", "", finished_at)
    seed = f"{experiment}\n{name}\n{finished_at}\n{content}"
    return RunId(f"{compact}-{slug}-{hashlib.sha256(seed.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}")


def choose_run_id(experiment: str, name: str, producer: Producer, finished_at: str, content: Digest) -> RunId:
    """Take the name the run gives itself (its record, then its folder), or derive one."""
    if producer.run_id is not None:
        return RunId(parse_name(producer.run_id, "run id"))
    if names_itself(name):
        return RunId(name)
    return derive_run_id(experiment, name, finished_at, content)


def next_revision(run_id: RunId) -> RunId:
    """``a`` → ``a.r2`` → ``a.r3``: where a run goes whose id is taken by other content."""
    match = _REVISION.match(run_id)
    base, number = (match[1], int(match[2])) if match else (run_id, 1)
    suffix = f".r{number + 1}"
    return RunId(base[: _MAX_RUN_ID - len(suffix)] + suffix)
