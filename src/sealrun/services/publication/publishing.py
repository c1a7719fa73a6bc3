"""One attempt at publishing one sealed run to one registry.

::

    intent ─ condemned ─ reuse or upload ─ run folder ─ refs ─ OUTCOME ─ announce (seal, row, pointers, rm intent)

What a crash leaves behind: before the outcome, an intent and keys that only this attempt owns; the same machine goes on
with the same attempt, anybody else voids it first. After the outcome, an intent whose redo is `Announcer.announce`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sealrun.domain.address import (
    AttemptId,
    Digest,
    intent_key,
    outcome_key,
    parse_object_key,
    refs_key,
    retired_key,
)
from sealrun.domain.errors import ConflictError, NotFoundError
from sealrun.domain.moments import rfc3339
from sealrun.domain.registry.places import per_key
from sealrun.domain.registry.publication import AttemptTicket, Intent, Outcome, Refs, Stored
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import Clock, Entropy, Hints, StagedPack, Store
from sealrun.services.publication.announcing import Announcer, SealedAttempt, load_sealed, sealed_run_of
from sealrun.services.publication.beginning import declare_void
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.placing import Place, RunRecords, check_names
from sealrun.services.publication.reusing import learn_news
from sealrun.services.publication.supplying import Supplier
from sealrun.services.publication.uploading import Sent, Sources, Uploader
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import find_retired, find_standing
from sealrun.services.threads.fanning import both

_CHECKED_AGAIN = "another attempt sealed the same run meanwhile"
_THERE_ALREADY = "its run was there already"


class Publisher:
    """Publishes sealed runs to one registry. One instance serves many attempts, one at a time."""

    def __init__(
        self,
        store: Store,
        registry_id: str,
        hints: Hints,
        clock: Clock,
        entropy: Entropy,
        by: str,
        packing: Packing | None = None,
    ) -> None:
        """Work on the registry `registry_id` in `store`; `by` is this state folder's name in records.

        Without `packing` every file becomes an object of its own.
        """
        self._store = store
        self._registry_id = registry_id
        self._hints = hints
        self._clock = clock
        self._entropy = entropy
        self._by = by
        self._certainty = Certainty(store, clock, entropy)
        self._supplier = Supplier(store, registry_id, hints, self._certainty, Uploader(store, clock, packing))
        self._place = Place(self._certainty)
        self._announcer = Announcer(store, clock, entropy, by)

    def publish(
        self,
        run: SealedRun,
        ticket: AttemptTicket,
        sources: Sources,
        *,
        revive: bool = True,
        instead_of: AttemptId | None = None,
        staged: Sequence[StagedPack] = (),
        ahead: Sent | None = None,
    ) -> Published:
        """Publish `run`; durable and findable on return. If the registry has it already, say so and upload nothing.

        Without `revive` a run that was retired there stays retired, and the answer says so: a daemon that lost its
        state, or sees an old folder for the first time, must not bring back what a policy took out. The registry does
        not have the run if the newest attempt that holds it is `instead_of`, which a repair replaces. Packs that are
        `staged` are stored as they are, where most of what is in them is missing. What was sent `ahead` went under keys
        of this very ticket.

        Call again with the same ticket after any error or crash. `ConflictError`: the attempt was voided, so come
        back with a new ticket. `RunChangedError`: a source is no longer what was sealed. `UsageError`: a name in the
        envelope cannot be part of a key.
        """
        records = RunRecords(run.run_json, run.envelope(), run.manifest_json, run.manifest())
        check_names(records.envelope)
        outcome = self._outcome(ticket)
        if outcome is None:
            records, there = self._place.claim(records)
            # Only a run.json that was there is known to be of this content: whoever sealed a free id since may have
            # sealed something else.
            standing = self._standing(records, instead_of) if there else None
            begun = self._begun(ticket)
            retired = self._retired(records) if there and standing is None and not begun and not revive else None
            if retired is not None:
                self._withdraw(ticket, ahead)
                return _published_before(retired, retired=True)
            if standing is None:
                objects = self._supplier.supply(records, ticket, sources, staged, begun, ahead)
                outcome, sealed = self._commit(records, ticket, objects, instead_of)
                if outcome.decision == "sealed":
                    self._announcer.announce(sealed)
                    return self._conclude(sealed, ticket)
            elif begun is not None:
                outcome = self._decide(records, ticket, root=standing.root_sha256, sealed=False)
            else:
                self._withdraw(ticket, ahead)
                return self._already(standing, run, records)
        if outcome.decision == "void":
            return self._give_way(outcome, ticket, run)
        return self._replay(outcome, ticket, run)

    def _outcome(self, ticket: AttemptTicket) -> Outcome | None:
        if ticket.fresh:  # nobody decides about an attempt that was never begun
            return None
        key = outcome_key(ticket.attempt)
        body = self._certainty.read(key)
        return None if body is None else Outcome.decode(body, key)

    def _begun(self, ticket: AttemptTicket) -> Intent | None:
        """The intent of an earlier life of the attempt."""
        if ticket.fresh:
            return None
        key = intent_key(ticket.attempt)
        body = self._certainty.read(key)
        return None if body is None else Intent.decode(body, key)

    def _withdraw(self, ticket: AttemptTicket, ahead: Sent | None) -> None:
        """Give up an attempt without an intent: what it has sent, now or in an earlier life, is nobody's."""
        if ahead is not None:
            ahead.give_up()
            ahead.wait()
            if not ahead.hand_over():
                return
        elif ticket.fresh:
            return
        declare_void(self._certainty, self._clock, ticket.attempt, ticket.nonce, by=self._by, why=_THERE_ALREADY)

    def _help(self, sealed: SealedAttempt) -> None:
        """Announce a sealed attempt unless that is done: its intent stands for as long as it is not (invariant I3).

        Announcing once more would be harmless, but for a run that was retired since: it must not come back.
        """
        if self._store.stat(intent_key(sealed.attempt)) is not None:
            self._announcer.announce(sealed)

    def _replay(self, outcome: Outcome, ticket: AttemptTicket, run: SealedRun) -> Published:
        """An earlier life sealed the run: finish what it left. By now it may have been retired and collected."""
        sealed = self._load(outcome, run)
        if sealed is None:
            return _published_before(outcome, new=True)
        self._help(sealed)
        return self._conclude(sealed, ticket)

    def _load(self, outcome: Outcome, run: SealedRun, found: RunRecords | None = None) -> SealedAttempt | None:
        """Return what an attempt sealed, or None if that was retired and collected since."""
        try:
            return load_sealed(self._store, outcome, run, found.envelope if found else None)
        except NotFoundError:
            if self._store.stat(retired_key(outcome.attempt)) is None:
                raise
            return None

    def _conclude(self, sealed: SealedAttempt, ticket: AttemptTicket) -> Published:
        self._hints.learn(self._registry_id, sealed.objects, sealed.attempt)
        own = own_size = 0
        for key, count, size in per_key(sealed.objects):
            if parse_object_key(key).creator == ticket.attempt:
                own, own_size = own + count, own_size + size
        return Published(
            experiment=sealed.envelope.experiment,
            run_id=sealed.envelope.run_id,
            attempt=ticket.attempt,
            root_sha256=sealed.root,
            new=True,
            uploaded_objects=own,
            uploaded_bytes=own_size,
            reused_objects=len(sealed.objects) - own,
        )

    def _give_way(self, outcome: Outcome, ticket: AttemptTicket, run: SealedRun) -> Published:
        """The attempt is void: end it, and if that was because the run is sealed already, say so."""
        self._store.discard(intent_key(ticket.attempt))
        standing = self._sealed_by_others(outcome)
        if standing is not None:
            return self._already(standing, run)
        msg = f"attempt {ticket.attempt} was declared void by {outcome.by}: {outcome.why}"
        raise ConflictError(msg)

    def _sealed_by_others(self, outcome: Outcome) -> Outcome | None:
        """After we gave way to somebody who sealed the same run: their outcome."""
        if outcome.why != _CHECKED_AGAIN or outcome.experiment is None or outcome.run_id is None:
            return None
        return find_standing(self._store, outcome.experiment, outcome.run_id)

    def _already(self, standing: Outcome, run: SealedRun, found: RunRecords | None = None) -> Published:
        """The run was sealed there when we looked. If its publisher has not finished announcing it, help."""
        sealed = self._load(standing, run, found)
        if sealed is None:
            return _published_before(standing)
        self._help(sealed)
        learn_news(self._hints, self._registry_id, sealed.objects, sealed.attempt)
        return Published(
            experiment=sealed.envelope.experiment,
            run_id=sealed.envelope.run_id,
            attempt=standing.attempt,
            root_sha256=sealed.root,
            new=False,
        )

    def _standing(self, records: RunRecords, instead_of: AttemptId | None) -> Outcome | None:
        standing = find_standing(self._store, records.envelope.experiment, records.envelope.run_id)
        return None if standing is not None and standing.attempt == instead_of else standing

    def _retired(self, records: RunRecords) -> Outcome | None:
        return find_retired(self._store, records.envelope.experiment, records.envelope.run_id)

    def _commit(
        self,
        records: RunRecords,
        ticket: AttemptTicket,
        objects: Mapping[Digest, Stored],
        instead_of: AttemptId | None,
    ) -> tuple[Outcome, SealedAttempt]:
        # Side by side, where requests take time: neither says anything before there is an outcome.
        (records, root, first), objects = both(
            partial(self._place.fill, records), partial(self._write_refs, ticket, objects), self._certainty.parallel
        )
        # Whoever seals a run makes or adopts its run.json before, so that the one who made it need not look.
        rival = None if first else self._standing(records, instead_of)
        outcome = self._decide(records, ticket, root=root, sealed=rival is None)
        return outcome, SealedAttempt(
            attempt=ticket.attempt,
            sealed_at=outcome.decided_at,
            envelope=records.envelope,
            manifest=records.manifest,
            root=root,
            objects=objects,
        )

    def _write_refs(self, ticket: AttemptTicket, objects: Mapping[Digest, Stored]) -> Mapping[Digest, Stored]:
        """Write the refs; return those that stand."""
        key, body = refs_key(ticket.attempt), Refs(attempt=ticket.attempt, objects=objects).body()
        stands = self._certainty.create(key, body)
        # If not ours: an earlier life of this attempt came this far. Its choices stand, and its intent pinned them.
        return objects if stands == body else Refs.read(stands, key).objects

    def _decide(self, records: RunRecords, ticket: AttemptTicket, *, root: Digest | None, sealed: bool) -> Outcome:
        """Propose an outcome and return the one that stands: the commit point."""
        proposed = Outcome(
            attempt=ticket.attempt,
            nonce=ticket.nonce,
            decision="sealed" if sealed else "void",
            decided_at=rfc3339(self._clock.now()),
            by=self._by,
            experiment=records.envelope.experiment,
            run_id=records.envelope.run_id,
            root_sha256=root,
            why=None if sealed else _CHECKED_AGAIN,
        )
        key = outcome_key(ticket.attempt)
        return Outcome.decode(self._certainty.create(key, proposed.encode()), key)


def _published_before(outcome: Outcome, *, new: bool = False, retired: bool = False) -> Published:
    experiment, run_id, root = sealed_run_of(outcome)
    return Published(
        experiment=experiment, run_id=run_id, attempt=outcome.attempt, root_sha256=root, new=new, retired=retired
    )
