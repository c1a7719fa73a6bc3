"""What to do about intents that somebody left: replay the sealed, clean up the void and the retired, void the dead."""

from __future__ import annotations

import logging

import msgspec

from sealrun.domain.address import ATTEMPTS, AttemptId, attempt_of, intent_key, retired_key
from sealrun.domain.errors import IntegrityError, NotFoundError, UsageError
from sealrun.domain.registry.publication import Intent, Outcome, Resolution, plan_resolution
from sealrun.ports import Clock, Entropy, ObjectStat, Store
from sealrun.services.index.pointers import Pointers
from sealrun.services.publication.announcing import Announcer, load_sealed
from sealrun.services.publication.beginning import declare_void
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import read_outcome
from sealrun.services.storage.timing import store_time

DEAD_AFTER_S = 24 * 3600.0
_INTENT_FILE = "/intent.json"
_log = logging.getLogger("sealrun.recovery")


class Found(msgspec.Struct, frozen=True):
    """An intent, what became of its attempt, and what is to be done."""

    intent: Intent
    outcome: Outcome | None
    resolution: Resolution
    silent_s: float


class Recovery:
    """Resolves the intents of one registry. Any number may work at once; every step is harmless to repeat."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, owner: str, dead_after_s: float = DEAD_AFTER_S
    ) -> None:
        """Act as state folder `owner`; an attempt that is silent for `dead_after_s` seconds is taken for dead."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._owner = owner
        self._dead_after_s = dead_after_s
        self._certainty = Certainty(store, clock, entropy)
        self._announcer = Announcer(store, clock, entropy, owner)
        self._pointers = Pointers(store, clock, entropy, owner)

    def plan(self) -> list[Found]:
        """Read every intent and decide; changes nothing but a probe key that tells the store's time."""
        listed = [found for found in self._store.list(ATTEMPTS) if found.key.endswith(_INTENT_FILE)]
        if not listed:
            return []
        now = store_time(self._store, self._clock, self._entropy)
        return [found for found in (self._judge_one(entry, now) for entry in listed) if found is not None]

    def execute(self, plan: list[Found]) -> list[Found]:
        """Carry out what `plan` says; return what was replayed, cleaned up or voided."""
        return [found for found in plan if self._resolve_one(found)]

    def _resolve_one(self, found: Found) -> bool:
        """Resolve one; an attempt whose records are damaged is reported and must not stop the others."""
        try:
            return self._resolve(found)
        except (IntegrityError, NotFoundError, UsageError) as error:
            _log.warning("attempt %s cannot be resolved: %s; verify the registry", found.intent.attempt, error)
            return False

    def _judge_one(self, listed: ObjectStat, now: float) -> Found | None:
        """Judge one; a record that cannot be read is reported, left alone, and must not stop the others."""
        try:
            return self._judge(listed, now)
        except (IntegrityError, UsageError) as error:
            _log.warning("%s cannot be judged: %s; verify the registry", listed.key, error)
            return None

    def _judge(self, listed: ObjectStat, now: float) -> Found | None:
        attempt = attempt_of(listed.key)
        try:
            intent = Intent.decode(self._store.read(listed.key), listed.key)
        except NotFoundError:
            return None
        outcome = read_outcome(self._store, attempt)
        silent = now - listed.modified
        resolution = plan_resolution(
            intent,
            outcome,
            owner=self._owner,
            silent_s=silent,
            limit_s=self._dead_after_s,
            retired=outcome is not None and outcome.decision == "sealed" and self._is_retired(attempt),
        )
        return Found(intent, outcome, resolution, silent)

    def _is_retired(self, attempt: AttemptId) -> bool:
        return self._store.stat(retired_key(attempt)) is not None

    def _resolve(self, found: Found) -> bool:
        attempt = found.intent.attempt
        match found.resolution:
            case Resolution.REPLAY if found.outcome is not None:
                self._redo(found.intent, found.outcome)
            case Resolution.CLEAN_UP:
                self._store.discard(intent_key(attempt))
            case Resolution.VOID:
                self._void(found)
            case _:
                return False
        return True

    def _void(self, found: Found) -> None:
        """Decide against a dead attempt. If it sealed at the last moment, its outcome stands and is replayed."""
        attempt = found.intent.attempt
        nonce, why = self._entropy.hex(32), f"silent for {found.silent_s:.0f} s"
        standing = declare_void(self._certainty, self._clock, attempt, nonce, by=self._owner, why=why)
        self._redo(found.intent, standing)

    def _redo(self, intent: Intent, outcome: Outcome) -> None:
        """Write what a decided attempt still lacks, and end its intent. One that was retired since lacks nothing."""
        if outcome.decision == "sealed" and not self._is_retired(intent.attempt):
            self._announcer.announce(load_sealed(self._store, outcome))
            return
        if outcome.decision == "moved" and intent.proposal is not None:
            self._pointers.carry_out(intent.proposal)
        self._store.discard(intent_key(intent.attempt))
