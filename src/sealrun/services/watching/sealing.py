"""Sealing: from a folder to the exact bytes of its records, which every retry and every machine makes alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec

from sealrun.domain.address import Digest, parse_artifact_name, parse_name
from sealrun.domain.errors import RunChangedError, RunRejectedError, UsageError
from sealrun.domain.paths import path_problem
from sealrun.domain.presets import Recognised
from sealrun.domain.records import sha256
from sealrun.domain.runs.declarations import (
    CHECKS_FILE,
    MAX_RECORD_BYTES,
    METRICS_FILE,
    RECORD_FILES,
    read_producer,
    read_sums,
    utc_text,
)
from sealrun.domain.runs.foreign import refuse_broken_seal
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.domain.runs.run import Completion, Envelope, Producer, Status, choose_run_id
from sealrun.domain.runs.sealed import SealedRun
from sealrun.domain.types import typed_artifacts
from sealrun.domain.urn import Urn
from sealrun.domain.watches.in_place import is_in_place_seal
from sealrun.domain.watches.settling import SUCCESS_MARKER, SUMS_MARKER
from sealrun.ports import Copying, FileFacts, Hashed, RunFolder, Source, StagedPack, Survey, Tree
from sealrun.services.watching.detecting import fingerprint_of
from sealrun.services.watching.recognising import recognise_sealed

_MAX_SUMS_BYTES = 64 << 20

PlanCopying = Callable[[Tree], Copying | None]
"""What to copy on the way, of a tree that was just scanned."""


class SealRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What sealing is told about a run. `names`: paths inside it and the names they are also published under.

    `fingerprint` is that of the snapshot which settled, if one did: a folder that looks different by now is not sealed.
    `supersedes` is the run that this folder was before (a run that names itself gets it when its id is found taken).
    `status` is what the evidence declared; the run's own records come before it. `preset`: whose files are believed.
    """

    experiment: str
    completion: Completion
    status: Status = "unknown"
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
    supersedes: str | None = None
    tags: tuple[str, ...] = ()
    run_id: str | None = None
    fingerprint: str | None = None
    preset: str = "auto"


class Sealing(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed run, the sources that wait in the stage, and what the other files looked like when they were hashed."""

    run: SealedRun
    envelope: Envelope
    manifest: Manifest
    folder: RunFolder
    facts: Mapping[str, FileFacts]
    staged: Mapping[Digest, Source]
    fingerprint: str
    packs: tuple[StagedPack, ...] = ()

    def source(self, entry: Entry) -> Source:
        """Return the bytes of `entry`: staged, or from the folder while the file is still the one that was hashed."""
        return self.staged.get(entry.sha256) or self.folder.source(entry, self.facts.get(entry.path))


def seal(folder: RunFolder, about: SealRequest, plan_copying: PlanCopying | None = None) -> Sealing:
    """Seal `folder`: scan, hash, scan again, and write its records to memory. Nothing on disk is touched.

    The records are a function of the folder and the request: sealing an unchanged folder again gives the same. What
    `plan_copying` says is copied while it is read. `RunChangedError`: settle again. `RunRejectedError`: this folder
    cannot be a run.
    """
    problem = path_problem(folder.name)
    if problem:
        msg = f"{folder.path!r}: {problem}; rename it"
        raise RunRejectedError(msg)
    tree = folder.scan()
    looks = fingerprint_of(Survey(tree, None))
    if about.fingerprint not in {None, looks}:
        msg = f"{folder.path!r}: changed after it had settled; settle again"
        raise RunChangedError(msg)
    if not tree.files:
        msg = f"{folder.path!r}: holds no files; a run is at least one file (excluded ones do not count)"
        raise RunRejectedError(msg)
    hashed = folder.hash(tree, None if plan_copying is None else plan_copying(tree))
    manifest = Manifest.build(hashed.entries, tree.directories, tree.links)
    _check_own_sums(folder, about, manifest)
    manifest_json = manifest.body()
    envelope = _envelope(folder, about, tree, manifest, sha256(manifest_json))
    run = SealedRun(folder=folder.path, run_json=envelope.encode(), manifest_json=manifest_json, content=manifest)
    return Sealing(
        run=run,
        envelope=envelope,
        manifest=manifest,
        folder=folder,
        facts=_facts_of_others(tree, manifest, hashed),
        staged=hashed.staged,
        packs=hashed.packs,
        fingerprint=looks,
    )


def _facts_of_others(tree: Tree, manifest: Manifest, hashed: Hashed) -> Mapping[str, FileFacts]:
    """What is neither staged nor in a staged pack, and the rest with it: nothing where everything waits."""
    waiting = sum(len(pack.members) for pack in hashed.packs) + len(hashed.staged)
    return {} if waiting == len(manifest.entries) else tree.files


def _envelope(folder: RunFolder, about: SealRequest, tree: Tree, manifest: Manifest, content: Digest) -> Envelope:
    recognised, look = recognise_sealed(folder, tree, manifest, about.preset)
    producer = recognised.complete(_producer(folder, manifest, recognised.owns), look)
    newest = max(facts.mtime_ns for facts in tree.files.values()) // 1_000_000_000
    finished_at = producer.finished_at or utc_text(newest)
    if about.run_id is not None:
        producer = msgspec.structs.replace(producer, run_id=parse_name(about.run_id, "run id"))
    run_id = choose_run_id(about.experiment, folder.name, producer, finished_at, content)
    artifacts = typed_artifacts(producer.artifacts, look, recognised.owns, repr(folder.path))
    said = {key: item for key, item in msgspec.to_builtins(producer).items() if item is not None and key != "artifacts"}
    return Envelope(
        run_id=run_id,
        experiment=about.experiment,
        name=folder.name,
        unit=folder.unit,
        status=producer.status or _declared_status(about, tree, recognised),
        started_at=producer.started_at,
        finished_at=finished_at,
        completion=about.completion,
        tree_digest=manifest.tree_digest,
        manifest_sha256=content,
        urn=str(Urn("file" if folder.unit == "file" else "run", manifest.tree_digest)),
        files=len(manifest.entries),
        size=manifest.size,
        supersedes=about.supersedes if about.supersedes != run_id else None,
        publish_names=_publish_names(folder, about, tree),
        producer=said,
        tags=tuple(sorted({*about.tags, *(producer.tags or ())})),
        artifacts=artifacts,
    )


def _declared_status(about: SealRequest, tree: Tree, recognised: Recognised) -> Status:
    if about.status != "unknown":
        return about.status
    if recognised.status is not None and recognised.status.status != "unknown":
        return recognised.status.status
    return "success" if SUCCESS_MARKER in tree.files else "unknown"


def _producer(folder: RunFolder, manifest: Manifest, foreign: Collection[str]) -> Producer:
    """Read what the run says of itself. Records that are content were hashed: they must be the bytes that were.

    Files named in `foreign` are a framework's, and no records.
    """
    if folder.unit == "file":
        return Producer()
    records: dict[str, bytes] = {}
    for file in (*RECORD_FILES, CHECKS_FILE, METRICS_FILE):
        if file in foreign:
            continue
        entry = manifest.find(file)
        if entry is None and not file.startswith(".sealrun/"):
            continue
        body = folder.read_small(file, MAX_RECORD_BYTES)
        if body is None:
            continue
        if entry is not None and sha256(body) != entry.sha256:
            msg = f"{folder.path!r}: {file} changed after it was hashed; settle again"
            raise RunChangedError(msg)
        records[file] = body
    return read_producer(records)


def _publish_names(folder: RunFolder, about: SealRequest, tree: Tree) -> dict[str, str]:
    names = {path: name for path, name in about.names.items() if path in tree.files}
    if folder.unit == "file" and folder.name not in names:
        names[folder.name] = folder.name
    try:
        return {path: parse_artifact_name(name) for path, name in names.items()}
    except UsageError as error:
        msg = f"{folder.path!r}: {error}; rename it"
        raise RunRejectedError(msg) from error


def _check_own_sums(folder: RunFolder, about: SealRequest, manifest: Manifest) -> None:
    """Where the producer's own sums were the evidence, they must be true of the bytes.

    So must those with a ROOT_SHA256 of a folder that a command takes in: another tool sealed it.
    """
    if about.completion.method == "command" and folder.unit == "folder":
        body = folder.read_small(SUMS_MARKER, _MAX_SUMS_BYTES)
        if body is not None and not is_in_place_seal(body):  # what we sealed and was changed since is a new revision
            refuse_broken_seal(body, folder.path, {entry.path: entry.sha256 for entry in manifest.entries})
    if about.completion.evidence != SUMS_MARKER or about.completion.method != "marker":
        return
    sums = read_sums(folder.read_small(SUMS_MARKER, _MAX_SUMS_BYTES)) or {}
    actual = {entry.path: entry.sha256 for entry in manifest.entries}
    for path, digest in sorted(sums.items()):
        if actual.get(path) != digest:
            msg = f"{folder.path!r}: {path!r} is not yet what the run's own {SUMS_MARKER} says; settle again"
            raise RunChangedError(msg)
