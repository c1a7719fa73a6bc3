"""What a collection would take, run by run and by the names that people know: for a dry run. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from sealrun.domain.address import Digest, Key, RunId, parse_object_key, run_key
from sealrun.domain.errors import IntegrityError, NotFoundError
from sealrun.domain.manifest import MANIFEST_FILE, Manifest
from sealrun.ports import Store
from sealrun.services.collecting import CollectionPlan, RunShare

_AT_ONCE = 100_000


class DoomedFile(msgspec.Struct, frozen=True, kw_only=True):
    """An object that would go, and where in the run its bytes were; no paths if no record tells."""

    key: Key
    size: int
    paths: tuple[str, ...] = ()


class DoomedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What would go of one run; with no `ref`, of attempts that never sealed one."""

    ref: str | None
    objects: int
    size: int
    files: tuple[DoomedFile, ...]


def foretell(store: Store, plan: CollectionPlan) -> Iterator[DoomedRun]:
    """Yield every run that loses objects, by reference, with each of them. Holds no more than some runs at a time."""
    for shares in _groups(plan.shares):
        wanted: dict[str | None, list[DoomedFile]] = {share.ref: [] for share in shares}
        for found in plan.doomed:
            if found.used_by in wanted:
                wanted[found.used_by].append(DoomedFile(key=found.key, size=found.size))
        for share in shares:
            files = _named(store, share.ref, wanted.pop(share.ref))
            yield DoomedRun(ref=share.ref, objects=share.objects, size=share.size, files=files)


def _groups(shares: Iterable[RunShare]) -> Iterator[list[RunShare]]:
    group: list[RunShare] = []
    for share in shares:
        group.append(share)
        if sum(one.objects for one in group) >= _AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _named(store: Store, ref: str | None, files: Iterable[DoomedFile]) -> tuple[DoomedFile, ...]:
    """Add the paths that the run's manifest tells, and sort by them."""
    paths = {} if ref is None else _paths(store, ref)
    named = (
        msgspec.structs.replace(file, paths=tuple(paths.get(parse_object_key(file.key).digest, ()))) for file in files
    )
    return tuple(sorted(named, key=lambda file: (file.paths, file.key)))


def _paths(store: Store, ref: str) -> dict[Digest, list[str]]:
    """Paths by digest; none if the manifest is gone or damaged, since what is listed needs no names to be deleted."""
    experiment, _, run_id = ref.partition("/")
    key = run_key(experiment, RunId(run_id), MANIFEST_FILE)
    try:
        manifest = Manifest.decode(store.read(key), key)
    except (NotFoundError, IntegrityError):
        return {}
    paths: dict[Digest, list[str]] = {}
    for entry in manifest.entries:
        paths.setdefault(entry.sha256, []).append(entry.path)
    return paths
