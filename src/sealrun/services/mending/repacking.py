"""Repacking: runs leave the packs of which little is alive, so that a collector may have the packs.

::

    (per run) new attempt: members copied out, everything else by reference ─ pointers and names ─ retire the old one

Nothing is deleted here, and no rule of the protocol is bent: the old attempt is retired like any other, its packs are
needed until the grace time is over, and the ordinary collector finds them. A crash before the new attempt's outcome
leaves an intent, which recovery voids; one after it, two attempts that hold the run: the next round does what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from sealrun.domain.address import (
    ATTEMPTS,
    QUARANTINE,
    AttemptId,
    Digest,
    Key,
    RunId,
    intent_key,
    quarantined_object,
    refs_key,
    retired_key,
)
from sealrun.domain.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    OutcomeUnknownError,
    SealrunError,
    UnavailableError,
)
from sealrun.domain.moments import rfc3339
from sealrun.domain.registry.pointing import PointerName, Target
from sealrun.domain.registry.publication import Intent, Refs, Retired, Stored
from sealrun.domain.upkeep.repacking import LeftAlone, RepackedRun, RepackPlan, RepackReport, RunRepack, Sparse
from sealrun.ports import Clock, Entropy, Glimpse, Hints, Store
from sealrun.services.index.pointers import Pointers
from sealrun.services.keeping.grounds import pins_on
from sealrun.services.mending.comparing import every_pointer, live_attempts
from sealrun.services.mending.diagnosing import read_sealed
from sealrun.services.mending.repack_sources import Emptying
from sealrun.services.publication.announcing import sealed_run_of
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.resealing import Succession
from sealrun.services.storage.standing import read_outcome
from sealrun.services.threads.fanning import fan_out, fan_through

_OUTAGES = (UnavailableError, OutcomeUnknownError)
REPACKED = "repacked by attempt "
_REPAIRED = "repaired by attempt "


def plan_repack(store: Store, sparse: Sparse, overview: Glimpse | None = None) -> RepackPlan:
    """Name the runs that a collector's look found in packs of which little is alive. Writes nothing.

    Their records, which never change, are read by the collector's `overview` where there is one.
    """
    seen = overview or store
    emptied = frozenset(pack.key for pack in sparse.packs)
    found: dict[tuple[str, RunId], dict[Digest, int]] = {}
    width = store.capabilities.parallel
    for run, sizes in fan_through(lambda attempt: _members(seen, attempt, emptied), sparse.attempts, width):
        if run is not None:
            found.setdefault(run, {}).update(sizes)
    runs = [
        RunRepack(experiment=experiment, run_id=run_id, members=len(sizes), size=sum(sizes.values()))
        for (experiment, run_id), sizes in found.items()
    ]
    # Most first: those that share its members then find nearly all of theirs in its new packs.
    runs.sort(key=lambda run: (-run.size, run.ref))
    return RepackPlan(packs=sparse.packs, runs=tuple(runs), later=sparse.later, refused=sparse.refused)


def _members(
    seen: Glimpse, attempt: AttemptId, emptied: frozenset[Key]
) -> tuple[tuple[str, RunId] | None, dict[Digest, int]]:
    """Return the run of an attempt and what it has in the packs; no run if that is nothing, or is gone by now."""
    outcome = read_outcome(seen, attempt)
    sizes = {digest: stored.size for digest, stored in _places(seen, attempt).items() if stored.key in emptied}
    if outcome is None or not sizes:
        return None, {}
    experiment, run_id, _ = sealed_run_of(outcome)
    return (experiment, run_id), sizes


def _places(seen: Glimpse, attempt: AttemptId) -> Mapping[Digest, Stored]:
    """Where an attempt's bytes are; nowhere if its refs are gone by now."""
    key = refs_key(attempt)
    try:
        return Refs.decode(seen.read(key), key).objects
    except NotFoundError:
        return {}


class Repacker:
    """Repacks one registry. Any number may work at once, beside publishers and collectors: at worst, twice."""

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
        """Publish in the name of the state folder `owner`; `by` is told to whoever asks who did it."""
        self._store = store
        self._registry_id = registry_id
        self._hints = hints
        self._clock = clock
        self._entropy = entropy
        self._owner = owner
        self._packing = packing
        self._pointers = Pointers(store, clock, entropy, by)
        self._succession = Succession(store, clock, entropy, owner, by)

    def execute(self, plan: RepackPlan) -> RepackReport:
        """Seal each run again without the packs. Durable on return; harmless to repeat.

        Runs that are pinned, or being announced, retired or damaged, are left alone. An outage is raised: whatever is
        done by then stays done.
        """
        if plan.refused is not None or not plan.runs:
            return RepackReport(later=plan.later, refused=plan.refused)
        round_ = _Round(
            emptied=frozenset(pack.key for pack in plan.packs),
            busy=self._busy(),
            quarantined=frozenset(quarantined_object(found.key) for found in self._store.list(QUARANTINE)),
            pointers=self._pointed(),
        )
        done: list[RepackedRun] = []
        left: list[LeftAlone] = []
        for run in plan.runs:
            try:
                repacked = self._repack(run, round_)
            except _OUTAGES:
                raise
            except SealrunError as error:
                left.append(LeftAlone(ref=run.ref, why=str(error), failed=True))
                continue
            if isinstance(repacked, LeftAlone):
                left.append(repacked)
            elif repacked is not None:
                done.append(repacked)
        self._follow(done)
        return RepackReport(packs=len(plan.packs), runs=tuple(done), left=tuple(left), later=plan.later)

    # -- before

    def _busy(self) -> frozenset[tuple[str, str]]:
        """Runs that somebody publishes, or moves a pointer to."""
        keys = [found.key for found in self._store.list(ATTEMPTS) if found.key.endswith("/intent.json")]
        read = fan_out(self._intent, keys, self._store.capabilities.parallel)
        return frozenset((intent.experiment, intent.run_id) for intent in read if intent is not None)

    def _intent(self, key: Key) -> Intent | None:
        try:
            return Intent.decode(self._store.read(key), key)
        except NotFoundError:
            return None

    def _pointed(self) -> dict[AttemptId, list[PointerName]]:
        """What stands on which attempt."""
        names = list(every_pointer(self._store))
        found: dict[AttemptId, list[PointerName]] = {}
        for name, seen in zip(
            names, fan_out(self._pointers.newest, names, self._store.capabilities.parallel), strict=True
        ):
            if seen is not None:
                found.setdefault(seen.target.attempt, []).append(name)
        return found

    # -- one run

    def _repack(self, run: RunRepack, round_: _Round) -> RepackedRun | LeftAlone | None:
        """Seal one run again, unless something speaks against it; None if it needs none of the packs any more."""
        live = live_attempts(self._store, run.experiment, run.run_id)
        places = {target.attempt: _places(self._store, target.attempt) for target in live}
        old = [target for target in live if any(one.key in round_.emptied for one in places[target.attempt].values())]
        if not old:
            return None
        why = self._obstacle(run, live, places, round_)
        if why is not None:
            return LeftAlone(ref=run.ref, why=why)
        free = [target.attempt for target in live if target not in old]
        copied_objects = copied_bytes = 0
        if free:
            new = free[0]
        else:
            published = self._publish(old[0], places[old[0].attempt], round_)
            new, copied_objects, copied_bytes = published
        return RepackedRun(
            ref=run.ref,
            attempt=new,
            replaced=tuple(target.attempt for target in old),
            pointers=tuple(self._replace(run, [target.attempt for target in old], new, round_)),
            copied_objects=copied_objects,
            copied_bytes=copied_bytes,
        )

    def _obstacle(
        self,
        run: RunRepack,
        live: Sequence[Target],
        places: Mapping[AttemptId, Mapping[Digest, Stored]],
        round_: _Round,
    ) -> str | None:
        """Why the run stays where it is for now."""
        if (run.experiment, run.run_id) in round_.busy:
            return "somebody works on it (an intent stands)"
        for target in live:
            if self._store.stat(intent_key(target.attempt)) is not None:
                return f"attempt {target.attempt} is still being announced"
            for stored in places[target.attempt].values():
                if stored.key in round_.quarantined:
                    return f"{stored.key} is quarantined (sealrun repair)"
        now = rfc3339(self._clock.now())
        pins = pins_on(self._store, run.experiment, run.run_id, now)
        return f"{pins[0].text}: that keeps its packs, too" if pins else None

    def _publish(self, old: Target, places: Mapping[Digest, Stored], round_: _Round) -> tuple[AttemptId, int, int]:
        """Make the new attempt; return it, and what it copied. One that fails for good is ended: nothing is left."""
        sealed = read_sealed(self._store, old)
        if not sealed.manifest().digests().keys() <= places.keys():
            how = "find the extent with: sealrun verify --all"
            msg = f"{refs_key(old.attempt)} does not say where everything is; {how}"
            raise IntegrityError(msg)
        bytes_of_run = Emptying(self._store, old.attempt, places, round_.emptied, self._hints)
        publisher = Publisher(
            self._store,
            self._registry_id,
            bytes_of_run,
            self._clock,
            self._entropy,
            by=self._owner,
            packing=self._packing,
        )
        ticket = self._succession.ticket()
        try:
            published = publisher.publish(sealed, ticket, bytes_of_run.source, instead_of=old.attempt)
        except _OUTAGES:
            raise
        except SealrunError as error:
            self._succession.give_up(ticket, f"the repacking failed: {error}")
            raise
        if not published.new:
            msg = f"attempt {published.attempt} sealed the run meanwhile; the next round looks again"
            raise ConflictError(msg)
        return ticket.attempt, published.uploaded_objects, published.uploaded_bytes

    def _replace(self, run: RunRepack, old: Sequence[AttemptId], new: AttemptId, round_: _Round) -> Iterator[str]:
        """Let `new` take the place of `old`. What somebody retired meanwhile stays retired."""
        self._succession.show(round_.pointers.get(new, []), new)
        for attempt in old:
            yield from self._move(attempt, new, round_.pointers.get(attempt, []))
        gone: Retired | None = None
        for attempt in old:
            standing = self._succession.retire(run.experiment, run.run_id, attempt, f"{REPACKED}{new}")
            if not standing.why.startswith((REPACKED, _REPAIRED)):
                gone = standing
        if gone is not None:
            self._succession.retire(run.experiment, run.run_id, new, gone.why)

    def _move(self, old: AttemptId, new: AttemptId, pointers: Sequence[PointerName]) -> Iterator[str]:
        yield from self._succession.move(pointers, old, new, f"repacked: attempt {old} uses packs that are mostly dead")

    def _follow(self, done: Sequence[RepackedRun]) -> None:
        """Move what came to stand on an old attempt while it was replaced."""
        replaced = {attempt: run.attempt for run in done for attempt in run.replaced}
        for attempt, pointers in (self._pointed() if replaced else {}).items():
            new = replaced.get(attempt)
            if new is not None and self._store.stat(retired_key(new)) is None:
                for _ in self._move(attempt, new, pointers):
                    pass


class _Round(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all runs of one round."""

    emptied: frozenset[Key]
    busy: frozenset[tuple[str, str]]
    quarantined: frozenset[Key]
    pointers: Mapping[AttemptId, list[PointerName]]
