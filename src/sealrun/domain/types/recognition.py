"""Recognising typed artifacts by name and by the first bytes: for runs whose producers declare nothing.

A guess is marked as one (`TypedArtifact.declared` is False) and claims little: no schema, no authority.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol

from sealrun.domain.types.artifact import MANIFEST_SUBTYPES, ArtifactType, TypedArtifact
from sealrun.domain.types.composition import run_folders

MOST_RECOGNISED = 1000
"""So many artifacts are recognised in one run at most; those that are declared do not count."""
_HEAD = 64 << 10
_SUFFIXES = (".jsonl", ".json", ".csv", ".txt", ".sha256")
_SNAPSHOT = re.compile(r".+_v[0-9]+(?:[._][0-9]+)*\.json\Z")
_POINTER = re.compile(r"(ACTIVE_.*POINTERS.*\.json|LATEST\.txt)\Z")


class Heads(Protocol):
    """The files of a run, as far as recognising looks at them."""

    @property
    def files(self) -> Mapping[str, object]:
        """Every file, by its path."""
        ...

    def start(self, path: str, length: int) -> bytes | None:
        """Return at most the first `length` bytes."""
        ...


def recognise_artifacts(look: Heads, but: Collection[str] = ()) -> tuple[TypedArtifact, ...]:
    """Return what the names of a run's files say, sorted by path; nothing of the files named in `but`.

    Manifests are told only beside something that they are manifests of: every run has some.
    """
    found = [artifact for artifact in _by_name(look, but) if artifact is not None][:MOST_RECOGNISED]
    folders = [TypedArtifact(path=folder, type="run_folder") for folder in run_folders(look.files)]
    if not folders and all(artifact.type == "manifest" for artifact in found):
        return ()
    return tuple(sorted([*folders, *found], key=lambda artifact: artifact.path))


def _by_name(look: Heads, but: Collection[str]) -> Iterator[TypedArtifact | None]:
    named: Iterable[str] = (path for path in look.files if path.endswith(_SUFFIXES) and path not in but)
    return (_artifact(look, path) for path in sorted(named))


def _artifact(look: Heads, path: str) -> TypedArtifact | None:
    name = path.rpartition("/")[2]
    if name in MANIFEST_SUBTYPES:
        return TypedArtifact(path=path, type="manifest", subtype=MANIFEST_SUBTYPES[name])
    kind = _kind(name)
    if kind is None or not _looks_like(kind, name, look.start(path, _HEAD) or b""):
        return None
    return TypedArtifact(path=path, type=kind)


def _kind(name: str) -> ArtifactType | None:
    if name.endswith(".schema.json"):
        return None
    if _POINTER.match(name):
        return "pointer"
    if name in {"index.csv", "index.json"}:
        return "index"
    if name.endswith(".jsonl"):
        return "jsonl_registry"
    return "json_snapshot" if _SNAPSHOT.match(name) else None


def _looks_like(kind: ArtifactType, name: str, head: bytes) -> bool:
    """Tell whether a file begins as its name promises."""
    if kind == "jsonl_registry":
        line, newline, _ = head.partition(b"\n")
        if not newline and len(head) == _HEAD:
            return head.lstrip().startswith(b"{")
        try:
            return isinstance(json.loads(line), dict)
        except (ValueError, RecursionError):
            return False
    if name.endswith(".json"):
        return head.lstrip()[:1] in {b"{", b"["}
    return bool(head.strip())
