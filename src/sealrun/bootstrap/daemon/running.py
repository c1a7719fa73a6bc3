"""The daemon, run until it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sealrun.adapters.journal import open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.machine.locking import hold
from sealrun.bootstrap.daemon.composition import Composition
from sealrun.bootstrap.daemon.surface import Served, Surface
from sealrun.bootstrap.daemon.telling import Telling
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.in_force import Source, take_settings
from sealrun.domain.oversight.alarming import AlarmRules
from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.daemon.lifecycle import Daemon
from sealrun.services.daemon.running import Parts
from sealrun.settings.resolved import DeriveSettings, KeepingSettings, MetricsSettings, NotifySettings


class Described(NamedTuple):
    """What settings describe, in the order in which the daemon's composition takes it; last where they are from."""

    registries: Mapping[str, RegistrySpec]
    watches: Sequence[WatchSpec]
    mirrors: Sequence[MirrorSpec]
    keeping: KeepingSettings
    rules: Sequence[DeriveSettings]
    targets: Sequence[NotifySettings]
    alarms: AlarmRules = AlarmRules()
    metrics: MetricsSettings = MetricsSettings()
    source: Source = Source()


def run_daemon(
    state: Path,
    described: Described,
    reload: Callable[[], Described],
    jobs: int | None = None,
    serve: Callable[[Surface], Served] | None = None,
) -> int:
    """Run the daemon until it is stopped; return its exit code. `HeldError` if the state folder has one already.

    `serve` returns what shows it to others; it begins, and takes new settings, when it is told to renew itself.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    with hold(state), closing(open_journal(state, clock, entropy)) as journal:
        composition = Composition(state, journal, clock, entropy, jobs=jobs)

        def built(described: Described) -> Parts:
            parts = composition.parts(*described[:-1])
            take_settings(journal, clock, described.source, described.registries, described.watches)
            return parts

        parts = built(described)
        telling = Telling(clock)
        serving: list[Served] = []

        def parts_again() -> Parts:
            with composition.metering.reloading():
                renewed = built(reload())
            for served in serving:
                served.renew()
            return renewed

        daemon = Daemon(parts, clock, entropy, reload=parts_again, tell=telling)
        telling.of(daemon)
        if serve is not None:
            serving.append(serve(Surface(composition.board, daemon, journal, clock, composition.metering.answer)))
        try:
            for served in serving:
                served.renew()
            return daemon.run()
        finally:
            for served in serving:
                served.stop()
