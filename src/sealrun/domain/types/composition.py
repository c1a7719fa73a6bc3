"""What a sealed set of registry artifacts must hold."""

from __future__ import annotations

from collections.abc import Container, Iterable

from sealrun.domain.types.artifact import REGISTRY_TYPES, TypedArtifact

SEALED_SET = ("run.json", "manifest.json", "MANIFEST.sha256")
"""Records of a run folder: who made it, what it holds, and the sums of that."""


def run_folders(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the folders among `paths` that hold a whole set of records, sorted; ``.`` is the run itself."""
    seen: dict[str, set[str]] = {}
    for path in paths:
        if path.endswith(SEALED_SET):
            folder, _, name = path.rpartition("/")
            if name in SEALED_SET:
                seen.setdefault(folder, set()).add(name)
    return tuple(sorted(folder or "." for folder, names in seen.items() if len(names) == len(SEALED_SET)))


def composition_problems(paths: Container[str], artifacts: Iterable[TypedArtifact]) -> tuple[str, ...]:
    """Say what a sealed set of these files and artifacts lacks, or contradicts; nothing if it is whole.

    The records of a run in a registry are there by its seal; those of a run folder inside the run, or of one that
    another tool sealed, have to be among `paths`.
    """
    known = list(artifacts)
    found: list[str] = []
    if not any(artifact.type in REGISTRY_TYPES for artifact in known):
        found.append("holds no registry artifact (jsonl_registry, json_snapshot or index)")
    for artifact in known:
        if artifact.type == "run_folder":
            found += _missing_records(artifact, paths)
        elif artifact.path not in paths:
            found.append(f"{artifact.path}: is declared as {artifact.type}, and not there")
        if artifact.authority == "primary" and artifact.depends_on:
            inputs = ", ".join(dependency.pointer for dependency in artifact.depends_on)
            found.append(f"{artifact.path}: is primary, and depends on {inputs}: what is made from others is derived")
    return tuple(found)


def _missing_records(artifact: TypedArtifact, paths: Container[str]) -> list[str]:
    prefix = "" if artifact.path == "." else f"{artifact.path}/"
    missing = [name for name in SEALED_SET if prefix + name not in paths]
    return [f"{artifact.path}: is declared as run_folder, without {', '.join(missing)}"] if missing else []
