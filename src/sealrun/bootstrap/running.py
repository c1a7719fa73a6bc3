"""The daemon's parts: one intake per watch, one delivery line per registry, timers, and what they share."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence

from sealrun.adapters.journal import SqliteJournal
from sealrun.adapters.sources import LocalFolderSource
from sealrun.adapters.timers import SystemTimers, every
from sealrun.adapters.watching import LocalWatcher
from sealrun.adapters.writers import ProcWriters
from sealrun.bootstrap.producing import folder_sources
from sealrun.bootstrap.registries import Opener, RegistrySpec
from sealrun.domain.sealed import SealedRun
from sealrun.domain.watch import WatchSpec
from sealrun.ports import Clock, Entropy
from sealrun.services.accepting import Acceptor
from sealrun.services.delivering import DeliveryLine
from sealrun.services.delivery_parts import LineParts, Sources
from sealrun.services.intake import Intake
from sealrun.services.looking import WatchedIntake
from sealrun.services.looping import SealPool
from sealrun.services.running import Parts
from sealrun.services.sealing import Sealing
from sealrun.services.staging import StagedSealings
from sealrun.services.upkeep import OpenedRegistry

_log = logging.getLogger("sealrun.daemon")
_RESCAN_S = 600.0
_RECOVER_S = 3600.0
_COMPACT_S = 300.0
_TIDY_S = 6 * 3600.0
_SEALERS = 2


class Composition:
    """Builds the parts of one daemon, again at every reload; the journal and what is staged outlive them."""

    def __init__(self, journal: SqliteJournal, clock: Clock, entropy: Entropy, *, jobs: int | None = None) -> None:
        """Compose around `journal`; `jobs` threads hash one run."""
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._jobs = jobs
        self._opener = Opener(journal, clock, entropy)
        self._opened: dict[str, OpenedRegistry] = {}

    def parts(self, registries: Mapping[str, RegistrySpec], watches: Sequence[WatchSpec]) -> Parts:
        """Build what these settings describe. Nothing is opened yet: a registry that is down keeps nobody waiting."""
        self._opened = {}
        opened = self._opened
        pool = SealPool(max(_SEALERS, (os.cpu_count() or 1)))
        watcher = LocalWatcher()
        intakes: list[WatchedIntake] = []

        def settle_again(path: str) -> None:
            for intake in intakes:
                intake.mark(path)

        stages = {watch.name: StagedSealings(_first_with_stage(watch, opened)) for watch in watches}
        line_parts = LineParts(
            journal=self._journal,
            clock=self._clock,
            entropy=self._entropy,
            folder_sources=lambda run: folder_sources(run, self._journal.hashes),
            is_there=_is_there,
            staged_sources=_staged_in(stages.values()),
            on_settle_again=settle_again,
        )
        lines = [
            DeliveryLine(name, self._opening(spec, opened), line_parts)
            for name, spec in registries.items()
            if not spec.read_only
        ]
        intakes += [self._intake(watch, stages[watch.name], watcher, pool, lines) for watch in watches]
        timers = SystemTimers(self._journal.facts, self._clock, self._entropy)
        parts = Parts(journal=self._journal, watcher=watcher, intakes=intakes, lines=lines, pool=pool, timers=timers)
        timers.add("rescan", every(_RESCAN_S), parts.rescan)
        timers.add("recover", every(_RECOVER_S), parts.recover)
        timers.add("compact", every(_COMPACT_S), parts.compact)
        timers.add("tidy", every(_TIDY_S), self._journal.tidy)
        return parts

    def _opening(self, spec: RegistrySpec, opened: dict[str, OpenedRegistry]) -> Callable[[], OpenedRegistry]:
        def open_registry() -> OpenedRegistry:
            registry = self._opener.for_publishing(spec)
            opened[spec.name] = registry
            return registry

        return open_registry

    def _intake(
        self,
        watch: WatchSpec,
        staged: StagedSealings,
        watcher: LocalWatcher,
        pool: SealPool,
        lines: Sequence[DeliveryLine],
    ) -> WatchedIntake:
        def on_sealed(number: int, sealing: Sealing) -> None:
            staged.keep(number, sealing)
            staged.release_all_but({known.sealed for known in self._journal.deliveries.all(state="queued")} | {number})
            for line in lines:
                line.wake()

        def launch(work: Callable[[], None]) -> None:
            def seal_and_sweep() -> None:
                try:
                    work()
                finally:
                    staged.sweep()

            pool.launch(seal_and_sweep)

        source = LocalFolderSource(watch, self._journal.hashes, self._jobs)
        acceptor = Acceptor(watch, source, self._journal, self._clock, sealer=staged.seal, on_sealed=on_sealed)
        return WatchedIntake(Intake(acceptor, ProcWriters(), watcher=watcher, launch=launch), self._clock)


def _first_with_stage(watch: WatchSpec, opened: Mapping[str, OpenedRegistry]) -> Callable[[], OpenedRegistry | None]:
    """The watch's first registry that is open and on this machine: never worth waiting for one that is not."""

    def choose() -> OpenedRegistry | None:
        there = (opened.get(name) for name in watch.registries)
        return next((registry for registry in there if registry and registry.store.capabilities.links), None)

    return choose


def _staged_in(stages: Collection[StagedSealings]) -> Callable[[str, int], Sources | None]:
    def sources(_registry: str, sealed: int) -> Sources | None:
        return next((found for staged in stages if (found := staged.sources(sealed)) is not None), None)

    return sources


def _is_there(run: SealedRun) -> bool:
    return os.path.lexists(run.folder)
