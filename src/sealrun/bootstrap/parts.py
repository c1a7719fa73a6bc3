"""What the interfaces see: settings in, verbs out. Everything heavy is opened, and loaded, when it is first needed."""

# ruff: noqa: PLC0415 - a command loads the room that it works in, and no other: that is a third of a short command
from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from sealrun.adapters.journal import JOURNAL_FILE, SqliteJournal, open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.machine.locking import holder
from sealrun.bootstrap.registries import Opener, RegistrySpec, find_spec, keep_aside, open_reader
from sealrun.domain.errors import SealrunError
from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.access.reading import Reader
from sealrun.services.delivery.availability import release_deliveries
from sealrun.services.storage.probing import ProbeReport
from sealrun.settings.resolved import KeepingSettings, MetricsSettings

if TYPE_CHECKING:
    from sealrun.bootstrap.verbs.consuming import Consumer, Mover
    from sealrun.bootstrap.verbs.governing import Governor
    from sealrun.bootstrap.verbs.holding import Pauses
    from sealrun.bootstrap.verbs.keeping import Keeper
    from sealrun.bootstrap.verbs.mending import Mender
    from sealrun.bootstrap.verbs.mirroring import Mirrors
    from sealrun.bootstrap.verbs.producing import Producer
    from sealrun.bootstrap.verbs.reclaiming import SourceReclaimer
    from sealrun.bootstrap.verbs.reports import ScanReport
    from sealrun.domain.curation.gating import Gate
    from sealrun.domain.oversight.board import Alarm
    from sealrun.domain.upkeep.damage import Damage
    from sealrun.services.mending.scrubbing import ScrubReport
    from sealrun.services.oversight.reporting import StatusReport


_log = logging.getLogger("sealrun.parts")
_KEEPING = KeepingSettings()
_METRICS = MetricsSettings()


class Parts:
    """The parts that one process needs, opened lazily and closed together. Use it as a context manager."""

    def __init__(
        self,
        state: Path,
        registries: Mapping[str, RegistrySpec],
        watches: Sequence[WatchSpec],
        *,
        jobs: int | None = None,
        mirrors: Sequence[MirrorSpec] = (),
        keeping: KeepingSettings = _KEEPING,
        gates: Mapping[str, Gate] = MappingProxyType({}),
        metrics: MetricsSettings = _METRICS,
    ) -> None:
        """Work in the state folder `state`."""
        self.state = state
        self.registries = registries
        self.watches = watches
        self._mirror_specs = mirrors
        self._keeping = keeping
        self._gates = gates
        self._metrics = metrics
        self._jobs = jobs
        self._clock = SystemClock()
        self._entropy = SystemEntropy()
        self._journal: SqliteJournal | None = None
        self._producer: Producer | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        """Open nothing yet."""
        keep_aside(self.state)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close what was opened, the journal last."""
        self._closing.close()

    @property
    def journal(self) -> SqliteJournal:
        """The journal of the state folder."""
        if self._journal is None:
            self._journal = open_journal(self.state, self._clock, self._entropy)
            self._closing.callback(self._journal.close)
        return self._journal

    @property
    def producer(self) -> Producer:
        """Seal and publish from this process."""
        if self._producer is None:
            from sealrun.bootstrap.verbs.producing import Producer

            self._producer = Producer(
                self.journal, self.registries, self.watches, self._clock, self._entropy, jobs=self._jobs
            )
            self._closing.callback(self._producer.close)
        return self._producer

    def scan_once(self) -> ScanReport:
        """Take what is complete now in every watch, and deliver everything that is queued.

        Where the settings name a textfile, metrics are written there at the end, unless a daemon does that. Not being
        able to is logged, and changes nothing else.
        """
        textfile = self._metrics.textfile
        if textfile is None or holder(self.state) is not None:
            return self.producer.scan_once()
        from sealrun.bootstrap.metering import Metering
        from sealrun.bootstrap.verbs.producing import Producer

        metering = Metering(self.state, self.journal, self._clock)
        metering.know(self.registries, self.watches)
        rooms = self.journal, metering.metered(self.registries), self.watches
        producer = Producer(*rooms, self._clock, self._entropy, jobs=self._jobs, meters=metering.meters)
        self._closing.callback(producer.close)
        try:
            return producer.scan_once()
        finally:
            try:
                metering.go_on()
                metering.write(textfile, self._metrics.labels)
            except SealrunError as error:
                _log.warning("%s", error)

    def consumer(self, registry: str | None = None) -> Consumer:
        """Read a registry, by name or URL; by default the first one."""
        from sealrun.bootstrap.verbs.consuming import Consumer

        consumer = Consumer(find_spec(self.registries, registry), self._clock, self._entropy)
        self._closing.callback(consumer.close)
        return consumer

    def mover(self, registry: str | None = None, *, dry_run: bool = False, gate: Gate | None = None) -> Mover:
        """Move pointers of a registry. For a dry run it is opened for reading: nothing is probed, nothing written.

        What the settings require of a run before a pointer moves, and what `gate` does, has to pass.
        """
        from sealrun.bootstrap.verbs.consuming import Mover
        from sealrun.bootstrap.verbs.gating import Gatekeeper
        from sealrun.domain.curation.gating import gate_of

        def keeper_of(experiment: str, pointer: str) -> Gatekeeper | None:
            required = gate_of(self._gates, experiment, pointer)
            required = required if gate is None else required.and_also(gate)
            if not required.require and not required.command:
                return None
            return Gatekeeper(required, lambda: self.governor(registry), lambda: self.consumer(registry), self._clock)

        spec = find_spec(self.registries, registry)
        if dry_run:
            found = open_reader(spec, self._clock, self._entropy)
            self._closing.callback(found.store.close)
            return Mover(found, "dry-run", self._clock, self._entropy, keeper_of)
        opened = Opener(self.journal, self._clock, self._entropy).for_publishing(spec)
        self._closing.callback(opened.close)
        reader = Reader(opened.store, self._clock, self._entropy)
        return Mover(reader, self.journal.state_id, self._clock, self._entropy, keeper_of)

    def keeper(self, registry: str | None = None, *, dry_run: bool = False, collecting: bool = False) -> Keeper:
        """Retire, pin and collect in a registry. For a dry run it is opened for reading: nothing is probed or written.

        `UnsafeStoreError` if it is for `collecting`, and the store cannot keep what a collector relies on.
        """
        from sealrun.bootstrap.verbs.keeping import Keeper

        spec = find_spec(self.registries, registry)
        if dry_run:
            store = open_reader(spec, self._clock, self._entropy).store
            self._closing.callback(store.close)
            return Keeper(spec, store, self._keeping, self._clock, self._entropy, state=self.state)
        opener = Opener(self.journal, self._clock, self._entropy)
        opened = opener.for_collecting(spec) if collecting else opener.for_publishing(spec)
        self._closing.callback(opened.close)
        return Keeper(spec, opened, self._keeping, self._clock, self._entropy, self.journal)

    def governor(self, registry: str | None = None, *, writing: bool = False) -> Governor:
        """Read a registry's schemas; with `writing` it is opened for publishing, and they can be added to."""
        from sealrun.bootstrap.verbs.governing import Governor

        spec = find_spec(self.registries, registry)
        if writing:
            opened = Opener(self.journal, self._clock, self._entropy).for_publishing(spec)
            self._closing.callback(opened.close)
            return Governor(opened.store, self._clock, self._entropy)
        found = open_reader(spec, self._clock, self._entropy)
        self._closing.callback(found.store.close)
        return Governor(found.store, self._clock, self._entropy)

    def mender(self, registry: str | None = None, places: Sequence[str] = (), *, dry_run: bool = False) -> Mender:
        """Repair a registry from `places`, by default from everywhere the settings and the journal know of."""
        from sealrun.bootstrap.verbs.mending import Mender

        spec = find_spec(self.registries, registry)
        mender = Mender(spec, self.journal, self._clock, self._entropy, dry_run=dry_run)
        self._closing.callback(mender.close)
        mender.use(places, self.registries, self._mirror_specs)
        return mender

    def scrub(
        self, registry: str | None, share: float, budget_s: float | None, advance: Callable[[int], None] | None = None
    ) -> ScrubReport:
        """Verify the next part of a registry, from where the last round ended."""
        from sealrun.bootstrap.verbs.mending import scrub_next

        spec = find_spec(self.registries, registry)
        return scrub_next(spec, self.journal, self._clock, self._entropy, share, budget_s, advance)

    @property
    def reclaimer(self) -> SourceReclaimer:
        """Delete the sources of published runs, where the watches say so."""
        from sealrun.bootstrap.verbs.reclaiming import SourceReclaimer

        return SourceReclaimer(
            self.state, self.journal, self.registries, self.watches, self._clock, self._entropy, jobs=self._jobs
        )

    @property
    def mirrors(self) -> Mirrors:
        """Fill the mirrors that the settings name."""
        from sealrun.bootstrap.verbs.mirroring import Mirrors

        return Mirrors(self.state, self.journal, self.registries, self._mirror_specs, self._clock, self._entropy)

    def status(self, events: int = 10, file: Path | None = None) -> StatusReport:
        """Everything at a glance, with the last few events; `file` is where these settings are from."""
        from sealrun.bootstrap.verbs.in_force import in_force
        from sealrun.services.oversight.reporting import status

        urls, journal = {name: spec.shown_url for name, spec in self.registries.items()}, self.journal
        told = {"daemon": self.daemon, "settings": in_force(journal.facts, file) if self.daemon else None}
        more: Any = {"state": str(self.state), "events": events, "paused": self.pauses.find, **told}
        return status(journal, self.watches, urls, **more)

    @property
    def daemon(self) -> int | None:
        """The process of the daemon that holds the state folder."""
        return holder(self.state)

    @property
    def pauses(self) -> Pauses:
        """Pause and resume registries and watches."""
        from sealrun.bootstrap.verbs.holding import Pauses

        return Pauses(self.journal, self._clock, self.registries, self.watches)

    def release(self, registry: str | None = None) -> int:
        """Have parked and postponed deliveries tried again now; return how many."""
        return release_deliveries(self.journal, self._clock, registry)

    def alarms(self) -> tuple[Alarm, ...]:
        """What stands, the worst first."""
        from sealrun.services.oversight.alarming import standing

        return standing(self.journal)

    def verified(
        self, registry: str | None, damages: Sequence[Damage], looked_at: Callable[[str], bool] = lambda _ref: False
    ) -> None:
        """Have the alarm follow a verification by command: of what was `looked_at` nothing else is damaged.

        Only where a daemon keeps alarms, and of a registry of the settings. What is in the way of that is logged.
        """
        from sealrun.services.oversight.damages import damage_texts, note_damage

        name = find_spec(self.registries, registry).name
        if name not in self.registries or not (self.state / JOURNAL_FILE).exists():
            return
        try:
            note_damage(self.journal, self._clock, name, damage_texts(damages), looked_at)
        except SealrunError as error:
            _log.warning("alarms do not know of this verification: %s", error)

    def collected(self, registry: str | None = None) -> None:
        """Have the alarm follow a collection that got through."""
        from sealrun.services.oversight.alarming import clear_alarm

        clear_alarm(self.journal, self._clock, "collector-refused", find_spec(self.registries, registry).name)

    def create_registry(self, name: str) -> str:
        """Create the registry of that name, or find it; return its id, which is remembered: it is not made twice."""
        return Opener(self.journal, self._clock, self._entropy).make(self.registries[name])

    def probe(self, name: str) -> ProbeReport:
        """Probe a registry's store now; `NoRegistryError` if it is not the one that was there before."""
        return Opener(self.journal, self._clock, self._entropy).examine(self.registries[name])

    def forget_registry(self, name: str) -> None:
        """Forget which registry was at that name's URL."""
        Opener(self.journal, self._clock, self._entropy).forget(self.registries[name])
