"""Repair: put a registry's damaged bytes back from a replica, and make again what is derived.

::

    quarantine ─ (per run) new attempt: good objects by reference, damaged ones uploaded ─ pointers and names ─ retire

A pack is quarantined as a whole, and its runs leave it: its good members are copied out of it, like those of a replica.
Runs whose members of it are all good stay as they are.

A crash before the new attempt's outcome leaves quarantine records and an intent; the same machine goes on with that
attempt, anybody else makes a new one. After the outcome, two attempts hold the run, and the damaged one is still found
by `Verifier`, which looks at both: the next plan finds the healthy one and does what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sealrun.domain.address import (
    ATTEMPTS,
    AttemptId,
    Key,
    intent_key,
    quarantine_key,
    run_key,
    seal_key,
)
from sealrun.domain.errors import (
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    SealrunError,
    UnavailableError,
)
from sealrun.domain.moments import rfc3339
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import AttemptTicket, Intent, Seal
from sealrun.domain.runs.manifest import RUN_FILE
from sealrun.domain.runs.run import Envelope
from sealrun.domain.runs.sealed import Published
from sealrun.domain.upkeep.damage import Damage, VerifyReport
from sealrun.domain.upkeep.keeping import Quarantined
from sealrun.domain.upkeep.mending import (
    Rebuild,
    Remaining,
    RepairedRun,
    RepairPlan,
    RepairReport,
    RunRepair,
)
from sealrun.ports import Clock, Entropy, Hints, Replica, Store
from sealrun.services.index.indexing import Index
from sealrun.services.mending.comparing import every_pointer
from sealrun.services.mending.diagnosing import Diagnosis, read_sealed
from sealrun.services.mending.rebuilding import Rebuilder
from sealrun.services.mending.repair_sources import RepairHints, RepairSources
from sealrun.services.publication.announcing import sealed_run_of
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.resealing import Succession
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import read_outcome

_OUTAGES = (UnavailableError, OutcomeUnknownError)


class Repairer:
    """Repairs one registry. Any number may work at once, beside publishers and collectors."""

    def __init__(
        self,
        store: Store,
        registry_id: str,
        hints: Hints,
        clock: Clock,
        entropy: Entropy,
        owner: str,
        by: str,
        packing: Packing | None = None,
    ) -> None:
        """Publish in the name of the state folder `owner`; `by` is told to whoever asks why an attempt was retired.

        Small files are uploaded in packs, if there is a `packing`.
        """
        self._packing = packing
        self._store = store
        self._registry_id = registry_id
        self._hints = hints
        self._clock = clock
        self._entropy = entropy
        self._owner = owner
        self._by = by
        self._certainty = Certainty(store, clock, entropy)
        self._succession = Succession(store, clock, entropy, owner, by)
        self._rebuilder = Rebuilder(store, clock, entropy, owner)

    def plan(self, found: VerifyReport | Sequence[Damage], replicas: Sequence[Replica]) -> RepairPlan:
        """Say what a repair of this damage would do. Writes nothing; reads every replica it relies on."""
        damages = found.damages if isinstance(found, VerifyReport) else found
        return Diagnosis(self._store, damages, replicas, partial(self._hints.places_of, self._registry_id)).plan()

    def execute(self, plan: RepairPlan, replicas: Sequence[Replica]) -> RepairReport:
        """Carry a plan out; durable on return, and harmless to repeat.

        What cannot be repaired is quarantined and reported. An outage is raised: whatever is done by then stays done.
        """
        quarantined = [self._quarantine(*found) for found in plan.quarantine]
        repaired: list[RepairedRun] = []
        remaining = list(plan.remaining)
        begun = self._begun() if plan.runs else {}
        for run in plan.runs:
            if run.possible:
                try:
                    repaired.append(self._repair(run, begun.get(run.ref), replicas))
                except _OUTAGES:
                    raise
                except SealrunError as error:
                    remaining.append(Remaining(ref=run.ref, detail=f"was not repaired: {error}"))
        rebuilt: list[Rebuild] = []
        for rebuild in plan.rebuilds:
            try:
                self._rebuilder.rebuild(rebuild)
                rebuilt.append(rebuild)
            except _OUTAGES:
                raise
            except SealrunError as error:
                remaining.append(Remaining(ref=rebuild.ref, detail=f"{rebuild.detail}; was not made again: {error}"))
        return RepairReport(
            repaired=tuple(repaired),
            rebuilt=tuple(rebuilt),
            quarantined=tuple(quarantined),
            remaining=tuple(remaining),
        )

    def _quarantine(self, key: Key, ref: str, path: str, detail: str) -> Key:
        """From now on nobody references the object: every publisher reads these records after its intent is durable."""
        record = Quarantined(key=key, ref=ref, path=path, found_at=self._stamp(), by=self._by, detail=detail)
        self._certainty.create(quarantine_key(key), record.encode())
        return key

    def _repair(self, run: RunRepair, begun: AttemptTicket | None, replicas: Sequence[Replica]) -> RepairedRun:
        published: Published | None = None
        if run.healthy is None:
            published = self._publish(run, begun, replicas)
        attempt = AttemptId(published.attempt) if published is not None else run.healthy
        if attempt is None or attempt in run.broken:
            msg = f"attempt {attempt} holds the run again, and is damaged; repair again"
            raise ConflictError(msg)
        moved = [label for old in run.broken for label in self._move(old, attempt)]
        replaced = [old for old in run.broken if self._retire(run, old, f"repaired by attempt {attempt}")]
        if run.was_retired:
            self._retire(run, attempt, f"the run was retired before it was repaired ({run.broken[0]})")
        return RepairedRun(
            ref=run.ref,
            attempt=attempt,
            replaced=tuple(replaced),
            pointers=tuple(moved),
            uploaded_objects=0 if published is None else published.uploaded_objects,
            uploaded_bytes=0 if published is None else published.uploaded_bytes,
        )

    # -- the new attempt

    def _publish(self, run: RunRepair, begun: AttemptTicket | None, replicas: Sequence[Replica]) -> Published:
        """Seal the run again. An attempt that fails for good is ended: nothing half-done is left to be announced."""
        outcome = read_outcome(self._store, run.broken[0])
        if outcome is None:
            msg = f"attempt {run.broken[0]} has no outcome any more"
            raise NotFoundError(msg)
        _, _, root = sealed_run_of(outcome)
        target = Target(
            experiment=run.experiment, run_id=run.run_id, attempt=run.broken[0], root_sha256=root, finished_at=""
        )
        sealed = read_sealed(self._store, target)
        hints = RepairHints(self._store, run, self._hints)
        publisher = Publisher(
            self._store, self._registry_id, hints, self._clock, self._entropy, by=self._owner, packing=self._packing
        )
        sources = RepairSources(self._store, run, replicas)
        begun = None if begun is not None and begun.attempt in run.broken else begun
        ticket = begun or self._succession.ticket()
        while True:
            try:
                return publisher.publish(sealed, ticket, sources, instead_of=run.broken[0])
            except ConflictError:
                if ticket is not begun:
                    raise
                ticket = self._succession.ticket()  # the attempt of an earlier life was declared void
            except _OUTAGES:
                raise
            except SealrunError as error:
                self._succession.give_up(ticket, f"the repair failed: {error}")
                raise

    def _begun(self) -> dict[str, AttemptTicket]:
        """Attempts of an earlier life of ours, by run: their uploads are not done again."""
        found: dict[str, AttemptTicket] = {}
        for listed in self._store.list(ATTEMPTS):
            if not listed.key.endswith("/intent.json"):
                continue
            try:
                intent = Intent.decode(self._store.read(listed.key), listed.key)
            except SealrunError as error:
                if isinstance(error, _OUTAGES):
                    raise
                continue  # over by now, or not ours to judge
            if intent.owner == self._owner and intent.purpose == "publish":
                found[f"{intent.experiment}/{intent.run_id}"] = AttemptTicket(
                    attempt=intent.attempt, nonce=intent.nonce, created_at=intent.created_at, owner=self._owner
                )
        return found

    # -- what stood on the old attempt

    def _move(self, old: AttemptId, new: AttemptId) -> Iterator[str]:
        why = f"repaired: attempt {old} is damaged"
        yield from self._succession.move(every_pointer(self._store), old, new, why)

    def _retire(self, run: RunRepair, old: AttemptId, why: str) -> bool:
        """Take a damaged attempt out of the live set, with its row; never before it is announced to the end."""
        if self._store.stat(intent_key(old)) is not None:
            self._finish_announcing(old)
        return self._succession.retire(run.experiment, run.run_id, old, why).why == why

    def _finish_announcing(self, old: AttemptId) -> None:
        """Write what a damaged attempt still lacks of its announcement, and end its intent.

        Its marker and its row. Pointers and convenience copies show the new attempt of the same run already, and
        `Announcer.announce` would fail at copying what is missing, time and again.
        """
        outcome = read_outcome(self._store, old)
        if outcome is None:
            return
        experiment, run_id, root = sealed_run_of(outcome)
        key = run_key(experiment, run_id, RUN_FILE)
        row = Row.of(Envelope.decode(self._store.read(key), key), old, root, outcome.decided_at)
        marker = Seal(attempt=old, root_sha256=root)
        self._certainty.create(seal_key(experiment, run_id, old), marker.encode())
        Index(self._store, self._clock, self._entropy, experiment).add(row)
        self._store.discard(intent_key(old))

    def _stamp(self) -> str:
        return rfc3339(self._clock.now())
