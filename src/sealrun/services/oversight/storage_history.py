"""A registry over time: now and then a point is taken, and the older points are, the fewer of them are kept.

How many objects there are, and how many bytes, is known from listing all of them, which a large registry is not asked
for at every point: it may take a hundredth of the time at most, and points between two listings repeat the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sealrun.domain.address import OBJECTS, PACKS
from sealrun.domain.moments import shown_time
from sealrun.domain.oversight.board import StoragePoint
from sealrun.domain.ready import ready
from sealrun.ports import Clock, Facts, Store
from sealrun.services.oversight.run_lists import RunLists

EVERY_S = 3600.0
_DAY_S = 24 * 3600.0
_THINNING = ((7 * _DAY_S, 0.0), (90 * _DAY_S, _DAY_S / 4), (730 * _DAY_S, _DAY_S))
"""Up to which age how far apart points are kept; those that are older, a week."""
_LAST_S = 7 * _DAY_S
MOST_POINTS = 2000
_SHARE = 100.0


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A point as the journal has it. `listed_at` is when objects were last listed, and `listing_s` what that took."""

    at: float
    runs: int
    logical: int
    stored: int | None = None
    objects: int | None = None
    requests: Mapping[str, int] = msgspec.field(default_factory=dict)
    listed_at: float = 0.0
    listing_s: float = 0.0


def storage_points(facts: Facts, registry: str) -> Sequence[StoragePoint]:
    """Return the points of a registry, oldest first."""
    return [
        StoragePoint(
            at=shown_time(kept.at),
            registry=registry,
            runs=kept.runs,
            logical_bytes=kept.logical,
            stored_bytes=kept.stored,
            objects=kept.objects,
            requests=kept.requests,
        )
        for kept in _read(facts, registry)
    ]


def take_point(
    facts: Facts, clock: Clock, registry: str, store: Store, lists: RunLists, requests: Mapping[str, int]
) -> None:
    """Take a point and remember it, durably. `requests` are those of this process so far. Errors of the store rise."""
    before = _read(facts, registry)
    last = before[-1] if before else None
    rows = [row for _, row in lists.all()]
    point = _Kept(
        at=clock.now().timestamp(),
        runs=len(rows),
        logical=sum(row.size for row in rows),
        requests=dict(requests),
    )
    if last is None or point.at - last.listed_at >= _SHARE * last.listing_s or last.stored is None:
        began = clock.monotonic()
        objects, stored = _listed(store)
        took = clock.monotonic() - began
        point = msgspec.structs.replace(point, stored=stored, objects=objects, listed_at=point.at, listing_s=took)
    else:
        point = msgspec.structs.replace(
            point, stored=last.stored, objects=last.objects, listed_at=last.listed_at, listing_s=last.listing_s
        )
    kept = thinned([*before, point], point.at)
    facts.set_fact(_fact(registry), [msgspec.to_builtins(each) for each in kept])


def thinned(points: Sequence[_Kept], now: float) -> list[_Kept]:
    """Leave out what is too close to the one before it for its age; points from a clock that was wrong stay."""
    kept: list[_Kept] = []
    for point in points:
        age = now - point.at
        apart = next((apart for most, apart in _THINNING if age <= most), _LAST_S)
        if not kept or point is points[-1] or abs(point.at - kept[-1].at) >= apart:
            kept.append(point)
    return kept[-MOST_POINTS:]


def _listed(store: Store) -> tuple[int, int]:
    objects = size = 0
    for prefix in (OBJECTS, PACKS):
        for found in store.list(prefix):
            objects += 1
            size += found.size
    return objects, size


def _read(facts: Facts, registry: str) -> list[_Kept]:
    known = facts.fact(_fact(registry))
    return msgspec.convert(known, ready(list[_Kept])) if isinstance(known, list) else []


def _fact(registry: str) -> str:
    return f"storage:{registry}"
