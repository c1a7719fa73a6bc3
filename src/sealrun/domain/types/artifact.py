"""What an envelope keeps of a typed artifact, and the rules of authority.

==============  ====================================================================================
type            what it is
==============  ====================================================================================
run_folder      a folder with the whole sealed set of one build: records, sums, registry artifact
jsonl_registry  a JSONL file; each line is an object; every build writes all of it anew
json_snapshot   one JSON file with a complete state
index           a CSV or JSON file that maps identifiers to places
pointer         a file that says where another artifact is; of all types the only one meant to change
manifest        a file that lists and hashes others; its sub-type says which kind
==============  ====================================================================================
"""

from __future__ import annotations

import re
from typing import Literal, get_args

import msgspec

from sealrun.domain.address import parse_name
from sealrun.domain.errors import UsageError

ArtifactType = Literal["run_folder", "jsonl_registry", "json_snapshot", "index", "pointer", "manifest"]
ARTIFACT_TYPES: tuple[ArtifactType, ...] = get_args(ArtifactType)
REGISTRY_TYPES: frozenset[ArtifactType] = frozenset({"jsonl_registry", "json_snapshot", "index"})
"""Types that hold a registry's own content: a sealed set has at least one of them."""
Authority = Literal["primary", "derived"]
AUTHORITIES: tuple[Authority, ...] = get_args(Authority)
MANIFEST_SUBTYPES = {
    "manifest.json": "structured",
    "MANIFEST.sha256": "sums",
    "build_manifest.json": "build",
    "data_manifest.json": "data",
    "pack_sha256.txt": "pack",
}
"""Sub-type of a manifest by its file's name."""
_VERSIONED = re.compile(r"(.+?)_v[0-9]+(?:[._][0-9]+)*\Z")


class Dependency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a registry artifact was made from: a pointer, and where it stood when it was read.

    `pointer` is ``EXPERIMENT@POINTER``. `run` (``EXPERIMENT/RUN_ID``) and `root_sha256` are absent where the producer
    did not record what the pointer resolved to.
    """

    pointer: str
    run: str | None = None
    root_sha256: str | None = None


class TypedArtifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One typed artifact of a run. `path` is its file inside the run, or of a run folder its folder (``.``: the run).

    `declared`: its producer said so; else its name did. `schema` is ``NAME/VERSION`` of a schema in the registry.
    """

    path: str
    type: ArtifactType
    declared: bool = False
    subtype: str | None = None
    name: str | None = None
    schema: str | None = None
    authority: Authority | None = None
    owner: str | None = None
    depends_on: tuple[Dependency, ...] = ()

    @property
    def registry(self) -> str:
        """The name of the registry that the artifact is one build of."""
        return self.name or registry_name(self.path)


def registry_name(path: str) -> str:
    """Name a registry after its file, without folder, suffix and version.

    ``out/RUN_REGISTRY_v0_1.jsonl`` is of ``RUN_REGISTRY``: a new version of its schema is the same registry.
    """
    stem = path.rpartition("/")[2].partition(".")[0] or path
    match = _VERSIONED.match(stem)
    return match[1] if match else stem


def parse_schema_id(text: str) -> tuple[str, str]:
    """Read ``NAME/VERSION``, or raise `UsageError`."""
    name, slash, version = text.partition("/")
    if not slash:
        msg = f"not a schema: {text!r} (NAME/VERSION, such as run-registry/0.1; list them with: sealrun schema ls)"
        raise UsageError(msg)
    return parse_name(name, "schema name"), parse_name(version, "schema version")


def mutability(kind: ArtifactType, authority: Authority | None, *, sealed: bool = True) -> str:
    """Say who may change an artifact, by its type and authority.

    What is sealed is never changed, whatever it is: a rebuild is a new run, and a pointer selects which one is active.
    """
    if sealed:
        return "immutable: a rebuild is a new run"
    if kind == "pointer":
        return "mutable: moved by command, with its history"
    if authority == "derived":
        return "rebuilt from its inputs, never edited"
    return "mutable through governance only, until it is sealed"
