"""What a collector's marks found: what is needed, and which attempts need nothing any more."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, parse_object_key
from sealrun.domain.upkeep.marking import Fingerprints, LastUses, Uses, part_of_digest, part_of_key
from sealrun.domain.upkeep.repacking import LivePacks
from sealrun.ports import ObjectStat


class Dead(msgspec.Struct, frozen=True):
    """An attempt that needs nothing any more, but whose refs still stand: void, or retired for long enough."""

    attempt: AttemptId
    experiment: str | None = None
    run_id: str | None = None

    @property
    def ref(self) -> str | None:
        """The run that it sealed, if it sealed one."""
        return None if self.experiment is None else f"{self.experiment}/{self.run_id}"


class Marks:
    """What one or several marks found.

    The first `asked_again` of the `dead` were known to be dead before the last mark looked who needs what: nobody can
    have found them alive since, whatever the clocks say. `packs` are those that runs used when the first mark looked,
    which numbers the attempts as in `standing`.
    """

    def __init__(self, *, packs: bool = False) -> None:
        """Nothing was looked at yet; with `packs`, remember of which of their members runs make use."""
        self.packs = LivePacks() if packs else None
        self.standing: list[AttemptId] = []
        self.needed = Fingerprints()
        self.intended = Fingerprints()
        self.intended_runs: set[tuple[str, str]] = set()
        self.intending: set[AttemptId] = set()
        self.last_uses = LastUses()
        self.decided: set[AttemptId] = set()
        self.held: set[AttemptId] = set()  # found alive, so that what they use is needed
        self.pointed: set[AttemptId] = set()  # or pinned
        self.live_runs: set[tuple[str, str]] = set()
        self.dead: list[Dead] = []
        self.dead_uses: list[Uses] = []
        self.asked_again = 0
        self.bases: list[tuple[ObjectStat, ...]] = []  # of each index, newest first, when the first mark looked
        self.begun = False
        self.live_attempts = 0

    def need(self, uses: Uses) -> None:
        """Everything that an attempt uses is needed."""
        for part, word in uses:
            self.needed.put(part, word)

    def superseded(self) -> Fingerprints:
        """What dead attempts used whose runs other attempts hold: these runs lose nothing with it."""
        found = Fingerprints()
        for dead, uses in zip(self.dead, self.dead_uses, strict=True):
            if (dead.experiment, dead.run_id) in self.live_runs:
                for part, word in uses:
                    found.put(part, word)
        return found

    def needs(self, key: Key, digest: Digest) -> bool:
        """Tell whether an object must be kept: a live run references it, or an intent may come to do so."""
        part = part_of_digest(digest)
        return self.needed.holds(part, key) or self.intended.holds(part, digest)

    def needed_of(self, damaged: Iterable[Key]) -> frozenset[Key]:
        """Those of some damaged objects that a live run still waits for."""
        return frozenset(key for key in damaged if self.needs(key, parse_object_key(key).digest))

    def last_user(self, key: Key) -> str | None:
        """The run that used an object last (``EXPERIMENT/RUN_ID``), if a run that was sealed ever did."""
        number = self.last_uses.of(part_of_key(key), key)
        return None if number is None else self.dead[number].ref
