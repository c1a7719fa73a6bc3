"""Retire runs: take them out of the live set. Nothing is deleted here, and a collector waits for its grace time.

::

    plan ─ grounds again ─ retired.json of every attempt, oldest first ─ dropped record of every row

A run stands until the last of its attempts is retired. A crash before that leaves a run that stands, one after it a row
that resolves to nothing; the next plan goes on from either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby

import msgspec

from sealrun.domain.address import AttemptId, RunId, intent_key, parse_name, retired_key, run_key
from sealrun.domain.errors import UsageError
from sealrun.domain.grouping import in_groups
from sealrun.domain.moments import rfc3339
from sealrun.domain.registry.indexing import Dropped, Row, Rows
from sealrun.domain.registry.publication import Outcome, Retired
from sealrun.domain.runs.manifest import RUN_FILE
from sealrun.domain.runs.run import Envelope
from sealrun.domain.upkeep.retention import STILL_LISTED, Judged, Policy, RetentionPlan, RunFacts, plan_retention
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.access.reading import no_such_run
from sealrun.services.index.indexing import Index
from sealrun.services.keeping.grounds import Ground, RunKey, pins_on, read_grounds, read_pointed
from sealrun.services.publication.announcing import sealed_run_of
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import attempts_of, find_standing, read_outcome
from sealrun.services.storage.timing import store_time
from sealrun.services.threads.fanning import fan_out

_GROUP = 64
_AT_ONCE = 1000


class RetiredRun(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run that a plan wanted retired.

    `attempts` were retired. `skipped` says why the run was left alone instead. `note` says what else happened to it
    meanwhile.
    """

    experiment: str
    run_id: str
    attempts: tuple[AttemptId, ...] = ()
    skipped: str | None = None
    note: str | None = None

    @property
    def ref(self) -> str:
        """The reference that names the run."""
        return f"{self.experiment}/{self.run_id}"


class Retirer:
    """Retires runs of one registry. Any number may work at once; everything is harmless to repeat."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, owner: str, by: str) -> None:
        """Act as state folder `owner`; `by` is told to whoever asks why a run is gone."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._owner = owner
        self._by = by
        self._certainty = Certainty(store, clock, entropy)

    def plan_policy(self, experiment: str, policy: Policy, *, write: bool = True) -> RetentionPlan:
        """Judge every run of an experiment. Retires nothing, and without `write` writes nothing.

        Ages are measured from our clock or the store's, whichever is behind; without `write` only ours is known.
        """
        now = self._now(write=write)
        grounds = read_grounds(self._store, _stamp(now), parse_name(experiment, "experiment"))
        by_run = groupby(self._rows(experiment), lambda row: row.run_id)
        facts = {run_id: RunFacts.of([*rows], _texts(grounds, (experiment, run_id))) for run_id, rows in by_run}
        looked: set[str] = set()
        while True:
            plan = plan_retention(experiment, facts.values(), policy, now)
            # Whether a run stands is asked only of those on which the plan turns: to be retired, or counted.
            turns_on = [
                judged.run
                for judged in plan.judged
                if judged.run.run_id not in looked and (judged.counted or not judged.keep)
            ]
            if not turns_on:
                return plan
            del plan  # of a hundred thousand runs there is one at a time
            for some in in_groups(turns_on, _AT_ONCE):
                for run in fan_out(self._look, some, self._store.capabilities.parallel):
                    facts[run.run_id] = run
                    looked.add(run.run_id)

    def plan_runs(self, refs: Sequence[RunKey], why: str) -> RetentionPlan:
        """Plan to retire these runs (experiment, run id), whatever a policy says. Writes nothing.

        `UsageError` names what stands on a run, or who pinned it, and what to do. `NotFoundError` if a run is not
        there, or is retired already.
        """
        for experiment, run_id in refs:
            parse_name(experiment, "experiment")
            parse_name(run_id, "run id")
        now = _stamp(self._now(write=False))
        rows: dict[RunKey, list[Row]] = {ref: [] for ref in refs}
        for experiment in {experiment for experiment, _ in refs}:
            for row in self._rows(experiment):
                if (experiment, row.run_id) in rows:
                    rows[experiment, row.run_id].append(row)
        grounds = read_pointed(self._store)
        judged: list[Judged] = []
        for experiment, run_id in dict.fromkeys(refs):
            for ground in (*grounds.get((experiment, run_id), ()), *pins_on(self._store, experiment, run_id, now)):
                msg = f"{experiment}/{run_id} is not retired: {ground.text}; {ground.remedy}"
                raise UsageError(msg)
            run = self._look(self._facts(experiment, run_id, rows[experiment, run_id]))
            reason = STILL_LISTED if run.gone else run.obstacle or why or "asked for"
            judged.append(Judged(run=run, keep=run.obstacle is not None, reasons=(reason,)))
        experiments = {experiment for experiment, _ in refs}
        return RetentionPlan(
            experiment=experiments.pop() if len(experiments) == 1 else None, judged=tuple(judged), why=why
        )

    def execute(self, plan: RetentionPlan) -> tuple[RetiredRun, ...]:
        """Retire what the plan retires, unless that has come to be kept since. Durable on return.

        A run that is pinned, or pointed to, at the very moment in which it is retired loses nothing: a collector keeps
        its bytes for that pin or pointer, and the run's `note` says so.
        """
        if not plan.retired:
            return ()
        now = _stamp(self._now(write=True))
        done: list[RetiredRun] = []
        pointed = read_pointed(self._store)
        # To look where all pointers stand costs a read for each: no more, then, than the group that is retired next.
        for group in in_groups(plan.retired, max(_GROUP, sum(map(len, pointed.values())))):
            retired = self._retire_group(group, plan.why, pointed, now)
            pointed = read_pointed(self._store)
            done += [self._noted(run, pointed, now) for run in retired]
        return tuple(done)

    def retire_attempt(self, experiment: str, run_id: str, attempt: AttemptId, why: str) -> bool:
        """Retire one attempt of a run that another one holds, too: grounds to keep the run are no reason against it.

        Durable on return, and harmless to repeat. False if the attempt is still being announced: then nothing is done.
        """
        if self._unfinished([attempt]) is not None:
            return False
        self._write(attempt, why)
        self._drop(experiment, run_id, attempt)
        return True

    def _retire_group(
        self, group: Sequence[Judged], why: str, pointed: dict[RunKey, list[Ground]], now: str
    ) -> list[RetiredRun]:
        """Retire some runs: few enough that what was read of the pointers just before is not much older than that."""
        width = self._store.capabilities.parallel
        return fan_out(lambda judged: self._retire(judged, why, pointed, now), group, width)

    def _rows(self, experiment: str) -> Rows:
        return Index(self._store, self._clock, self._entropy, experiment).rows()

    def _facts(self, experiment: str, run_id: str, rows: Sequence[Row]) -> RunFacts:
        """Facts of one run, from its rows, or where it has none from its records."""
        if rows:
            return RunFacts.of(rows)
        standing = find_standing(self._store, experiment, run_id)
        if standing is None:
            raise no_such_run(self._store, experiment, run_id)
        key = run_key(experiment, run_id, RUN_FILE)
        envelope = Envelope.decode(self._store.read(key), key)
        _, _, root = sealed_run_of(standing)
        return msgspec.structs.replace(
            RunFacts.of([Row.of(envelope, standing.attempt, root, standing.decided_at)]), listed=()
        )

    def _look(self, run: RunFacts) -> RunFacts:
        """Find out which attempts hold the run, whether it stands, and whether it can be retired now."""
        sealed = self._sealed(run)
        standing = self._not_retired(sealed)
        attempts = tuple(sorted({*run.listed, *sealed}))
        return msgspec.structs.replace(
            run,
            attempts=run.listed if attempts == run.listed else attempts,
            obstacle=self._unfinished(standing),
            gone=bool(sealed) and not standing,
        )

    def _sealed(self, run: RunFacts) -> list[AttemptId]:
        """Attempts that sealed the run, oldest first: by their markers, and by its rows."""
        known = {*attempts_of(self._store, run.experiment, run.run_id), *run.listed}
        return [attempt for attempt in sorted(known) if _has_sealed(read_outcome(self._store, attempt))]

    def _not_retired(self, attempts: Iterable[AttemptId]) -> list[AttemptId]:
        return [attempt for attempt in attempts if self._store.stat(retired_key(attempt)) is None]

    def _unfinished(self, attempts: Iterable[AttemptId]) -> str | None:
        """An attempt whose intent stands is being announced: retired now, its announcement would bring it back."""
        for attempt in attempts:
            if self._store.stat(intent_key(attempt)) is not None:
                return f"attempt {attempt} is still being announced"
        return None

    def _retire(self, judged: Judged, why: str, pointed: dict[RunKey, list[Ground]], now: str) -> RetiredRun:
        run = judged.run
        outcome = RetiredRun(experiment=run.experiment, run_id=run.run_id)
        grounds = (*pointed.get((run.experiment, run.run_id), ()), *pins_on(self._store, *_key(run), now))
        sealed = self._sealed(run)
        standing = self._not_retired(sealed)
        skipped = self._unfinished(standing)
        if grounds:
            skipped = f"kept since the plan was made: {grounds[0].text}"
        elif not set(standing) <= set(run.attempts):
            skipped = "sealed again since the plan was made"
        if skipped is not None:
            return msgspec.structs.replace(outcome, skipped=skipped)
        for attempt in standing:
            self._write(attempt, why, *judged.reasons)
        for attempt in sealed:
            if attempt in standing or attempt in run.listed:
                self._drop(run.experiment, run.run_id, attempt)
        return msgspec.structs.replace(outcome, attempts=tuple(standing))

    def _write(self, attempt: AttemptId, *reasons: str) -> None:
        why = ": ".join(text for text in dict.fromkeys(reasons) if text) or "asked for"
        record = Retired(attempt=attempt, retired_at=_stamp(self._clock.now()), by=self._by, why=why)
        self._certainty.create(retired_key(attempt), record.encode())

    def _drop(self, experiment: str, run_id: str, attempt: AttemptId) -> None:
        key = retired_key(attempt)
        standing = Retired.decode(self._store.read(key), key)
        dropped = Dropped(
            experiment=experiment, run_id=RunId(run_id), attempt=attempt, retired_at=standing.retired_at, by=self._owner
        )
        Index(self._store, self._clock, self._entropy, experiment).drop(dropped)

    def _noted(self, run: RetiredRun, pointed: dict[RunKey, list[Ground]], now: str) -> RetiredRun:
        """Say if somebody found a ground to keep the run while it was being retired."""
        if not run.attempts:
            return run
        key = (run.experiment, run.run_id)
        grounds = (*pointed.get(key, ()), *pins_on(self._store, *key, now))
        if not grounds:
            return run
        note = f"{grounds[0].text}: that came while it was being retired; bring it back with: sealrun undo {run.ref}"
        return msgspec.structs.replace(run, note=note)

    def _now(self, *, write: bool) -> datetime:
        """Now by our clock or the store's, whichever is behind: no run is older than that."""
        ours = self._clock.now()
        if not write:
            return ours
        return min(ours, datetime.fromtimestamp(store_time(self._store, self._clock, self._entropy), UTC))


def _key(run: RunFacts) -> RunKey:
    return run.experiment, run.run_id


def _texts(grounds: dict[RunKey, list[Ground]], key: RunKey) -> tuple[str, ...]:
    return tuple(ground.text for ground in grounds.get(key, ()))


def _has_sealed(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.decision == "sealed"


def _stamp(now: datetime) -> str:
    return rfc3339(now)
