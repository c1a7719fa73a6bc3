"""Attempts that sent something ahead of their intent, and were never heard of again: their process died.

No intent speaks of them, so that recovery does not see them; only their objects do. Whatever an undecided attempt
uploaded is kept, so that they have to be declared void before a collection may take it, like any other that was silent
for a day. Should one of them be alive after all, its own outcome loses, and its run is published by a new attempt.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sealrun.domain.address import AttemptId
from sealrun.ports import Clock, Entropy, ObjectStat
from sealrun.services.collection.marks import Marks
from sealrun.services.publication.beginning import declare_void
from sealrun.services.storage.certainty import Certainty


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt with neither intent nor outcome: what it uploaded, in bytes, and when it did so last (POSIX s)."""

    attempt: AttemptId
    objects: int
    size: int
    last: float


class Unheard:
    """Counts what undecided attempts uploaded that have no intent either. Remembers a few numbers of each."""

    def __init__(self, marks: Marks) -> None:
        """Judge by `marks`, which are complete."""
        self._marks = marks
        self._found: dict[AttemptId, Silent] = {}

    def count(self, found: ObjectStat, creator: AttemptId) -> None:
        """An object of `creator` is there, which has no outcome."""
        if creator in self._marks.intending:
            return
        known = self._found.get(creator)
        self._found[creator] = Silent(
            attempt=creator,
            objects=1 + (known.objects if known else 0),
            size=found.size + (known.size if known else 0),
            last=max(found.modified, known.last if known else 0.0),
        )

    def since(self, before: float) -> tuple[Silent, ...]:
        """Those that uploaded nothing after `before`, by the store's clock."""
        return tuple(silent for _, silent in sorted(self._found.items()) if silent.last <= before)


class Voider:
    """Declares attempts void in the name of one state folder."""

    def __init__(self, certainty: Certainty, clock: Clock, entropy: Entropy, owner: str) -> None:
        """Act as state folder `owner`."""
        self._certainty = certainty
        self._clock = clock
        self._entropy = entropy
        self._owner = owner

    def declare(self, silent: Sequence[Silent], now: float) -> int:
        """Declare them void, at the time `now` of the store's clock; return how many are. Repeating is harmless."""
        return sum(self._is_void(attempt, now) for attempt in silent)

    def _is_void(self, silent: Silent, now: float) -> bool:
        why = f"it was never begun, and silent for {now - silent.last:.0f} s"
        nonce = self._entropy.hex(32)
        stands = declare_void(self._certainty, self._clock, silent.attempt, nonce, by=self._owner, why=why)
        return stands.decision == "void"
