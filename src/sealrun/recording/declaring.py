"""Declaring which files of a run are typed artifacts, and what they were made from."""

from __future__ import annotations

import abc
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from sealrun.domain.errors import UsageError
from sealrun.domain.types import Dependency, TypedArtifact, declare_artifact


class DeclaredArtifacts(abc.ABC):
    """What of a recorded run has to do with typed artifacts."""

    @property
    @abc.abstractmethod
    def run_dir(self) -> Path:
        """The run's folder. `UsageError` before it has one."""

    @abc.abstractmethod
    def _declare(self, artifact: TypedArtifact) -> None:
        """Put a declaration into the record, in the place of an earlier one of the same path."""

    def declare_artifact(
        self,
        path: str | os.PathLike[str],
        type: str,  # noqa: A002 - the word of the format
        *,
        name: str | None = None,
        schema: str | None = None,
        authority: str | None = None,
        owner: str | None = None,
        depends_on: Iterable[Dependency] = (),
    ) -> TypedArtifact:
        """Declare a file of the run (`path` is inside it) to be a typed artifact of a registry.

        `type` is run_folder, jsonl_registry, json_snapshot, index, pointer or manifest. `name` is the registry's, by
        default the file's without its version; `schema` is ``NAME/VERSION``; `authority` is primary or derived. Each
        of `depends_on` comes from `sealrun.depends_on`, which resolves a pointer: a path, or a pointer that was not
        resolved, is refused. `UsageError` says what cannot be; the file may be written before or after.
        """
        folder = self.run_dir
        place = PurePath(path)
        if place.is_absolute():
            if not place.is_relative_to(folder):
                msg = f"artifact {str(path)!r}: is not in the run's folder {folder}"
                raise UsageError(msg)
            place = place.relative_to(folder)
        artifact = declare_artifact(
            place.as_posix(),
            type,
            name=name,
            schema=schema,
            authority=authority,
            owner=owner,
            depends_on=[_resolved(each) for each in depends_on],
        )
        self._declare(artifact)
        return artifact


def _resolved(dependency: object) -> Mapping[str, object]:
    """Return a dependency as the record has it; `UsageError` for what is none, or was not resolved."""
    if isinstance(dependency, Dependency) and dependency.run is not None:
        said = {"pointer": dependency.pointer, "run": dependency.run, "root_sha256": dependency.root_sha256}
        return dict(said)
    shown = dependency.pointer if isinstance(dependency, Dependency) else dependency
    msg = (
        f"depends on {shown!r}: is no pointer that was resolved; a hard-coded path or an unresolved name says nothing "
        "of what was read: use sealrun.depends_on('EXPERIMENT@POINTER')"
    )
    raise UsageError(msg)
