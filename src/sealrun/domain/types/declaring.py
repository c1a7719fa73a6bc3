"""What producers declare: read with tolerance from any record, and refused where it could not be kept.

A declaration stands in the list ``artifacts`` of ``run.json`` or ``.sealrun/done.json``::

    {"path": "RUN_REGISTRY_v0_1.jsonl", "type": "jsonl_registry", "schema": "run-registry/0.1", "authority": "derived",
     "owner": "ops", "depends_on": [{"pointer": "status@active", "run": "status/2026…", "root_sha256": "…"}]}

A registry artifact depends on a *pointer*: what stood there is recorded, and which one is read next time is decided by
whoever moves it. A path or a single run as a dependency is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sealrun.domain.address import parse_digest, parse_name
from sealrun.domain.errors import RunRejectedError, UsageError
from sealrun.domain.paths import path_problem
from sealrun.domain.records import JsonObject
from sealrun.domain.reference import PointerReference, RunReference, parse_reference
from sealrun.domain.types.artifact import (
    ARTIFACT_TYPES,
    AUTHORITIES,
    MANIFEST_SUBTYPES,
    ArtifactType,
    Authority,
    Dependency,
    TypedArtifact,
    parse_schema_id,
)
from sealrun.domain.types.recognition import Heads, recognise_artifacts

_MOST_DECLARED = 10_000


def parse_pointer_ref(text: str) -> str:
    """Return `text` if it names a pointer, ``EXPERIMENT@POINTER``. `UsageError` for a path, a run or anything else."""
    try:
        reference = parse_reference(text)
    except UsageError:
        reference = None
    if isinstance(reference, PointerReference) and reference.path is None:
        return text
    what = "one run" if isinstance(reference, RunReference) and text.count("/") == 1 else "a hard-coded path"
    msg = (
        f"depends on {text!r}: {what}; a registry artifact depends on a pointer, EXPERIMENT@POINTER such as "
        "status@active, whose run is resolved and recorded"
    )
    raise UsageError(msg)


def declare_artifact(
    path: str,
    type: str,  # noqa: A002 - the word of the format
    *,
    name: str | None = None,
    schema: str | None = None,
    authority: str | None = None,
    owner: str | None = None,
    depends_on: Iterable[Mapping[str, object]] = (),
) -> TypedArtifact:
    """Build a declaration, or raise `UsageError` that says what cannot be.

    What depends on something is derived; said to be primary it is refused.
    """
    inputs = tuple(_dependency(each) for each in depends_on)
    known_authority = _authority(authority, inputs, path)
    kind = _type(type)
    if (path != "." or kind != "run_folder") and (problem := path_problem(path)):
        msg = f"artifact {path!r}: {problem}"
        raise UsageError(msg)
    if schema is not None:
        parse_schema_id(schema)
    return TypedArtifact(
        path=path,
        type=kind,
        declared=True,
        subtype=MANIFEST_SUBTYPES.get(path.rpartition("/")[2]) if kind == "manifest" else None,
        name=None if name is None else parse_name(name, "registry name"),
        schema=schema,
        authority=known_authority,
        owner=owner,
        depends_on=inputs,
    )


def _type(text: str) -> ArtifactType:
    for known in ARTIFACT_TYPES:
        if text == known:
            return known
    msg = f"not a type of artifact: {text!r} (there is {', '.join(ARTIFACT_TYPES)})"
    raise UsageError(msg)


def _authority(text: str | None, inputs: tuple[Dependency, ...], path: str) -> Authority | None:
    if text is None:
        return "derived" if inputs else None
    for known in AUTHORITIES:
        if text == known:
            break
    else:
        msg = f"artifact {path!r}: not an authority: {text!r} (there is {', '.join(AUTHORITIES)})"
        raise UsageError(msg)
    if known == "primary" and inputs:
        msg = (
            f"artifact {path!r}: is primary, so it depends on nothing: declare it as derived, or leave depends_on away"
        )
        raise UsageError(msg)
    return known


def _dependency(value: Mapping[str, object] | object) -> Dependency:
    said = value if isinstance(value, Mapping) else {"pointer": value}
    pointer, run, root = said.get("pointer", said.get("path")), said.get("run"), said.get("root_sha256")
    if not isinstance(pointer, str):
        msg = f"depends on {value!r}: name a pointer, EXPERIMENT@POINTER"
        raise UsageError(msg)
    parse_pointer_ref(pointer)
    if (run is None) != (root is None):
        msg = f"depends on {pointer!r}: what it resolved to is a run and its root_sha256; give both"
        raise UsageError(msg)
    if run is None:
        return Dependency(pointer=pointer)
    if not isinstance(run, str) or not isinstance(parse_reference(run), RunReference):
        msg = f"depends on {pointer!r}: not the run that it resolved to: {run!r} (EXPERIMENT/RUN_ID)"
        raise UsageError(msg)
    return Dependency(pointer=pointer, run=run, root_sha256=parse_digest(str(root)))


def read_declared(value: object, where: str) -> tuple[TypedArtifact, ...]:
    """Read the ``artifacts`` of a record by anybody. What is not meant for us is not used.

    `RunRejectedError` where one is meant for us, says its `path` and its `type`, and cannot be kept: a hard-coded path
    among what it depends on, a schema or an authority that cannot be.
    """
    found: dict[str, TypedArtifact] = {}
    for item in value[:_MOST_DECLARED] if isinstance(value, list) else ():
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("path"), str)
            or item.get("type") not in ARTIFACT_TYPES
        ):
            continue
        try:
            artifact = _from_json(item)
        except UsageError as error:
            msg = f"{where}: artifact {item['path']!r}: {error}"
            raise RunRejectedError(msg) from error
        found[artifact.path] = artifact
    return tuple(found.values())


def _from_json(item: JsonObject) -> TypedArtifact:
    texts = {key: item[key] for key in ("name", "schema", "authority", "owner") if isinstance(item.get(key), str)}
    inputs = item.get("depends_on", [])
    inputs = inputs if isinstance(inputs, list) else [inputs]
    return declare_artifact(item["path"], item["type"], depends_on=inputs, **texts)


def typed_artifacts(
    declared: object, look: Heads, but: Collection[str], where: str
) -> tuple[TypedArtifact, ...] | None:
    """Return what an envelope keeps: what was declared, and what is recognised beside it; None if there is nothing.

    `but`: files of a framework, which are no registry artifacts. Sorted by path: the same run, the same bytes.
    """
    said = read_declared(declared, where)
    taken = {artifact.path for artifact in said}
    seen = [artifact for artifact in recognise_artifacts(look, but) if artifact.path not in taken]
    return tuple(sorted([*said, *seen], key=lambda artifact: artifact.path)) or None
