"""The keeper's side of the parts: retire, undo, pin, collect, explain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

from sealrun.adapters.stores import open_remover
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.consuming import whoami
from sealrun.domain.errors import UsageError
from sealrun.domain.reference import RunReference, parse_reference
from sealrun.domain.runs.sealed import Published
from sealrun.domain.upkeep.keeping import Pin
from sealrun.domain.upkeep.repacking import RepackLimits, RepackPlan, RepackReport
from sealrun.domain.upkeep.retention import RetentionPlan
from sealrun.ports import Clock, Entropy, Journal, RecordCache, Store
from sealrun.services.access.reading import Reader, check_experiment
from sealrun.services.collection.collecting import CollectionPlan, CollectionPolicy, CollectionReport, Collector
from sealrun.services.collection.explaining import Explanation, explain
from sealrun.services.collection.foretelling import DoomedRun, foretell
from sealrun.services.keeping.pinning import Pins
from sealrun.services.keeping.retiring import RetiredRun, Retirer
from sealrun.services.keeping.undoing import Undoer, UndoPlan
from sealrun.services.mending.repacking import Repacker, plan_repack
from sealrun.services.oversight.measuring import collected_fact
from sealrun.services.publication.upkeep import OpenedRegistry
from sealrun.services.publication.uploading import Sources
from sealrun.settings.resolved import KeepingSettings

Advance = Callable[[int], None]


class Keeper:
    """Keeps one registry. Without a journal it only plans: nothing is written, and ages are by this machine's clock."""

    def __init__(
        self,
        spec: RegistrySpec,
        opened: OpenedRegistry | Store,
        rules: KeepingSettings,
        clock: Clock,
        entropy: Entropy,
        journal: Journal | None = None,
        state: Path | None = None,
    ) -> None:
        """Keep by `rules`. What is done is told to the events of `journal`; `state`, if not its own, keeps records."""
        writing = isinstance(opened, OpenedRegistry)
        self._store = store = opened.store if isinstance(opened, OpenedRegistry) else opened
        self._spec = spec
        self._name = spec.name
        self._rules = rules
        self._clock = clock
        self._entropy = entropy
        self._events = None if journal is None else journal.events
        self._facts = None if journal is None else journal.facts
        self._writes = writing
        self._cache = _record_cache(store, state if journal is None else Path(journal.folder))
        self._owner = "dry-run" if journal is None else journal.state_id
        registry_id = opened.registry_id if isinstance(opened, OpenedRegistry) else ""
        self._reader = Reader(store, clock, entropy)
        self._retirer = Retirer(store, clock, entropy, self._owner, whoami())
        self._undoer = Undoer(
            store,
            registry_id,
            None if journal is None else journal.hints,
            clock,
            entropy,
            self._owner,
            packing=None if journal is None else spec.packing(store, journal.folder),
        )
        self._pins = Pins(store, clock, entropy, whoami())
        self._repacker = (
            None
            if journal is None
            else Repacker(
                store,
                registry_id,
                journal.hints,
                clock,
                entropy,
                self._owner,
                whoami(),
                packing=spec.packing(store, journal.folder),
            )
        )

    # ------------------------------------------------------------ retention

    def plan_policies(self, experiment: str | None = None, *, empty: bool = True) -> Iterator[RetentionPlan]:
        """Plan by policy, for one experiment (`NotFoundError` if there is none) or for all, one after the other.

        Without `empty`, experiments with an empty policy, which retires nothing, are left out.
        """
        if experiment is not None:
            check_experiment(self._store, experiment)
        for name in self._reader.experiments() if experiment is None else [experiment]:
            policy = self._rules.policy(name)
            if empty or not policy.empty:
                yield self._retirer.plan_policy(name, policy, write=self._writes)

    def plan_runs(self, refs: Sequence[str], why: str) -> RetentionPlan:
        """Plan to retire these runs, whatever a policy says; see `Retirer.plan_runs`."""
        return self._retirer.plan_runs([self._run(ref) for ref in refs], why)

    def retire(self, plan: RetentionPlan) -> tuple[RetiredRun, ...]:
        """Do what the plan says; durable on return, harmless to repeat."""
        done = self._retirer.execute(plan)
        for run in done:
            if run.attempts:
                self._tell("run.retired", run.ref, why=plan.why, note=run.note)
        return done

    def plan_undo(self, ref: str) -> UndoPlan:
        """Look at what is left of a retired run. A pointer is followed to the run it stands on."""
        return self._undoer.plan(*self._run(ref))

    def undo(self, plan: UndoPlan, sources: Sources | None = None) -> Published:
        """Bring a retired run back, with bytes of `sources` for what is gone; `NotFoundError` names what nobody has."""
        published = self._undoer.execute(plan, sources)
        if plan.standing is None:
            self._tell("run.returned", plan.ref)
        return published

    # ------------------------------------------------------------ pins

    def pin(self, ref: str, why: str, expires_at: str | None = None, *, hold: bool = False) -> Pin:
        """Keep a run from being retired; see `Pins.pin`."""
        return self._pins.pin(*self._run(ref), why, expires_at, hold=hold)

    def unpin(self, ref: str, why: str, *, holds: bool = False) -> list[Pin]:
        """Lift a run's pins; see `Pins.lift`."""
        return self._pins.lift(*self._run(ref), why, holds=holds)

    def pins(self, experiment: str | None = None) -> list[Pin]:
        """Pins and holds that count now, of one experiment or of all."""
        experiments = self._reader.experiments() if experiment is None else [experiment]
        return [pin for name in experiments for pin in self._pins.standing(name)]

    # ------------------------------------------------------------ collection

    def collector(
        self, grace_s: float | None = None, max_delete_ratio: float | None = None, engine: Executor | None = None
    ) -> Collector:
        """Return a collector by the settings, or with what is given instead of theirs.

        What attempts left is read on the `engine`, which has to stay until the plan is made, or in this process.
        """
        gc = self._rules.gc
        policy = CollectionPolicy(
            grace_s=gc.grace_s if grace_s is None else grace_s,
            max_delete_ratio=gc.max_delete_ratio if max_delete_ratio is None else max_delete_ratio,
            repack=RepackLimits(below=gc.repack_below),
        )
        remover = open_remover(self._store)
        reading = None
        if engine is not None:
            from sealrun.bootstrap.verbs.engine_tasks import reading_engine  # noqa: PLC0415 - for bulk work only

            reading = reading_engine(engine, self._spec, self._reader)
        return Collector(self._store, remover, self._clock, self._entropy, self._owner, policy, reading, self._cache)

    def plan_collection(self, collector: Collector) -> CollectionPlan:
        """Find what nothing needs; a keeper without a journal writes nothing, not even a probe of the store's clock."""
        return collector.plan(write=self._writes)

    def collect(self, collector: Collector, plan: CollectionPlan, advance: Advance | None = None) -> CollectionReport:
        """Delete by the plan; see `Collector.execute`."""
        report = collector.execute(plan, advance)
        if self._facts is not None:
            self._facts.set_fact(collected_fact(self._name), self._clock.now().timestamp())
        failures = len(report.failures) + len(report.tidied.failures)
        if report.objects or failures:
            self._tell("gc.collected", self._name, objects=report.objects, size=report.size, failures=failures)
        return report

    def plan_repack(self, plan: CollectionPlan) -> RepackPlan:
        """Name the runs that lie in packs of which little is alive, as the collector's look found them."""
        return plan_repack(self._store, plan.sparse, plan.overview)

    def repack(self, plan: RepackPlan) -> RepackReport:
        """Seal these runs again without those packs, which a later collection takes; see `Repacker.execute`."""
        if self._repacker is None:
            msg = "a dry run repacks nothing"
            raise UsageError(msg)
        report = self._repacker.execute(plan)
        failures = sum(left.failed for left in report.left)
        if report.runs or failures:
            copied, freed = report.copied_bytes, plan.freed
            fields = {"runs": len(report.runs), "packs": report.packs, "copied": copied, "freed": freed}
            self._tell("gc.repacked", self._name, **fields, failures=failures)
        return report

    def foretell(self, plan: CollectionPlan) -> Iterator[DoomedRun]:
        """What the plan would take, run by run."""
        return foretell(self._store, plan)

    def explain(self, text: str) -> tuple[Explanation, ...]:
        """Why an object is kept, or when, by whom and after which run it was deleted: by key or digest."""
        return explain(self._store, text)

    def _run(self, ref: str) -> tuple[str, str]:
        """Return experiment and run id. A run that is named by its id need not stand."""
        reference = parse_reference(ref)
        if reference.path is not None:
            msg = f"{ref}: names a file; runs are kept or retired as a whole: leave the path away"
            raise UsageError(msg)
        if isinstance(reference, RunReference):
            return reference.experiment, reference.run_id
        target = self._reader.resolve_reference(reference)
        return target.experiment, target.run_id

    def _tell(self, kind: str, subject: str, /, **fields: object) -> None:
        if self._events is not None:
            said = {name: value for name, value in fields.items() if value is not None}
            self._events.record(kind, subject, registry=self._name, **said)


def _record_cache(store: Store, state: Path | None) -> RecordCache | None:
    """Return what is kept of a registry that is far away: near by, reading a record costs no more."""
    if state is None or store.capabilities.links:
        return None
    from sealrun.adapters.caches.record_cache import open_record_cache  # noqa: PLC0415 - where records are kept

    return open_record_cache(state, store.url)
