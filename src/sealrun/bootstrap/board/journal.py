"""`sealrun.web.board.Board` of a running daemon, as far as its journal and its parts tell."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sealrun import __version__
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.in_force import in_force
from sealrun.domain.errors import NotFoundError, UnavailableError
from sealrun.domain.moments import shown_time
from sealrun.domain.oversight.board import (
    Alarm,
    EventRow,
    Overview,
    PendingPage,
    QueuePage,
    RegistryBoard,
    ScrubResult,
    StoragePoint,
    TimerBoard,
    WatchBoard,
)
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Clock, Journal
from sealrun.services.daemon.running import Parts
from sealrun.services.delivery.pausing import held_registry, paused_watch
from sealrun.services.delivery.travelling import Travels
from sealrun.services.mending.scrub_history import scrub_results
from sealrun.services.oversight import overseeing
from sealrun.services.oversight.alarming import standing
from sealrun.services.oversight.storage_history import storage_points
from sealrun.settings.resolved import KeepingSettings

_EVENTS = 20


class Present(NamedTuple):
    """What is in force now: settings, and the parts that were made of them."""

    registries: Mapping[str, RegistrySpec]
    watches: Sequence[WatchSpec]
    keeping: KeepingSettings
    parts: Parts


class JournalBoard:
    """What is quick, whatever the registries do. Any thread."""

    def __init__(self, state: str, journal: Journal, clock: Clock) -> None:
        """Show a daemon that begins now, once it was told what is in force: see `renew`."""
        self.travels = Travels(clock)
        self._state = state
        self._journal = journal
        self._clock = clock
        self._given: Present | None = None
        self._started_at = shown_time(clock.now().timestamp())
        self._host = socket.gethostname()

    def renew(self, present: Present) -> None:
        """Show these parts from now on."""
        self._given = present

    @property
    def _present(self) -> Present:
        if self._given is None:
            msg = "the daemon is starting; try again"
            raise UnavailableError(msg)
        return self._given

    def overview(self) -> Overview:
        """The journal only."""
        alarms = self.alarms()
        return Overview(
            version=__version__,
            host=self._host,
            state=self._state,
            started_at=self._started_at,
            now=shown_time(self._clock.now().timestamp()),
            health=overseeing.health_of(alarms),
            alarms=alarms,
            watches=self._watches(),
            registries=self._registries(),
            timers=self._timers(),
            events=self.events(0, _EVENTS),
            settings=in_force(self._journal.facts),
        )

    def alarms(self) -> Sequence[Alarm]:
        """What stands now."""
        return standing(self._journal)

    def pending(self, watch: str, page: int = 1, size: int = 100) -> PendingPage:
        """A page of a watch's candidates that are not simply sealed."""
        if watch not in {known.name for known in self._present.watches}:
            msg = f"no watch {watch!r} in the settings"
            raise NotFoundError(msg)
        return overseeing.pending_page(self._journal, watch, page, size)

    def queue(self, registry: str, page: int = 1, size: int = 100) -> QueuePage:
        """A page of what waits for a registry."""
        return overseeing.queue_page(self._journal, self._spec(registry).name, page, size)

    def events(self, after: int = 0, limit: int = 100) -> Sequence[EventRow]:
        """Events after that number, oldest first; with 0 the newest."""
        return overseeing.event_rows(self._journal, after, limit)

    def storage(self, registry: str) -> Sequence[StoragePoint]:
        """A registry over time, oldest first."""
        return storage_points(self._journal.facts, self._spec(registry).name)

    def scrubs(self, registry: str) -> Sequence[ScrubResult]:
        """Verifications, newest first."""
        return scrub_results(self._journal.facts, self._spec(registry).name)

    def _spec(self, registry: str) -> RegistrySpec:
        spec = self._present.registries.get(registry)
        if spec is None:
            msg = f"no registry {registry!r} in the settings"
            raise NotFoundError(msg)
        return spec

    def _timers(self) -> Sequence[TimerBoard]:
        timers = self._present.parts.timers
        return () if timers is None else timers.describe()

    def _watches(self) -> Sequence[WatchBoard]:
        how, now = self._present.parts.watcher.describe(), self._clock.now()
        missing = {intake.watch.name: intake.missing is not None for intake in self._present.parts.intakes}
        return [
            overseeing.watch_board(
                self._journal,
                watch,
                how.get(watch.path, "not watched yet"),
                missing=missing.get(watch.name, False),
                paused=paused_watch(self._journal.facts, watch.name, now),
            )
            for watch in self._present.watches
        ]

    def _registries(self) -> Sequence[RegistryBoard]:
        counts, now = self._journal.deliveries.counts(), self._clock.now()
        return [
            overseeing.registry_board(
                self._journal,
                name,
                spec.shown_url,
                counts,
                self.travels,
                read_only=spec.read_only,
                limit=spec.limit,
                paused=held_registry(self._journal.facts, name, spec.quiet, now),
            )
            for name, spec in self._present.registries.items()
        ]
