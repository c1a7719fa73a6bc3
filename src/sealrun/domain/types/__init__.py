"""Types of the artifacts that make a run part of a registry: what they are, what a sealed set holds, who may rule.

`artifact` are the values that an envelope keeps, `recognition` finds them by their names, `declaring` reads what a
producer said, `composition` tells what a sealed set lacks.
"""

from sealrun.domain.types.artifact import (
    ARTIFACT_TYPES,
    AUTHORITIES,
    MANIFEST_SUBTYPES,
    REGISTRY_TYPES,
    ArtifactType,
    Authority,
    Dependency,
    TypedArtifact,
    mutability,
    parse_schema_id,
    registry_name,
)
from sealrun.domain.types.composition import SEALED_SET, composition_problems, run_folders
from sealrun.domain.types.declaring import declare_artifact, parse_pointer_ref, read_declared, typed_artifacts
from sealrun.domain.types.recognition import recognise_artifacts

__all__ = [
    "ARTIFACT_TYPES",
    "AUTHORITIES",
    "MANIFEST_SUBTYPES",
    "REGISTRY_TYPES",
    "SEALED_SET",
    "ArtifactType",
    "Authority",
    "Dependency",
    "TypedArtifact",
    "composition_problems",
    "declare_artifact",
    "mutability",
    "parse_pointer_ref",
    "parse_schema_id",
    "read_declared",
    "recognise_artifacts",
    "registry_name",
    "run_folders",
    "typed_artifacts",
]
