"""Attempts as a listing of ``attempts/`` shows them, and as their records do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import msgspec

from sealrun.domain.address import AttemptId, attempt_of
from sealrun.domain.upkeep.marking import Uses
from sealrun.domain.upkeep.repacking import PackUses
from sealrun.ports import ObjectStat

REFS_FILE = "refs.json"


class ListedAttempt(msgspec.Struct, frozen=True):
    """The records of an attempt by their names.

    `row`: experiment and run id, if a base of an index has a row of it, as it has of sealed attempts only.
    """

    attempt: AttemptId
    stats: dict[str, ObjectStat]
    row: tuple[str, str] | None = None

    def has(self, name: str) -> bool:
        """Whether the record was there."""
        return name in self.stats

    def written(self, name: str) -> float | None:
        """When it was written, POSIX seconds by the store's clock; None if it was not there."""
        stat = self.stats.get(name)
        return None if stat is None else stat.modified


class ReadRefs(msgspec.Struct, frozen=True):
    """What an attempt's refs name: keys, and if that was asked the members of packs."""

    keys: Uses
    packs: PackUses | None = None


class Ending(msgspec.Struct, frozen=True):
    """What of an outcome matters here: whether a run was sealed, and which."""

    sealed: bool
    experiment: str | None = None
    run_id: str | None = None


class ReadAttempt(msgspec.Struct, frozen=True):
    """One attempt as its records show it. `pinned`: somebody keeps its run from being retired."""

    files: ListedAttempt
    ending: Ending
    refs: ReadRefs | None
    live: bool
    pinned: bool = False


def by_attempt(found: Iterator[ObjectStat]) -> Iterator[ListedAttempt]:
    """Turn a listing into one value per attempt."""
    for attempt, files in groupby(found, key=lambda stat: attempt_of(stat.key)):
        yield ListedAttempt(attempt, {stat.key.rsplit("/", 1)[-1]: stat for stat in files})
