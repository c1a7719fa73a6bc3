"""The daemon's parts: one intake per watch, one delivery line per registry, timers, and what they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path

from sealrun.adapters.journal import SqliteJournal
from sealrun.adapters.machine.timers import Schedule, SystemTimers, cron, every
from sealrun.adapters.run_folders.seals import LocalSeals
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.adapters.run_folders.watching import LocalWatcher
from sealrun.adapters.run_folders.writers import FRESH_S, ProcWriters
from sealrun.bootstrap.allocating import return_freed_memory
from sealrun.bootstrap.board.composed import DaemonBoard
from sealrun.bootstrap.board.journal import Present
from sealrun.bootstrap.daemon.alarming import AlarmRounds
from sealrun.bootstrap.daemon.chores import Chores
from sealrun.bootstrap.daemon.notifying import add_telling
from sealrun.bootstrap.daemon.stages import WatchStages
from sealrun.bootstrap.daemon.tending import Tending
from sealrun.bootstrap.metering import Metering
from sealrun.bootstrap.products.derive_rounds import DeriveRounds
from sealrun.bootstrap.registries import Opener, RegistrySpec
from sealrun.bootstrap.verbs.holding import Holds
from sealrun.bootstrap.verbs.mirroring import Mirrors
from sealrun.bootstrap.verbs.producing import folder_sources
from sealrun.bootstrap.verbs.reclaiming import SourceReclaimer
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.oversight.alarming import AlarmRules
from sealrun.domain.oversight.metering import HASHED_BYTES
from sealrun.domain.runs.sealed import SealedRun
from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Clock, Entropy
from sealrun.services.daemon.looking import WatchedIntake
from sealrun.services.daemon.running import Parts
from sealrun.services.delivery.delivering import DeliveryLine
from sealrun.services.delivery.parts import SIDE_BY_SIDE, LineParts
from sealrun.services.delivery.staging import StagedSealings
from sealrun.services.oversight.storage_history import EVERY_S
from sealrun.services.publication.upkeep import OpenedRegistry
from sealrun.services.threads.looping import SealPool
from sealrun.services.threads.progress import Works, moving
from sealrun.services.watching.accepting import Acceptor
from sealrun.services.watching.intake import Intake
from sealrun.services.watching.sealing import Sealing
from sealrun.settings.resolved import DeriveSettings, KeepingSettings, MetricsSettings, NotifySettings

_RESCAN_S = 600.0
_RECOVER_S = 3600.0
_COMPACT_S = 300.0
_TIDY_S = 6 * 3600.0
_RECLAIM_S = 3600.0
_SEALERS = 2
_FORGET_FULL_S = 0.5
_MANY_FILES = 1000
_KEEPING = KeepingSettings()
_ALARMS = AlarmRules()
_METRICS = MetricsSettings()


class Composition:
    """Builds the parts of one daemon, again at every reload; the journal and what is staged outlive them."""

    def __init__(
        self, state: Path, journal: SqliteJournal, clock: Clock, entropy: Entropy, *, jobs: int | None = None
    ) -> None:
        """Compose around `journal`, which lies in the folder `state`; `jobs` threads hash one run."""
        self._state = state
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._jobs = jobs
        self._opener = Opener(journal, clock, entropy)
        self._opened: dict[str, OpenedRegistry] = {}
        self._stages = WatchStages()
        self._holds = Holds(journal.facts, clock)
        self.metering = Metering(state, journal, clock)
        self._tending = Tending(journal, self._opener, clock, entropy, self.metering.meters)
        self._alarms = AlarmRounds(state, journal, clock)
        self._works = Works(clock.monotonic)
        self.board = DaemonBoard(str(state), journal, clock, entropy, self.metering.meters)

    def parts(
        self,
        registries: Mapping[str, RegistrySpec],
        watches: Sequence[WatchSpec],
        mirrors: Sequence[MirrorSpec] = (),
        keeping: KeepingSettings = _KEEPING,
        rules: Sequence[DeriveSettings] = (),
        told: Sequence[NotifySettings] = (),
        alarms: AlarmRules = _ALARMS,
        metrics: MetricsSettings = _METRICS,
    ) -> Parts:
        """Build what these settings describe. Nothing is opened yet: a registry that is down keeps nobody waiting."""
        registries, meters = self._holds.limited(self.metering.metered(registries)), self.metering.meters
        self._opened = {}
        opened = self._opened
        pool = SealPool(max(_SEALERS, (os.cpu_count() or 1)), self._works)
        watcher = LocalWatcher()
        intakes: list[WatchedIntake] = []

        def settle_again(path: str) -> None:
            for intake in intakes:
                intake.mark(path)

        holds = {name: self._holds.of_registry(spec) for name, spec in registries.items() if not spec.read_only}
        self._stages.renew(watches, opened, holds)
        line_parts = LineParts(
            journal=self._journal,
            clock=self._clock,
            entropy=self._entropy,
            folder_sources=lambda run: folder_sources(run, self._journal.hashes),
            is_there=_is_there,
            at_hand=self._stages.at_hand,
            on_settle_again=settle_again,
            on_pause=self._let_go,
            works=self._works,
            travels=self.board.travels,
            meters=meters,
            accepted=self._journal.moments.accepted,
        )
        lines = [
            DeliveryLine(
                name,
                self._opening(registries[name], opened),
                line_parts,
                width=SIDE_BY_SIDE,
                hold=hold,
            )
            for name, hold in holds.items()
        ]
        intakes += [self._intake(watch, self._stages.of(watch.name), watcher, pool, lines) for watch in watches]
        timers = Chores(SystemTimers(self._journal.facts, self._clock, self._entropy, meters), self._works)
        parts = Parts(
            journal=self._journal,
            watcher=watcher,
            intakes=intakes,
            lines=lines,
            pool=pool,
            timers=timers,
            works=self._works,
        )
        timers.add("rescan", every(_RESCAN_S), parts.rescan)
        timers.add("recover", every(_RECOVER_S), parts.recover)
        timers.add("compact", every(_COMPACT_S), parts.compact)
        timers.add("tidy", every(_TIDY_S), self._journal.tidy)
        timers.add("reclaim", every(_RECLAIM_S), self._reclaiming(registries, watches, timers))
        for mirror in mirrors:
            timers.add(f"mirror:{mirror.name}", every(mirror.interval_s), self._mirroring(registries, mirror, timers))
        for spec in registries.values():
            self._tend(spec, keeping, timers)
        self._derive(registries, watches, rules, timers)
        timers.add("sample", every(EVERY_S), lambda: self.board.sample(timers.advance))
        timers.add("alarms", every(alarms.interval_s), self._alarms.work(registries, intakes, timers, alarms))
        add_telling(timers, self._journal, told, meters)
        if (textfile := metrics.textfile) is not None:
            timers.add("metrics", every(metrics.interval_s), lambda: self.metering.write(textfile, metrics.labels))
        names = [timer.name for timer in timers.describe()]
        self.metering.know(registries, watches, names, [each.name for each in told])
        self.board.renew(Present(registries, watches, keeping, parts))
        return parts

    def _derive(
        self,
        registries: Mapping[str, RegistrySpec],
        watches: Sequence[WatchSpec],
        rules: Sequence[DeriveSettings],
        timers: Chores,
    ) -> None:
        """One timer for each registry, as often as its most eager rule asks: a rule may build on another."""
        for name in dict.fromkeys(each.registry for each in rules):
            mine = [each for each in rules if each.registry == name]
            eager = {each.rule.name: each.interval_s for each in mine if each.interval_s is not None}
            if eager:
                rounds = DeriveRounds(self._state, registries, watches, name, [each.rule for each in mine], [*eager])
                timers.add(f"derive:{name}", every(min(eager.values())), partial(rounds.round, timers.advance))

    def _tend(self, spec: RegistrySpec, keeping: KeepingSettings, timers: Chores) -> None:
        """Orphans of crashed attempts are collected everywhere; runs are retired only where a policy says so."""
        tending = self._tending
        if keeping.gc.schedule is not None and not spec.read_only:
            due = _schedule("[gc]", keeping.gc.schedule)
            timers.add(f"gc:{spec.name}", due, lambda: tending.keep_round(spec, keeping, timers.advance))
        verify = keeping.verify
        if verify is not None and verify.schedule is not None:
            due = _schedule("[verify]", verify.schedule)
            timers.add(f"verify:{spec.name}", due, lambda: tending.verify_round(spec, verify, timers.advance))

    def _reclaiming(
        self, registries: Mapping[str, RegistrySpec], watches: Sequence[WatchSpec], timers: Chores
    ) -> Callable[[], None]:
        reclaimer = SourceReclaimer(
            self._state, self._journal, registries, watches, self._clock, self._entropy, jobs=self._jobs
        )
        return lambda: reclaimer.round(timers.advance)

    def _mirroring(
        self, registries: Mapping[str, RegistrySpec], mirror: MirrorSpec, timers: Chores
    ) -> Callable[[], None]:
        mirrors = Mirrors(self._state, self._journal, registries, (mirror,), self._clock, self._entropy)
        return lambda: mirrors.round(mirror.name, timers.advance)

    def _let_go(self) -> None:
        """Forget what was staged for deliveries that are over."""
        if self._stages.release_all_but(self._journal.deliveries.queued_of) >= _MANY_FILES:
            return_freed_memory()

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
        forgotten = [-inf]

        def on_sealed(number: int, sealing: Sealing) -> None:
            staged.keep(number, sealing)
            now = self._clock.monotonic()
            if staged.full and now - forgotten[0] > _FORGET_FULL_S:  # no line pauses while its queue is long
                forgotten[0] = now
                self._let_go()
            for line in lines:
                line.wake()

        def launch(work: Callable[[], None]) -> None:
            def seal_and_sweep() -> None:
                try:
                    work()
                finally:
                    staged.sweep()

            pool.launch(seal_and_sweep)

        source = LocalFolderSource(
            watch,
            self._journal.hashes,
            self._jobs,
            moving=moving,
            hashed=self.metering.meters.counter(HASHED_BYTES, watch=watch.name),
        )
        sealer, seals = staged.seal, LocalSeals()
        acceptor = Acceptor(
            watch,
            source,
            self._journal,
            self._clock,
            sealer=sealer,
            on_sealed=on_sealed,
            seals=seals,
            meters=self.metering.meters,
        )
        writers = ProcWriters(max_age_s=FRESH_S)
        intake = Intake(acceptor, writers, watcher=watcher, launch=launch)
        return WatchedIntake(intake, self._clock, hold=self._holds.of_watch(watch))


def _schedule(table: str, line: str) -> Schedule:
    try:
        return cron(line)
    except ConfigurationError as error:
        raise ConfigurationError(f"{table} {error}") from error


def _is_there(run: SealedRun) -> bool:
    return os.path.lexists(run.folder)
