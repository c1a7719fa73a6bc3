"""What a repair would do, and what it did. Plans are pure: a dry run prints one.

Nothing that is stored under a key is ever overwritten. A run whose bytes are damaged is sealed again by a new attempt,
with the same records: good objects are referenced, damaged ones are uploaded from a replica under keys of its own.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, RunId
from sealrun.domain.registry.publication import Stored

HERE = "this registry"
"""Name of the source that is the damaged registry itself: another object, or what is good of a damaged pack."""


class FileRepair(msgspec.Struct, frozen=True, kw_only=True):
    """One content of a run whose object is damaged (`key`), or that the refs do not name.

    `path` is the first file with it, `source` the replica that has good bytes, None if none has. `origin` is under
    which experiment, run and path that replica found them. In this registry they may be `here`, in another object or
    pack, which is referenced, or good in the damaged pack itself (`salvage`), out of which they are copied.
    """

    path: str
    digest: Digest
    size: int
    detail: str
    key: Key | None = None
    source: str | None = None
    origin: tuple[str, str, str] | None = None
    here: Stored | None = None
    salvage: Stored | None = None


class RunRepair(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be held by another attempt than those that are `broken`, newest first.

    `healthy` is an attempt that holds it already: then an earlier repair sealed it, and the rest of that is done. `was
    retired` is a run that only a pointer keeps: it is repaired and stays retired.
    """

    experiment: str
    run_id: RunId
    broken: tuple[AttemptId, ...]
    healthy: AttemptId | None = None
    was_retired: bool = False
    files: tuple[FileRepair, ...] = ()

    @property
    def ref(self) -> str:
        """The reference that names the run."""
        return f"{self.experiment}/{self.run_id}"

    @property
    def possible(self) -> bool:
        """Tell whether everything that is needed was found."""
        return self.healthy is not None or all(file.source is not None for file in self.files)

    @property
    def missing(self) -> tuple[FileRepair, ...]:
        """What nobody has."""
        return () if self.healthy is not None else tuple(file for file in self.files if file.source is None)


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """Something derived that is made again from the records.

    ``announce``: seal marker, run folder, index row and published names of a run. ``sums``: its MANIFEST.sha256.
    ``index``: a new base of an experiment's index. ``copy``: a pointer's or an index's convenience copy.
    """

    what: Literal["announce", "sums", "index", "copy"]
    ref: str
    detail: str
    attempt: AttemptId | None = None


class Remaining(msgspec.Struct, frozen=True, kw_only=True):
    """Damage that stays: what it is, and what to do."""

    ref: str
    detail: str
    path: str | None = None


class RepairPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair would do. `quarantine`: damaged objects with the run and path where each was found first."""

    quarantine: tuple[tuple[Key, str, str, str], ...] = ()
    runs: tuple[RunRepair, ...] = ()
    rebuilds: tuple[Rebuild, ...] = ()
    hopeless: tuple[Remaining, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing is damaged."""
        return not (self.quarantine or self.runs or self.rebuilds or self.hopeless)

    @property
    def upload(self) -> int:
        """Bytes that come from replicas, each content counted once."""
        files = {file.digest: file for run in self.runs if run.possible for file in run.files}
        return sum(file.size for file in files.values() if file.source not in {None, HERE})

    @property
    def remaining(self) -> tuple[Remaining, ...]:
        """What stays damaged even if all goes well."""
        nobody = tuple(
            Remaining(ref=run.ref, path=file.path, detail=f"{file.detail}; no replica has these bytes")
            for run in self.runs
            for file in run.missing
        )
        return nobody + self.hopeless


class RepairedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is whole again: `attempt` holds it, `replaced` were retired, `pointers` were moved along."""

    ref: str
    attempt: AttemptId
    replaced: tuple[AttemptId, ...]
    pointers: tuple[str, ...]
    uploaded_objects: int = 0
    uploaded_bytes: int = 0


class RepairReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair did, and what stays damaged."""

    repaired: tuple[RepairedRun, ...] = ()
    rebuilt: tuple[Rebuild, ...] = ()
    quarantined: tuple[Key, ...] = ()
    remaining: tuple[Remaining, ...] = ()
