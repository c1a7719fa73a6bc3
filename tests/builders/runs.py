"""Sealed runs from bytes in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import Entry, Link, Manifest
from sealrun.domain.runs.run import Completion, Envelope, Producer, Status, choose_run_id
from sealrun.domain.runs.sealed import SealedRun
from sealrun.domain.urn import Urn
from sealrun.ports import Source

A_TIME = "2026-01-17T14:30:52Z"


class BytesSource(msgspec.Struct, frozen=True):
    """`ports.Source` from bytes."""

    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def digest(self) -> Digest:
        return sha256(self.body)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.body)


Sources = Callable[[Entry], Source]


def a_run(  # noqa: PLR0913 - one keyword per fact of a run
    files: Mapping[str, bytes] | None = None,
    *,
    experiment: str = "train",
    name: str = "r1",
    run_id: str | None = None,
    finished_at: str = A_TIME,
    status: Status = "success",
    executable: Iterable[str] = (),
    links: Mapping[str, str] | None = None,
    directories: Iterable[str] = (),
    publish_names: Mapping[str, str] | None = None,
    tags: Iterable[str] = (),
) -> tuple[SealedRun, Sources]:
    """Build what sealing would make of a folder with `files`, and where its bytes are read from.

    With `run_id` the run names itself.
    """
    bodies = {"a.txt": b"alpha"} if files is None else dict(files)
    bits = set(executable)
    manifest = Manifest.build(
        (Entry(path, len(body), sha256(body), path in bits) for path, body in bodies.items()),
        directories,
        (Link(path, target) for path, target in (links or {}).items()),
    )
    manifest_json = manifest.encode()
    content = sha256(manifest_json)
    envelope = Envelope(
        run_id=choose_run_id(experiment, name, Producer(run_id=run_id), finished_at, content),
        experiment=experiment,
        name=name,
        unit="folder",
        status=status,
        finished_at=finished_at,
        completion=Completion("marker", "_SUCCESS", "declared"),
        tree_digest=manifest.tree_digest,
        manifest_sha256=content,
        urn=str(Urn("run", manifest.tree_digest)),
        files=len(manifest.entries),
        size=manifest.size,
        publish_names=dict(publish_names or {}),
        tags=tuple(tags),
    )
    run = SealedRun(folder=f"/outputs/{name}", run_json=envelope.encode(), manifest_json=manifest_json)
    return run, lambda entry: BytesSource(bodies[entry.path])
