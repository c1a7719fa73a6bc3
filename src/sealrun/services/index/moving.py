"""Moving a pointer by command: pin the target, check that it stands, add a generation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Literal

import msgspec

from sealrun.domain.address import (
    AttemptId,
    Digest,
    attempt_id,
    generation_of,
    intent_key,
    outcome_key,
    parse_object_key,
    refs_key,
    retired_key,
    run_key,
)
from sealrun.domain.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from sealrun.domain.moments import rfc3339
from sealrun.domain.records import JsonObject
from sealrun.domain.registry.places import pack_keys
from sealrun.domain.registry.pointing import LATEST, Generation, PointerName, Target
from sealrun.domain.registry.publication import Intent, Outcome, Proposal, Refs
from sealrun.domain.runs.manifest import MANIFEST_FILE, Manifest
from sealrun.domain.runs.sorted_digests import sorted_digests
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.index.pointers import Pointers
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import find_standing


class PlannedMove(msgspec.Struct, frozen=True):
    """A move as it would be executed: what a dry run shows. `evidence` is kept with it: what had passed before."""

    experiment: str
    pointer: str
    current: Target | None
    target: Target
    why: str
    evidence: JsonObject | None = None

    @property
    def changes(self) -> bool:
        """Whether anything would happen."""
        return self.current != self.target


class PointerMover:
    """Moves pointers that people move. ``latest`` moves by itself and is refused."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, owner: str, by: str) -> None:
        """Act as state folder `owner`; `by` is written into the pointer's history."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._owner = owner
        self._by = by
        self._pointers = Pointers(store, clock, entropy, by)
        self._certainty = Certainty(store, clock, entropy)

    def plan_set(self, experiment: str, pointer: str, target: Target, why: str) -> PlannedMove:
        """Say what moving `pointer` to `target` would do."""
        if pointer == LATEST:
            msg = f"{experiment}@{LATEST} moves by itself, to the run that finished last; choose another pointer"
            raise UsageError(msg)
        current = self._pointers.newest(PointerName.of_experiment(experiment, pointer))
        return PlannedMove(experiment, pointer, current.target if current else None, target, why)

    def plan_rollback(self, experiment: str, pointer: str, to: int | None, why: str) -> PlannedMove:
        """Say what a rollback to generation `to` (default: the one before) would do: add one with its target."""
        generation = self._pointers.at(PointerName.of_experiment(experiment, pointer), to)
        return self.plan_set(experiment, pointer, generation.target, why)

    def execute(self, move: PlannedMove) -> Generation | None:
        """Add the generation; None if the pointer stands there already. Durable on return.

        An intent pins the target until the generation stands, so that no collector takes it between the check and the
        move. From the outcome ``moved`` on, whoever finds the intent carries the move out; before it, a crash leaves
        an intent that pins some bytes until it is voided for silence.
        """
        pointer = PointerName.of_experiment(move.experiment, move.pointer)
        return self._execute(pointer, move.target, move.why, evidence=move.evidence)

    def move_name(self, name: str, target: Target, why: str, *, claim: bool = False) -> Generation | None:
        """Move a published name to a file of a run, as `execute` moves a pointer.

        With `claim` only a name that was never published: `ConflictError` if it stands elsewhere by now, which one of
        any number of claims at the same time does not get.
        """
        return self._execute(PointerName.of_artifact(name), target, why, claim=claim)

    def follow(self, pointer: PointerName, old: AttemptId, new: AttemptId, why: str) -> Generation | None:
        """Move a pointer that stands on `old` to `new`, which holds the same run; durable on return.

        None if it stands elsewhere by now, or `new` was retired. As for every move, an intent pins what it leads to:
        somebody may retire the run, and a collector take what only `new` uses, before the pointer is there.
        """
        while True:
            seen = self._pointers.newest(pointer)
            if seen is None or seen.target.attempt != old:
                return None
            target = msgspec.structs.replace(seen.target, attempt=new)
            proposal = self._pointers.propose(pointer, target, why)
            if proposal is None:
                return None
            if generation_of(proposal.key) != seen.generation + 1:
                continue  # moved between the two looks: only the very next generation is ours to make
            try:
                intent = self._pin(target, self._digests(target), proposal)
            except NotFoundError:
                return None  # retired, and collected: the pointer keeps what it stands on
            stands = self._store.stat(retired_key(new)) is None
            decided = self._decide(intent, "moved" if stands else "void", None if stands else "its target was retired")
            moved = self._pointers.carry_out(proposal) if decided.decision == "moved" else None
            self._store.discard(intent_key(intent.attempt))
            if moved is not None or not stands:
                return moved

    def _execute(
        self,
        pointer: PointerName,
        wanted: Target,
        why: str,
        *,
        claim: bool = False,
        evidence: JsonObject | None = None,
    ) -> Generation | None:
        while True:
            target = self._standing(wanted)
            proposal = self._pointers.propose(pointer, target, why, evidence)
            if proposal is None:
                return None
            if claim and generation_of(proposal.key) > 1:
                msg = f"{pointer.label!r} is published already; publish with overwrite, or under another name"
                raise ConflictError(msg)
            intent = self._pin(target, self._digests(target), proposal)
            if self._commit(intent, target):
                moved = self._pointers.carry_out(proposal)
                self._store.discard(intent_key(intent.attempt))
                if moved is not None:
                    return moved
            # Somebody moved the pointer first, or took us for dead: their decision counts; decide again from it.

    def _digests(self, target: Target) -> Sequence[Digest]:
        """What the run consists of, and the packs that hold it. `target` stood a moment ago; its refs never change."""
        key, refs_at = run_key(target.experiment, target.run_id, MANIFEST_FILE), refs_key(target.attempt)
        try:
            files = Manifest.read(read_body(self._store, key), key).digests()
            refs = Refs.read(read_body(self._store, refs_at), refs_at).objects
        except NotFoundError as error:
            raise _not_sealed(target) from error
        return sorted_digests(chain(files, (parse_object_key(key).digest for key in pack_keys(refs))))

    def _standing(self, target: Target) -> Target:
        """Return `target` as it is held now: it may have been retired and sealed again."""
        standing = find_standing(self._store, target.experiment, target.run_id)
        if standing is None:
            raise _not_sealed(target)
        return msgspec.structs.replace(target, attempt=standing.attempt)

    def _pin(self, target: Target, digests: Sequence[Digest], proposal: Proposal) -> Intent:
        now = self._clock.now()
        intent = Intent(
            attempt=attempt_id(now.strftime("%Y%m%dT%H%M%SZ"), self._entropy.hex(16)),
            nonce=self._entropy.hex(32),
            owner=self._owner,
            purpose="move",
            experiment=target.experiment,
            run_id=target.run_id,
            created_at=rfc3339(now),
            heartbeat_at=rfc3339(now),
            digests=digests,
            proposal=proposal,
        )
        self._certainty.create(intent_key(intent.attempt), intent.body())
        return intent

    def _commit(self, intent: Intent, target: Target) -> bool:
        """Check, under the pin, that the target still stands, and decide; False if somebody voided the attempt.

        A check that finds the target gone ends the attempt and is raised. Any other error leaves the pin.
        """
        try:
            stands = self._standing(target) == target
        except (NotFoundError, IntegrityError):
            self._decide(intent, "void", "its target is gone")
            self._store.discard(intent_key(intent.attempt))
            raise
        decided = self._decide(intent, "moved" if stands else "void", None if stands else "its target was sealed again")
        if decided.decision == "moved":
            return True
        self._store.discard(intent_key(intent.attempt))
        return False

    def _decide(self, intent: Intent, decision: Literal["moved", "void"], why: str | None) -> Outcome:
        proposed = Outcome(
            attempt=intent.attempt,
            nonce=intent.nonce,
            decision=decision,
            decided_at=rfc3339(self._clock.now()),
            by=self._owner,
            why=why,
        )
        key = outcome_key(intent.attempt)
        return Outcome.decode(self._certainty.create(key, proposed.encode()), key)


def _not_sealed(target: Target) -> NotFoundError:
    return NotFoundError(
        f"{target.experiment}/{target.run_id} is not sealed here (any more): a pointer cannot lead to it"
    )
