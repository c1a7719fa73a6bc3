"""The daemon, run until it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sealrun.adapters.clock import SystemClock, SystemEntropy
from sealrun.adapters.journal import open_journal
from sealrun.adapters.locking import hold
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.running import Composition
from sealrun.domain.mirroring import MirrorSpec
from sealrun.domain.watch import WatchSpec
from sealrun.services.daemon import Daemon
from sealrun.settings.resolved import DeriveSettings, KeepingSettings, NotifySettings


class Described(NamedTuple):
    """What settings describe, in the order in which the daemon's composition takes it."""

    registries: Mapping[str, RegistrySpec]
    watches: Sequence[WatchSpec]
    mirrors: Sequence[MirrorSpec]
    keeping: KeepingSettings
    rules: Sequence[DeriveSettings]
    targets: Sequence[NotifySettings]


def run_daemon(state: Path, described: Described, reload: Callable[[], Described], jobs: int | None = None) -> int:
    """Run the daemon until it is stopped; return its exit code. `HeldError` if the state folder has one already."""
    clock, entropy = SystemClock(), SystemEntropy()
    with hold(state), closing(open_journal(state, clock, entropy)) as journal:
        composition = Composition(state, journal, clock, entropy, jobs=jobs)
        parts = composition.parts(*described)
        return Daemon(parts, clock, entropy, reload=lambda: composition.parts(*reload())).run()
