"""How a daemon shows its service manager what it does, and proves to it that it gets on."""

from __future__ import annotations

import faulthandler
import os
from collections import Counter
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from sealrun.adapters.machine.sd_notify import ServiceManager, take_service_manager
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.oversight.progress import PATIENCE_S
from sealrun.ports import Clock
from sealrun.services.daemon.running import Parts
from sealrun.services.oversight.alarming import standing
from sealrun.services.threads.watchdog import Watchdog
from sealrun.settings.quantities import parse_duration

if TYPE_CHECKING:
    from sealrun.services.daemon.lifecycle import Daemon, Phase

PATIENCE = "SEALRUN_PATIENCE"
_LOOK_S = 10.0
_SHOWN = 3
_MARGIN_S = 30.0
"""After the grace time the journal and the lock are closed; only a disk that hangs makes that take as long."""


class Telling:
    """What a daemon's phases become. Told nobody without a service manager; the watchdog's log is written anyway."""

    def __init__(
        self,
        clock: Clock,
        *,
        environ: MutableMapping[str, str] = os.environ,
        grace_s: float = 60.0,
    ) -> None:
        """Take the service manager out of `environ`, so that no child talks to it.

        ``SEALRUN_PATIENCE`` there says how long work may show no progress; `ConfigurationError` if it is no duration.
        """
        self._clock = clock
        self._manager: ServiceManager = take_service_manager(environ)
        self._patience_s = _patience_s(environ.get(PATIENCE, ""))
        self._grace_s = grace_s
        self._watchdog: Watchdog | None = None
        self._daemon: Daemon | None = None

    def of(self, daemon: Daemon) -> None:
        """Speak for `daemon`, which is about to run, and which is given this object as its `tell`."""
        self._daemon = daemon

    def __call__(self, phase: Phase) -> None:
        """Pass a phase on. In the daemon's main thread."""
        if phase == "stopping":
            if self._watchdog is not None:
                self._watchdog.stop()
            self._manager.stopping(self._grace_s + _MARGIN_S)
        elif phase == "reloading":
            self._manager.reloading()
        else:
            self._manager.ready(self.status())
            self._begin()

    def status(self) -> str:
        """One line about everything."""
        return "" if self._daemon is None else status_line(self._daemon.parts, self._daemon.refused)

    def _begin(self) -> None:
        if self._watchdog is not None or self._daemon is None:
            return
        faulthandler.enable()  # a watchdog ends a process by SIGABRT: then every thread says where it was
        patience_s = self._manager.watchdog_s
        interval_s = _LOOK_S if patience_s is None else min(_LOOK_S, patience_s / 3)
        self._watchdog = Watchdog(
            self._daemon.parts.works,
            self._manager,
            self._clock,
            self.status,
            interval_s=interval_s,
            patience_s=self._patience_s,
            gone=self._daemon.gone,
        )
        self._watchdog.start()


def _patience_s(text: str) -> float:
    if not text:
        return PATIENCE_S
    try:
        patience_s = parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(f"${PATIENCE}: {error}") from error
    if patience_s <= 0:
        raise ConfigurationError(f"${PATIENCE}: is not longer than nothing: {text!r}")
    return patience_s


def status_line(parts: Parts, refused: str | None) -> str:
    """Say what there is, what waits and what is wrong, most urgent first."""
    waiting: Counter[str] = Counter()
    for found in parts.journal.deliveries.counts():
        waiting[found.state] += found.count
    alarms = [f"{alarm.kind} {alarm.subject}" for alarm in standing(parts.journal)]
    said = [
        f"{_some(len(parts.intakes), 'watch', 'watches')}, {_some(len(parts.lines), 'registry', 'registries')}",
        f"{waiting['queued']} queued, {waiting['parked']} parked",
    ]
    if alarms:
        more = f" and {len(alarms) - _SHOWN} more" if len(alarms) > _SHOWN else ""
        said.insert(0, f"{_some(len(alarms), 'alarm', 'alarms')}: {', '.join(alarms[:_SHOWN])}{more}")
    if refused is not None:
        said.insert(0, f"settings refused, the old ones stay: {refused}")
    return "; ".join(said)


def _some(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
