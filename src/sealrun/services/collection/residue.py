"""What collections and compactions leave that nobody can need any more: records of batches, and bases of an index.

A **batch** is over when its condemned record is gone. Nothing that is done later can be about it: who finishes batches
finds none, and its owner, should it have slept since, looks whether its record stands before it deletes anything. So
verdict and log may go; they stay for long all the same, since they tell who deleted what.

A **base** may go once a newer one stands. Readers want the newest. A compactor that slept may make a base under the
number of one that is gone, and win; but it removes no row before it has seen that its base is the newest, which that
one is not.

Ages are those of the store's own clock. They are no part of these arguments, but for one thing: a request that lingers
in the network for longer could make a condemned record stand again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec

from sealrun.domain.address import CONDEMNED, Key
from sealrun.ports import ObjectStat


class Residue(msgspec.Struct, frozen=True):
    """Keys that may be deleted, in the order in which they are."""

    found: tuple[ObjectStat, ...] = ()

    @property
    def keys(self) -> list[Key]:
        """The keys."""
        return [stat.key for stat in self.found]

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(stat.size for stat in self.found)


def ended_batches(listed: Iterable[ObjectStat], before: float) -> Iterator[ObjectStat]:
    """Of a listing of ``gc/``, the records of batches that are over and left nothing that is younger; logs first.

    A crash in between leaves a verdict, which says less than nothing without the log, and goes next time.
    """
    batches: dict[str, list[ObjectStat]] = {}
    standing: set[str] = set()
    for stat in listed:
        if stat.key.startswith(CONDEMNED):
            standing.add(stat.key.removeprefix(CONDEMNED).removesuffix(".json"))
        else:
            batches.setdefault(stat.key.split("/")[1], []).append(stat)
    for batch, records in batches.items():
        if batch not in standing and all(stat.modified <= before for stat in records):
            yield from sorted(records, key=lambda stat: stat.key)  # deleted.jsonl, verdict.json


def superseded(bases: Sequence[ObjectStat], before: float) -> Iterator[ObjectStat]:
    """Of the bases of an index, newest first, those whose successor is old enough: whoever reads one is done by now."""
    return (old for newer, old in pairwise(bases) if newer.modified <= before)
