"""Validating a run as a set of registry artifacts: seal, what it must hold, schemas, pointers, what it is made from.

Nothing is written. Every check is made, whatever another one found, unless the seal is broken: then nothing else that
the run says can be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import msgspec

from sealrun.domain.address import pointers_prefix
from sealrun.domain.curation.catalogue import POINTERS_FILE
from sealrun.domain.curation.validating import (
    MOST_TOLD,
    Check,
    Conforms,
    Finding,
    Validation,
    content_problems,
    schema_files,
)
from sealrun.domain.errors import IntegrityError, NotFoundError, UsageError
from sealrun.domain.ready import ready
from sealrun.domain.records import UNREADABLE
from sealrun.domain.registry.pointing import PointerName, Target
from sealrun.domain.runs.foreign import read_foreign_seal, seal_problems
from sealrun.domain.runs.manifest import SUMS_FILE, Manifest
from sealrun.domain.types import REGISTRY_TYPES, Dependency, TypedArtifact, composition_problems
from sealrun.services.access.reading import Reader, RunFiles
from sealrun.services.index.pointers import Pointers
from sealrun.services.mending.verifying import Verifier

MOST_GENERATIONS = 200
"""So many generations of a pointer that stands on the run are read; all of them by ``sealrun verify --all``."""
FindSchema = Callable[[str], object]
"""Returns the schema ``NAME/VERSION``, or raises `NotFoundError`."""
MakeChecker = Callable[[object], Conforms]


class RunValidator:
    """Validates runs of one registry."""

    def __init__(self, reader: Reader, pointers: Pointers, find_schema: FindSchema, make_checker: MakeChecker) -> None:
        """Read by `reader` and `pointers`; schemas are found and understood by the two."""
        self._reader = reader
        self._known = pointers
        self._find = find_schema
        self._make = make_checker

    def validate(self, target: Target, *, read_bytes: bool = True) -> Validation:
        """Look at everything; `IntegrityError` is never raised, but told as a finding."""
        ref = f"{target.experiment}/{target.run_id}"
        found = list(self._seal(target, read_bytes=read_bytes))
        if all(finding.level != "error" for finding in found):
            run = self._reader.load_files(target)
            found += self._foreign_seal(run)
            found += self._composition(run)
            found += self._schemas(run)
            found += self._pointers(run)
            found += self._dependencies(run)
        return Validation(ref=ref, findings=tuple(found), root_sha256=target.root_sha256)

    def _seal(self, target: Target, *, read_bytes: bool) -> Iterator[Finding]:
        report = Verifier(self._reader, read_bytes=read_bytes).run(target)
        for damage in report.damages[:MOST_TOLD]:
            yield _error("seal", damage.place, f"{damage.kind}: {damage.detail}")
        if not report.damages:
            yield _ok("seal", target.root_sha256[:12], f"ROOT_SHA256 and {report.objects} objects are as sealed")

    def _foreign_seal(self, run: RunFiles) -> Iterator[Finding]:
        """Look at the seal that another tool had put on the folder before it was imported, if there is one."""
        if run.manifest.find(SUMS_FILE) is None:
            return
        digests = {entry.path: entry.sha256 for entry in run.manifest.entries}
        where = f"{run.ref}:{SUMS_FILE}"
        try:
            seal = read_foreign_seal(b"".join(self._reader.chunks(run, run.entry(SUMS_FILE))), SUMS_FILE)
        except IntegrityError as error:
            yield _error("seal", where, str(error))
            return
        if seal is None:
            return
        problems = list(seal_problems(seal, digests))
        yield from (_error("seal", where, problem) for problem in problems[:MOST_TOLD])
        if not problems:
            yield _ok("seal", where, f"the folder was sealed before, as {seal.root[:12]}, and is what it was")

    def _composition(self, run: RunFiles) -> Iterator[Finding]:
        artifacts = run.envelope.artifacts or ()
        if not artifacts:
            yield _note("composition", run.ref, "holds no typed artifact: a plain run")
            return
        problems = composition_problems(_Paths(run.manifest), artifacts)
        yield from (_error("composition", run.ref, problem) for problem in problems)
        if not problems:
            yield _ok("composition", run.ref, f"{len(artifacts)} typed artifacts, and every record")

    def _schemas(self, run: RunFiles) -> Iterator[Finding]:
        paths = _Paths(run.manifest)
        for artifact in run.envelope.artifacts or ():
            if artifact.path in paths and (artifact.type in REGISTRY_TYPES or artifact.schema is not None):
                yield from self._schema(run, artifact, paths)

    def _schema(self, run: RunFiles, artifact: TypedArtifact, paths: _Paths) -> Iterator[Finding]:
        where = f"{run.ref}:{artifact.path}"
        try:
            name, conforms = self._conforms(run, artifact, paths)
            chunks = self._reader.chunks(run, run.entry(artifact.path))
            problems = list(islice(content_problems(artifact, chunks, conforms), MOST_TOLD))
        except (NotFoundError, IntegrityError, UsageError) as error:
            yield _error("schema", where, str(error))
            return
        yield from (_error("schema", where, problem) for problem in problems)
        if not problems and name is None:
            yield _note("schema", where, f"is a {artifact.type} by its form, and names no schema")
        elif not problems:
            yield _ok("schema", where, f"conforms to {name}")

    def _conforms(self, run: RunFiles, artifact: TypedArtifact, paths: _Paths) -> tuple[str | None, Conforms | None]:
        """Return the schema that the artifact names, or the one that lies beside it in the run."""
        if artifact.schema is not None:
            return artifact.schema, self._make(self._find(artifact.schema))
        for path in schema_files(artifact, paths):
            body = b"".join(self._reader.chunks(run, run.entry(path)))
            return path, self._make(decode_schema(body, path))
        return None, None

    def _pointers(self, run: RunFiles) -> Iterator[Finding]:
        """Check the logs of the experiment's pointers, and what a file of active pointers says."""
        experiment = run.target.experiment
        for name in self._reader.store.list_folders(pointers_prefix(experiment)):
            try:
                yield from self._pointer(PointerName.of_experiment(experiment, name), run.target)
            except IntegrityError as error:
                yield _error("pointers", f"{experiment}@{name}", str(error))
        for artifact in run.envelope.artifacts or ():
            if artifact.type == "pointer" and artifact.path.rpartition("/")[2] == POINTERS_FILE:
                yield from self._pointer_file(run, artifact)

    def _pointer(self, pointer: PointerName, target: Target) -> Iterator[Finding]:
        """Look at a pointer that stands on the run; of its log, which may be long, at the newest part."""
        generation = self._known.newest(pointer)
        if generation is None or generation.target.run_id != target.run_id:
            return
        seen = sum(1 for _ in islice(self._known.history(pointer), MOST_GENERATIONS))
        root = generation.target.root_sha256
        if root != target.root_sha256:
            yield _error("pointers", pointer.label, f"stands on this run with another ROOT_SHA256: {root}")
        else:
            yield _ok("pointers", pointer.label, f"stands on this run, and {seen} generations follow from each other")

    def _pointer_file(self, run: RunFiles, artifact: TypedArtifact) -> Iterator[Finding]:
        where = f"{run.ref}:{artifact.path}"
        try:
            body = b"".join(self._reader.chunks(run, run.entry(artifact.path)))
            listed = msgspec.convert(msgspec.json.decode(body), ready(_Pointers)).pointers
        except (*UNREADABLE, NotFoundError, IntegrityError) as error:
            yield _error("pointers", where, f"cannot be read as active pointers: {error}")
            return
        for said in listed:
            try:
                target = self._known.at(PointerName.of_label(said.pointer), said.generation).target
            except (NotFoundError, IntegrityError, UsageError):
                target = None
            if target is None or (target.run_id, target.root_sha256) != (said.run_id, said.root_sha256):
                yield _error("pointers", where, f"{said.pointer}: generation {said.generation} is not {said.run_id}")
            else:
                yield _ok("pointers", where, f"{said.pointer} stood on {said.run_id}")

    def _dependencies(self, run: RunFiles) -> Iterator[Finding]:
        seen: set[Dependency] = set()
        for artifact in run.envelope.artifacts or ():
            for dependency in artifact.depends_on:
                if dependency not in seen:
                    seen.add(dependency)
                    yield from self._dependency(run, artifact, dependency)
        circle = self._circle(run.target.experiment, run.envelope.artifacts or ())
        if circle:
            yield _error("dependencies", run.ref, f"is made from itself, in a circle: {' → '.join(circle)}")

    def _dependency(self, run: RunFiles, artifact: TypedArtifact, dependency: Dependency) -> Iterator[Finding]:
        where = f"{run.ref}:{artifact.path}"
        try:
            newest, found = self._stood(dependency)
        except (IntegrityError, UsageError) as error:
            yield _error("dependencies", where, str(error))
            return
        if newest is None:
            yield _error("dependencies", where, f"{dependency.pointer}: was never set")
        elif dependency.run is None:
            yield _error("dependencies", where, f"{dependency.pointer}: what it resolved to was not recorded")
        elif found is None:
            detail = f"{dependency.pointer}: never stood on {dependency.run} as it was recorded"
            yield _error("dependencies", where, detail)
        elif found.finished_at > run.envelope.finished_at:
            yield _error(
                "dependencies", where, f"{dependency.pointer}: {dependency.run} was finished later than what it is for"
            )
        elif not _is(newest, dependency):
            detail = f"{dependency.pointer}: stands on {newest.experiment}/{newest.run_id} by now: rebuild to follow it"
            yield _note("dependencies", where, detail)
        else:
            yield _ok("dependencies", where, f"{dependency.pointer}: is active, and made before")

    def _stood(self, dependency: Dependency) -> tuple[Target | None, Target | None]:
        """Return where the pointer stands, and where it stood when it was resolved: nothing if it never did."""
        newest: Target | None = None
        for generation in self._known.history(PointerName.of_label(dependency.pointer)):
            newest = newest or generation.target
            if dependency.run is None or _is(generation.target, dependency):
                return newest, generation.target
        return newest, None

    def _circle(self, experiment: str, artifacts: tuple[TypedArtifact, ...]) -> list[str]:
        """Follow the recorded runs; return the experiments on the way back to where it began, or nothing."""
        ahead = [(dependency, [experiment]) for artifact in artifacts for dependency in artifact.depends_on]
        seen: set[str] = set()
        while ahead:
            dependency, way = ahead.pop()
            other = dependency.pointer.partition("@")[0]
            if other == experiment:
                if len(way) > 1:  # a registry that is made from its own last build is no circle
                    return [*way, other]
                continue
            if dependency.run is None or dependency.run in seen:
                continue
            seen.add(dependency.run)
            try:
                envelope = self._reader.load_files(self._reader.resolve(dependency.run)).envelope
            except (NotFoundError, IntegrityError):
                continue  # it was retired since, or is told as damaged where it is validated
            ahead += [(each, [*way, other]) for artifact in envelope.artifacts or () for each in artifact.depends_on]
        return []


class _Paths:
    """The paths of a run's files, looked for one by one: there may be a million, and few are asked for."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._manifest.find(path) is not None


class _Pointer(msgspec.Struct):
    pointer: str
    generation: int
    run_id: str
    root_sha256: str


class _Pointers(msgspec.Struct):
    pointers: list[_Pointer]


def _is(target: Target, dependency: Dependency) -> bool:
    ref = f"{target.experiment}/{target.run_id}"
    return (ref, target.root_sha256) == (dependency.run, dependency.root_sha256)


def decode_schema(body: bytes, where: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Decode a schema's file; `UsageError` names it."""
    try:
        return msgspec.json.decode(body)
    except UNREADABLE as error:
        msg = f"{where}: is no JSON: {error}"
        raise UsageError(msg) from error


def _ok(check: Check, where: str, detail: str) -> Finding:
    return Finding(level="ok", check=check, where=where, detail=detail)


def _note(check: Check, where: str, detail: str) -> Finding:
    return Finding(level="note", check=check, where=where, detail=detail)


def _error(check: Check, where: str, detail: str) -> Finding:
    return Finding(level="error", check=check, where=where, detail=detail)
