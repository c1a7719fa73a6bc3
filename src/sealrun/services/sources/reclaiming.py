"""Reclaim: delete the sources of runs whose copies were verified again just now (invariant I12).

What is due is a pure plan (`domain.upkeep.reclaiming`); how one source is deleted is told in `deleting_sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from sealrun.domain.errors import SealrunError
from sealrun.domain.upkeep.reclaiming import Reclaimable, ReclaimPlan, plan_reclaim
from sealrun.ports import Clock, Journal, OpenWriters, SetAside, SourceRemover
from sealrun.services.sources.copies import Holder
from sealrun.services.sources.deleting_sources import Advance, Deletion, RefusedError, Verified, heal
from sealrun.services.sources.sources_due import (
    REFUSED,
    Case,
    Ledger,
    Needs,
    WatchedSource,
    facts_of_source,
    looked_at,
    read_refusals,
)

REFUSED_FOR_S = 24 * 3600.0
"""Verifying copies reads every byte of them: what was refused is not tried again every hour."""


class Reclaimed(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is deleted, and the registries whose copies were verified for it."""

    watch: str
    path: str
    ref: str
    registries: tuple[str, ...]
    size: int
    files: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A source that was due and is still there, or what is left of one."""

    watch: str
    path: str
    reason: str


class ReclaimReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did. `healed`: sources that an interrupted round had set aside and that have their names again."""

    reclaimed: tuple[Reclaimed, ...]
    refused: tuple[Refused, ...]
    healed: tuple[str, ...]


class _Round(msgspec.Struct):
    reclaimed: list[Reclaimed] = msgspec.field(default_factory=list)
    refused: list[Refused] = msgspec.field(default_factory=list)
    healed: list[str] = msgspec.field(default_factory=list)


class Reclaimer:
    """Reclaims for all watches of one state folder. Whoever calls `execute` sees to it that nobody else does."""

    def __init__(
        self,
        journal: Journal,
        places: Sequence[WatchedSource],
        holder: Callable[[str], Holder],
        remover: SourceRemover,
        writers: OpenWriters,
        clock: Clock,
        paused: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Verify copies in what `holder` opens by a registry's name; it is asked for every run and may remember.

        Whoever is `patient` leaves alone what a watch holds that is `paused`, by its name.
        """
        self._journal = journal
        self._places = places
        self._holder = holder
        self._remover = remover
        self._writers = writers
        self._clock = clock
        self._paused = paused
        self._needs = Needs(journal, remover)

    def plan(self, *, patient: bool = True, thorough: bool = False) -> ReclaimPlan:
        """Say which sources are due and why the others are not. Reads the journal, looks at folders, writes nothing.

        `thorough` looks at those, too, that are not due. Not `patient`: what was refused not long ago is tried again.
        """
        ledger, refusals = Ledger(self._journal, self._places), read_refusals(self._journal)
        now, waiting = self._clock.now().timestamp(), self._needs.waiting()
        found = []
        for case in ledger.cases():
            facts = facts_of_source(case, refusals, paused=self._paused(case.record.watch))
            if thorough or plan_reclaim([facts], now, patient=patient).due:
                facts = looked_at(case, facts, self._needs.of(case, waiting), self._remover)
            found.append(facts)
        return plan_reclaim(found, now, patient=patient)

    def leftovers(self) -> Iterator[tuple[WatchedSource, SetAside]]:
        """What an interrupted round left under hidden names."""
        for place in self._places:
            for aside in self._remover.leftovers(place.watch.path, place.watch.glob.count("/") + 1):
                yield place, aside

    def execute(self, plan: ReclaimPlan, advance: Advance | None = None, *, patient: bool = True) -> ReclaimReport:
        """Heal what a crash left, then reclaim what is due in `plan`. Harmless to repeat.

        Nothing about one source stops the others; errors of the journal are raised. `patient` as for `plan`.
        """
        done = _Round()
        deletion = Deletion(self._journal, self._holder, self._remover, self._writers, advance)
        for place, aside in list(self.leftovers()):
            held = self._refused_lately(aside.path) if aside.begun else False
            if not patient or not (held or self._paused(place.watch.name)):
                self._heal(deletion, place, aside, done)
        for due in plan.due:
            self._reclaim(deletion, due, done, patient=patient)
        self._remember(done)
        return ReclaimReport(reclaimed=tuple(done.reclaimed), refused=tuple(done.refused), healed=tuple(done.healed))

    def _heal(self, deletion: Deletion, place: WatchedSource, aside: SetAside, done: _Round) -> None:
        ledger, watch = Ledger(self._journal, self._places), place.watch.name
        record = self._journal.folders.get(watch, aside.path)
        try:
            verified = heal(deletion, aside, record, ledger)
        except SealrunError as error:
            self._refuse(watch, aside.path, error, done)
            return
        case = None if record is None else ledger.case(record)
        if verified is not None and case is not None:
            self._record(case, verified, done)
        else:
            done.healed.append(aside.path)
            reason = "an interrupted round had set it aside; it has its name again"
            self._journal.events.record("run.reclaim_refused", aside.path, watch=watch, reason=reason)

    def _reclaim(self, deletion: Deletion, due: Reclaimable, done: _Round, *, patient: bool) -> None:
        try:
            case = self._still_due(due, patient=patient)
            verified = deletion.delete(case)
        except SealrunError as error:
            self._refuse(due.watch, due.path, error, done)
        else:
            self._record(case, verified, done)

    def _still_due(self, due: Reclaimable, *, patient: bool) -> Case:
        """Judge once more by the journal and the folder as they are now: rounds are long."""
        ledger = Ledger(self._journal, self._places)
        record = self._journal.folders.get(due.watch, due.path)
        case = ledger.case(record) if record is not None and record.state == "sealed" else None
        if case is None or case.ref != due.ref:
            msg = "changed since it was planned"
            raise RefusedError(msg, soon=True)
        facts = facts_of_source(case, {}, paused=self._paused(case.record.watch))
        facts = looked_at(case, facts, self._needs.of(case), self._remover)
        (again,) = plan_reclaim([facts], self._clock.now().timestamp(), patient=patient).sources
        if not again.due:
            raise RefusedError("; ".join(again.reasons), soon=True)
        return case

    def _record(self, case: Case, verified: Verified, done: _Round) -> None:
        manifest = verified.manifest
        found = Reclaimed(
            watch=case.record.watch,
            path=case.record.path,
            ref=case.ref,
            registries=verified.registries,
            size=manifest.size,
            files=len(manifest.entries),
        )
        done.reclaimed.append(found)
        fields = {"watch": found.watch, "path": found.path, "size": found.size, "files": found.files}
        self._journal.events.record("run.reclaimed", found.ref, **fields, registries=list(found.registries))

    def _refuse(self, watch: str, path: str, error: SealrunError, done: _Round) -> None:
        reason = " ".join(str(error).split())
        soon = isinstance(error, RefusedError) and error.soon
        refusals = read_refusals(self._journal)
        if refusals.get(path, (0.0, ""))[1] != reason:
            self._journal.events.record("run.reclaim_refused", path, watch=watch, reason=reason)
        until = 0.0 if soon else self._clock.now().timestamp() + REFUSED_FOR_S
        self._journal.facts.set_fact(REFUSED, {**refusals, path: (until, reason)})
        done.refused.append(Refused(watch=watch, path=path, reason=reason))

    def _refused_lately(self, path: str) -> bool:
        return read_refusals(self._journal).get(path, (0.0, ""))[0] > self._clock.now().timestamp()

    def _remember(self, done: _Round) -> None:
        """Forget refusals of what is reclaimed, or not in the journal's sealed state any more."""
        refusals = read_refusals(self._journal)
        kept = {record.path for record in self._journal.folders.all() if record.state in {"sealed", "reclaimed"}}
        gone = {found.path for found in done.reclaimed}
        left = {path: said for path, said in refusals.items() if path in kept - gone}
        if left != refusals:
            self._journal.facts.set_fact(REFUSED, left)
