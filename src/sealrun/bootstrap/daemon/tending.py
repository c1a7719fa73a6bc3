"""What a daemon's timers do for a registry: retire by policy and collect, and verify a part of it each time."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from threading import Lock

from sealrun.bootstrap.allocating import return_freed_memory
from sealrun.bootstrap.registries import Opener, RegistrySpec
from sealrun.bootstrap.verbs.keeping import Advance, Keeper
from sealrun.bootstrap.verbs.mending import note_round, scrub_next
from sealrun.domain.errors import (
    CollectionRefusedError,
    OutcomeUnknownError,
    SealrunError,
    UnavailableError,
    UnsafeStoreError,
)
from sealrun.domain.oversight.alarming import KINDS
from sealrun.domain.oversight.metering import GC_BYTES, GC_OBJECTS, GC_REFUSED, VERIFY_BYTES, VERIFY_DAMAGE
from sealrun.ports import UNMETERED, Clock, Entropy, Journal, Meters
from sealrun.services.oversight.alarming import clear_alarm, raise_alarm
from sealrun.services.publication.upkeep import OpenedRegistry
from sealrun.settings.resolved import KeepingSettings, VerifySettings

_log = logging.getLogger("sealrun.keeping")
_MOST_DAMAGES = 100
_REFUSED = "gc.refused"


class Tending:
    """Tends the registries of one daemon, each by one round at a time, over all reloads."""

    def __init__(
        self, journal: Journal, opener: Opener, clock: Clock, entropy: Entropy, meters: Meters = UNMETERED
    ) -> None:
        """Remember in `journal` how far verifying came; what happens goes to its events, and `meters` count it."""
        self._meters = meters
        self._journal = journal
        self._opener = opener
        self._clock = clock
        self._entropy = entropy
        self._busy: defaultdict[str, Lock] = defaultdict(Lock)
        self._told: dict[tuple[str, str], str] = {}

    def keep_round(self, spec: RegistrySpec, rules: KeepingSettings, advance: Advance | None = None) -> None:
        """Retire by policy, then collect. What fails is an event (gc.refused); only an outage is raised.

        A store where writers could harm each other is never collected; its runs are retired all the same.
        """
        self._once(spec, _REFUSED, lambda: self._keep(spec, rules, advance))

    def verify_round(self, spec: RegistrySpec, rules: VerifySettings, advance: Advance | None = None) -> None:
        """Verify the next part; damage is an event (verify.damage), and so is failing. Only an outage is raised."""
        self._once(spec, "verify.failed", lambda: self._verify(spec, rules, advance))

    def _once(self, spec: RegistrySpec, kind: str, work: Callable[[], None]) -> None:
        with self._busy[spec.name]:
            try:
                work()
            except SealrunError as error:
                _log.warning("%s: %s: %s", spec.name, kind, error)
                if kind == _REFUSED:
                    self._meters.counter(GC_REFUSED, registry=spec.name)(1)
                reason = str(error)
                down = isinstance(error, UnavailableError | OutcomeUnknownError)
                if not down and kind == _REFUSED:
                    severity = KINDS["collector-refused"].severity
                    raise_alarm(self._journal, self._clock, "collector-refused", spec.name, severity, reason)
                if not down or self._told.get((spec.name, kind)) != reason:  # an outage is told once, and tried again
                    self._journal.events.record(kind, spec.name, registry=spec.name, reason=reason)
                self._told[spec.name, kind] = reason
                if down:
                    raise
            else:
                self._told.pop((spec.name, kind), None)
                if kind == _REFUSED:
                    clear_alarm(self._journal, self._clock, "collector-refused", spec.name)
        return_freed_memory()

    def _keep(self, spec: RegistrySpec, rules: KeepingSettings, advance: Advance | None) -> None:
        opened, off = self._open(spec)
        with closing(opened):
            keeper = Keeper(spec, opened, rules, self._clock, self._entropy, self._journal)
            for plan in keeper.plan_policies(empty=False):
                retired = [run for run in keeper.retire(plan) if run.attempts]
                if retired:
                    _log.info("%s: retired %d runs of %s: %s", spec.name, len(retired), plan.experiment, plan.why)
            if off is not None:
                raise off
            collector = keeper.collector()
            planned = keeper.plan_collection(collector)
            report = keeper.collect(collector, planned, advance)
            self._meters.counter(GC_OBJECTS, registry=spec.name)(report.objects)
            self._meters.counter(GC_BYTES, registry=spec.name)(report.size)
            if report.objects:
                _log.info("%s: collected %d objects, %d bytes", spec.name, report.objects, report.size)
            repacked = keeper.repack(keeper.plan_repack(planned))
        if repacked.runs:
            _log.info("%s: repacked %d runs, %d bytes", spec.name, len(repacked.runs), repacked.copied_bytes)
        failures = [*(f"{key}: {why}" for key, why in report.failures.items()), *report.tidied.failures]
        if failures:
            msg = f"{opened.store.url}: {len(failures)} deletions failed, and are tried again: {failures[0]}"
            raise CollectionRefusedError(msg)
        stuck = [f"{left.ref}: {left.why}" for left in repacked.left if left.failed]
        if stuck:
            msg = f"{opened.store.url}: {len(stuck)} runs were not repacked, and are tried again: {stuck[0]}"
            raise CollectionRefusedError(msg)
        if repacked.refused is not None:
            raise CollectionRefusedError(f"{opened.store.url}: {repacked.refused}")

    def _open(self, spec: RegistrySpec) -> tuple[OpenedRegistry, UnsafeStoreError | None]:
        try:
            return self._opener.for_collecting(spec), None
        except UnsafeStoreError as error:
            if not spec.single_writer:
                raise
            return self._opener.for_publishing(spec), error

    def _verify(self, spec: RegistrySpec, rules: VerifySettings, advance: Advance | None) -> None:
        found = scrub_next(spec, self._journal, self._clock, self._entropy, rules.subset, rules.budget_s, advance)
        note_round(spec, self._journal, self._clock, self._entropy, found)
        events, report = self._journal.events, found.report
        self._meters.counter(VERIFY_BYTES, registry=spec.name)(report.bytes_read)
        self._meters.counter(VERIFY_DAMAGE, registry=spec.name)(len(report.damages))
        for damage in report.damages[:_MOST_DAMAGES]:
            fields = {"path": damage.path, "damage": damage.kind, "detail": damage.detail}
            events.record("verify.damage", damage.ref, registry=spec.name, **fields)
        said = f"{report.runs} runs, {report.objects} objects, {report.bytes_read} bytes, {len(report.damages)} damaged"
        _log.log(logging.ERROR if report.damages else logging.INFO, "%s: verified %s", spec.name, said)
