"""Reclaiming as the command line and the daemon ask for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sealrun.adapters.machine.locking import hold
from sealrun.adapters.run_folders.reclaiming import LocalSourceRemover
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.adapters.run_folders.writers import ProcWriters
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.holders import Holders
from sealrun.domain.errors import HeldError
from sealrun.domain.upkeep.reclaiming import ReclaimPlan
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Clock, Entropy, Journal
from sealrun.services.delivery.pausing import paused_watch
from sealrun.services.sources.reclaiming import Reclaimer, ReclaimReport
from sealrun.services.sources.sources_due import WatchedSource

_log = logging.getLogger("sealrun.reclaim")
LOCK = "reclaiming"

Advance = Callable[[int], None]


class SourceReclaimer:
    """Deletes sources of one state folder's watches; a lock in that folder keeps two processes apart."""

    def __init__(
        self,
        state: Path,
        journal: Journal,
        registries: Mapping[str, RegistrySpec],
        watches: Sequence[WatchSpec],
        clock: Clock,
        entropy: Entropy,
        *,
        jobs: int | None = None,
    ) -> None:
        """Reclaim for `watches`; `jobs` threads hash one run."""
        self._lock = state / LOCK
        self._holders = Holders(journal, registries, clock, entropy)
        places = tuple(WatchedSource(watch, LocalFolderSource(watch, journal.hashes, jobs)) for watch in watches)
        remover = LocalSourceRemover(jobs)

        def paused(watch: str) -> bool:
            return paused_watch(journal.facts, watch, clock.now()) is not None

        self._reclaimer = Reclaimer(journal, places, self._holders, remover, ProcWriters(), clock, paused)

    def plan(self) -> ReclaimPlan:
        """Say what would be reclaimed and what not, and why. Takes no lock, reads no registry, changes nothing."""
        return self._reclaimer.plan(patient=False, thorough=True)

    def execute(self, advance: Advance | None = None) -> ReclaimReport:
        """Reclaim what is due now, also what was refused not long ago; `HeldError` if another process is at it."""
        with hold(self._lock):
            try:
                return self._reclaimer.execute(self._reclaimer.plan(patient=False), advance, patient=False)
            finally:
                self._holders.close()

    def round(self, advance: Advance) -> None:
        """Do what the daemon does every hour. Another process that is at it does the same."""
        try:
            with hold(self._lock):
                report = self._reclaimer.execute(self._reclaimer.plan(), advance)
        except HeldError:
            return
        finally:
            self._holders.close()
        for done in report.reclaimed:
            _log.info("%s: %r deleted; verified in %s", done.ref, done.path, ", ".join(done.registries))
        for refused in report.refused:
            _log.warning("%r is not deleted: %s", refused.path, refused.reason)
