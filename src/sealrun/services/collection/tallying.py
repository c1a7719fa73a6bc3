"""What one collection's look at the store counts: what is there, what nobody needs, whose it was, what is sparse."""

from __future__ import annotations

from collections import Counter

import msgspec

from sealrun.domain.upkeep.collection import CondemnedObject
from sealrun.domain.upkeep.marking import Doomed, part_of_key
from sealrun.domain.upkeep.repacking import Chosen, RepackLimits, SparsePacks
from sealrun.ports import ObjectStat
from sealrun.services.collection.marks import Marks


class RunShare(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection takes of one run, or with no `ref` of attempts that never sealed one."""

    ref: str | None
    objects: int
    size: int


class Tally:
    """Counts. `lost_objects` and `lost_size` are of the `doomed` without what another attempt of the run replaced."""

    def __init__(self, marks: Marks, limits: RepackLimits) -> None:
        """Judge by `marks`, which are complete. Objects come sorted by key, then packs."""
        self.objects = self.size = self.young = self.lost_objects = self.lost_size = 0
        self.doomed = Doomed()
        self._marks = marks
        self._superseded = marks.superseded()
        self._sparse = None if marks.packs is None else SparsePacks(marks.packs, limits)
        self._count: Counter[str | None] = Counter()
        self._bytes: Counter[str | None] = Counter()

    def count(self, found: ObjectStat) -> None:
        """Something is there."""
        self.objects += 1
        self.size += found.size

    def not_needed(self, found: ObjectStat, *, old: bool) -> None:
        """Nobody needs it; unless it is `old`, it is not touched yet."""
        if not old:
            self.young += 1
            return
        user = self._marks.last_user(found.key)
        self.doomed.add(CondemnedObject(key=found.key, size=found.size, used_by=user))
        self._count[user] += 1
        self._bytes[user] += found.size
        if not self._superseded.holds(part_of_key(found.key), found.key):
            self.lost_objects += 1
            self.lost_size += found.size

    def needed_pack(self, found: ObjectStat) -> None:
        """An old pack is needed, be it for one member."""
        if self._sparse is not None:
            self._sparse.consider(found.key, found.size)

    def sparse(self) -> Chosen:
        """Of the packs that were needed, those that are worth being written again."""
        return Chosen() if self._sparse is None else self._sparse.choose()

    def shares(self) -> tuple[RunShare, ...]:
        """What is taken of whom, by reference."""
        refs = sorted(self._count, key=lambda ref: (ref is None, ref or ""))
        return tuple(RunShare(ref=ref, objects=self._count[ref], size=self._bytes[ref]) for ref in refs)
