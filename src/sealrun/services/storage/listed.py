"""Attempts as a listing of ``attempts/`` shows them, and as their records do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import msgspec

from sealrun.domain.address import AttemptId, attempt_of
from sealrun.domain.marking import Uses
from sealrun.domain.repacking import PackUses
from sealrun.ports import ObjectStat

REFS_FILE = "refs.json"


class ListedAttempt(msgspec.Struct, frozen=True):
    """When each record of an attempt was written, POSIX seconds by the store's clock, and how long its refs are.

    `row`: experiment and run id, if a base of an index has a row of it, as it has of sealed attempts only.
    """

    attempt: AttemptId
    written: dict[str, float]
    refs_size: int
    row: tuple[str, str] | None = None


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
        written: dict[str, float] = {}
        refs_size = 0
        for stat in files:
            name = stat.key.rsplit("/", 1)[-1]
            written[name] = stat.modified
            refs_size = stat.size if name == REFS_FILE else refs_size
        yield ListedAttempt(attempt, written, refs_size)
