"""What a collection would take, run by run and by the names that people know: for a dry run. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, RunId, is_pack, parse_object_key, refs_key, run_key
from sealrun.domain.errors import IntegrityError, NotFoundError
from sealrun.domain.grouping import in_portions
from sealrun.domain.registry.publication import Refs
from sealrun.domain.runs.manifest import MANIFEST_FILE, Manifest
from sealrun.ports import Glimpse, Store
from sealrun.services.collection.collecting import CollectionPlan
from sealrun.services.collection.tallying import RunShare
from sealrun.services.threads.fanning import fan_through

_AT_ONCE = 100_000
_READ_AHEAD = 4
"""How many runs' manifests are read at the same time: each may be large."""


class DoomedFile(msgspec.Struct, frozen=True, kw_only=True):
    """An object or a pack that would go, and where in the run its bytes were; no paths if no record tells."""

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
    seen: Glimpse = plan.overview or store
    attempts: dict[str | None, list[AttemptId]] = {}
    for dead in plan.marks.dead:
        attempts.setdefault(dead.ref, []).append(dead.attempt)
    width = store.capabilities.side_by_side
    for shares in in_portions(plan.shares, lambda share: share.objects, _AT_ONCE):
        wanted: dict[str | None, list[DoomedFile]] = {share.ref: [] for share in shares}
        for found in plan.doomed:
            if found.used_by in wanted:
                wanted[found.used_by].append(DoomedFile(key=found.key, size=found.size))

        def name(share: RunShare, wanted: Mapping[str | None, list[DoomedFile]] = wanted) -> DoomedRun:
            files = _named(seen, share.ref, wanted[share.ref], attempts.get(share.ref, ()))
            return DoomedRun(ref=share.ref, objects=share.objects, size=share.size, files=files)

        yield from fan_through(name, shares, min(width, len(shares), _READ_AHEAD))


def _named(
    seen: Glimpse, ref: str | None, doomed: Sequence[DoomedFile], attempts: Iterable[AttemptId]
) -> tuple[DoomedFile, ...]:
    """Add the paths that the run's records tell, and sort by them."""
    packs = {file.key for file in doomed if is_pack(file.key)}
    paths = {} if ref is None else _paths(seen, ref, attempts if packs else (), packs)
    named = (msgspec.structs.replace(file, paths=tuple(paths.get(_content(file.key), ()))) for file in doomed)
    return tuple(sorted(named, key=lambda file: (file.paths, file.key)))


def _content(key: Key) -> str:
    """What stands for the content of an object, or of a pack: its digest, or the key itself."""
    return key if is_pack(key) else parse_object_key(key).digest


def _paths(seen: Glimpse, ref: str, attempts: Iterable[AttemptId], packs: Collection[Key]) -> dict[str, list[str]]:
    """Paths by content; none if the manifest is gone or damaged, since what is listed needs no names to be deleted."""
    experiment, _, run_id = ref.partition("/")
    key = run_key(experiment, RunId(run_id), MANIFEST_FILE)
    try:
        manifest = Manifest.decode(seen.read(key), key)
    except (NotFoundError, IntegrityError):
        return {}
    members = _members(seen, attempts)
    paths: dict[str, list[str]] = {}
    for entry in manifest.entries:
        paths.setdefault(entry.sha256, []).append(entry.path)
        for pack in members.get(entry.sha256, frozenset()) & frozenset(packs):
            paths.setdefault(pack, []).append(entry.path)
    return paths


def _members(seen: Glimpse, attempts: Iterable[AttemptId]) -> dict[Digest, frozenset[Key]]:
    """In which packs each content of a run lay, as far as the refs of its dead attempts are still there."""
    found: dict[Digest, frozenset[Key]] = {}
    for attempt in attempts:
        key = refs_key(attempt)
        try:
            places = Refs.decode(seen.read(key), key).objects
        except (NotFoundError, IntegrityError):
            continue
        for digest, stored in places.items():
            if stored.offset is not None:
                found[digest] = found.get(digest, frozenset()) | {stored.key}
    return found
