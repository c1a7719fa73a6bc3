"""Validating a folder on this machine that another tool sealed: nothing is written, nothing has to be published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import msgspec

from sealrun.domain.curation.validating import (
    MOST_TOLD,
    Check,
    Conforms,
    Finding,
    Validation,
    content_problems,
    schema_files,
)
from sealrun.domain.errors import IntegrityError, NotFoundError, RunRejectedError, UnsupportedFormatError, UsageError
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, RECORD_FILES, read_producer
from sealrun.domain.runs.foreign import (
    ForeignPointer,
    listing_problems,
    read_foreign_seal,
    read_pointers,
    seal_problems,
)
from sealrun.domain.runs.manifest import ARTIFACTS, MANIFEST_FILE, RUN_FILE, SUMS_FILE, Entry
from sealrun.domain.runs.run import Envelope
from sealrun.domain.types import REGISTRY_TYPES, TypedArtifact, composition_problems, typed_artifacts
from sealrun.ports import RunFolder, Tree
from sealrun.services.curation.validating import decode_schema
from sealrun.services.watching.recognising import FolderLook

_MAX_SUMS_BYTES = 64 << 20
_CHUNK = 1 << 20


class FolderValidator:
    """Validates one folder as a sealed set of registry artifacts."""

    def __init__(
        self,
        folder: RunFolder,
        find_schema: Callable[[str], object],
        make_checker: Callable[[object], Conforms],
        near: Callable[[str], RunFolder | None],
    ) -> None:
        """See `RunValidator`. `near` finds the run folder that a pointer's file names, or None."""
        self._near = near
        self._folder = folder
        self._find = find_schema
        self._make = make_checker

    def validate(self) -> Validation:
        """Hash everything, and look at seal, composition and schemas. `RunRejectedError`: it is no run folder."""
        tree = self._folder.scan()
        entries = {entry.path: entry for entry in self._folder.hash(tree).entries}
        findings = list(self._seal(entries))
        try:
            artifacts = self._artifacts(tree)
        except RunRejectedError as error:
            findings.append(_found("error", "dependencies", self._folder.path, str(error)))
        else:
            findings += self._composition(entries, artifacts)
            findings += self._schemas(entries, artifacts)
            findings += self._pointers(artifacts)
        sums = self._folder.read_small(SUMS_FILE, _MAX_SUMS_BYTES)
        root = None
        if sums and all(finding.level != "error" for finding in findings):
            seal = read_foreign_seal(sums, SUMS_FILE)
            root = None if seal is None else str(seal.root)
        return Validation(ref=self._folder.path, findings=tuple(findings), root_sha256=root)

    def _seal(self, entries: Mapping[str, Entry]) -> Iterator[Finding]:
        body = self._folder.read_small(SUMS_FILE, _MAX_SUMS_BYTES)
        if body is None:
            yield _found("error", "seal", SUMS_FILE, "is not there: the folder is not sealed")
            return
        digests = {path: entry.sha256 for path, entry in entries.items()}
        sizes = {path: entry.size for path, entry in entries.items()}
        try:
            seal = read_foreign_seal(body, SUMS_FILE)
        except IntegrityError as error:
            yield _found("error", "seal", SUMS_FILE, str(error))
            return
        if seal is None:
            yield _found("error", "seal", SUMS_FILE, "says no ROOT_SHA256")
            return
        listing = self._folder.read_small(MANIFEST_FILE, _MAX_SUMS_BYTES)
        problems = [*seal_problems(seal, digests)]
        problems += listing_problems(listing, digests, sizes, ARTIFACTS if self._own() is not None else "")
        yield from (_found("error", "seal", self._folder.name, problem) for problem in problems[:MOST_TOLD])
        if not problems:
            yield _found("ok", "seal", SUMS_FILE, f"{len(seal.sums)} files and ROOT_SHA256 {seal.root} are as sealed")

    def _artifacts(self, tree: Tree) -> tuple[TypedArtifact, ...]:
        own = self._own()
        if own is not None:
            inside = own.artifacts or ()
            return tuple(msgspec.structs.replace(each, path=_below(each.path)) for each in inside)
        read = ((file, self._folder.read_small(file, MAX_RECORD_BYTES)) for file in RECORD_FILES)
        declared = read_producer({file: body for file, body in read if body is not None}).artifacts
        return typed_artifacts(declared, FolderLook(self._folder, tree), (), self._folder.name) or ()

    def _own(self) -> Envelope | None:
        """Return the envelope if it is one of ours: a run folder as ``get --sealed`` restores it."""
        body = self._folder.read_small(RUN_FILE, MAX_RECORD_BYTES)
        try:
            return None if body is None else Envelope.decode(body, RUN_FILE)
        except UnsupportedFormatError:
            return None

    def _composition(self, entries: Mapping[str, Entry], artifacts: tuple[TypedArtifact, ...]) -> Iterator[Finding]:
        whole = artifacts
        if all(artifact.type != "run_folder" for artifact in artifacts):
            whole = (TypedArtifact(path=".", type="run_folder"), *artifacts)
        problems = composition_problems(entries.keys(), whole)
        yield from (_found("error", "composition", self._folder.name, problem) for problem in problems)
        if not problems:
            yield _found("ok", "composition", self._folder.name, f"{len(whole)} typed artifacts, and every record")

    def _schemas(self, entries: Mapping[str, Entry], artifacts: tuple[TypedArtifact, ...]) -> Iterator[Finding]:
        for artifact in artifacts:
            if artifact.type not in REGISTRY_TYPES or artifact.path not in entries:
                continue
            try:
                name, conforms = self._conforms(artifact, entries)
                chunks = self._chunks(entries[artifact.path])
                problems = list(islice(content_problems(artifact, chunks, conforms), MOST_TOLD))
            except (NotFoundError, IntegrityError, UsageError) as error:
                problems, name = [str(error)], None
            yield from (_found("error", "schema", artifact.path, problem) for problem in problems)
            if not problems and name is None:
                yield _found("note", "schema", artifact.path, f"is a {artifact.type} by its form, and names no schema")
            elif not problems:
                yield _found("ok", "schema", artifact.path, f"conforms to {name}")

    def _pointers(self, artifacts: tuple[TypedArtifact, ...]) -> Iterator[Finding]:
        """Follow each pointer's file: the folder is there, sealed with the root and of the run that are said."""
        for artifact in artifacts:
            if artifact.type != "pointer":
                continue
            try:
                body = self._folder.read_small(artifact.path, MAX_RECORD_BYTES) or b""
                pointers = read_pointers(body, artifact.path)
            except IntegrityError as error:
                yield _found("error", "pointers", artifact.path, str(error))
                continue
            for pointer in pointers:
                problem = self._pointer_problem(pointer)
                detail = problem or f"leads to {pointer.run_root}"
                yield _found("error" if problem else "ok", "pointers", artifact.path, detail)

    def _pointer_problem(self, pointer: ForeignPointer) -> str | None:
        folder = self._near(pointer.run_root)
        if folder is None:
            return f"leads to {pointer.run_root}, which is not there: not below this folder, nor below those above it"
        sums = folder.read_small(SUMS_FILE, _MAX_SUMS_BYTES)
        try:
            seal = None if sums is None else read_foreign_seal(sums, f"{pointer.run_root}/{SUMS_FILE}")
        except IntegrityError as error:
            return str(error)
        if seal is None:
            return f"leads to {pointer.run_root}, which is not sealed"
        if pointer.root_sha256 not in {None, seal.root}:
            return f"says ROOT_SHA256 {pointer.root_sha256} of {pointer.run_root}, which was sealed as {seal.root}"
        said = read_producer({"run.json": folder.read_small("run.json", MAX_RECORD_BYTES) or b""}).run_id
        if pointer.run_id not in {None, said, folder.name}:
            return f"says run {pointer.run_id} of {pointer.run_root}, which is run {said or folder.name}"
        return None

    def _conforms(self, artifact: TypedArtifact, entries: Mapping[str, Entry]) -> tuple[str | None, Conforms | None]:
        for path in schema_files(artifact, entries):
            return path, self._make(decode_schema(b"".join(self._chunks(entries[path])), path))
        if artifact.schema is not None:
            return artifact.schema, self._make(self._find(artifact.schema))
        return None, None

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        with self._folder.source(entry).open() as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def _below(path: str) -> str:
    return ARTIFACTS.removesuffix("/") if path == "." else ARTIFACTS + path


def _found(level: str, check: Check, where: str, detail: str) -> Finding:
    return Finding(level=level, check=check, where=where, detail=detail)  # type: ignore[arg-type] # literals of this module
