"""The metrics of one process: what it counted, and what its journal and its disks show when somebody asks."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import msgspec

from sealrun import __version__
from sealrun.adapters.journal import SqliteJournal
from sealrun.adapters.run_folders.space import room_at
from sealrun.adapters.telling.exposition import answer_of, text_of
from sealrun.adapters.telling.metering import ProcessMeters
from sealrun.adapters.telling.textfiles import write_textfile
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.oversight.metering import (
    BUILD,
    REGISTRY_FREE,
    REGISTRY_PAUSED,
    RELOAD_AT,
    RELOAD_OK,
    RELOADS,
    STARTED,
    STATE_FREE,
    WATCH_FREE,
    WATCH_PAUSED,
    Sample,
    Spread,
)
from sealrun.domain.oversight.quiet_hours import Quiet
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Clock
from sealrun.services.delivery.pausing import held_registry, paused_watch
from sealrun.services.oversight.measuring import Known, announce, measure, one_for_each

_Value = TypeVar("_Value", Sample, Spread)
_PATIENCE_S = 2.0
_TOTALS = "metrics:totals"


class _Rooms:
    """Free room by path. A disk that hangs keeps nobody waiting for long: nothing is said of it until it answers."""

    def __init__(self) -> None:
        self._asking: dict[str, threading.Thread] = {}

    def free(self, paths: Iterable[str]) -> Mapping[str, int]:
        """Bytes free at those paths that answer."""
        found: dict[str, int] = {}

        def ask(path: str) -> None:
            if (room := room_at(path)) is not None:
                found[path] = room.free

        asked = []
        for path in dict.fromkeys(paths):
            before = self._asking.get(path)
            if before is None or not before.is_alive():
                self._asking[path] = thread = threading.Thread(
                    target=ask, args=(path,), name="sealrun-room", daemon=True
                )
                thread.start()
                asked.append(thread)
        patience = _PATIENCE_S
        for thread in asked:
            thread.join(patience)
            patience = 0.0 if thread.is_alive() else patience
        return dict(found)


class Metering:
    """What one daemon, or one command, shows of itself. Safe to use from many threads."""

    def __init__(self, state: Path, journal: SqliteJournal, clock: Clock) -> None:
        """Begin to count; nothing is known of any settings yet."""
        self.meters = ProcessMeters()
        self._state = state
        self._journal = journal
        self._clock = clock
        self._rooms = _Rooms()
        self._known = Known()
        self._folders: dict[str, str] = {}
        self._roots: dict[str, str] = {}
        self._quiet: dict[str, Quiet | None] = {}
        self._started = self._settled = clock.now().timestamp()
        self._in_force = True

    def metered(self, registries: Mapping[str, RegistrySpec]) -> Mapping[str, RegistrySpec]:
        """Return the same registries, whose stores count what they are asked."""
        return {name: msgspec.structs.replace(spec, meters=self.meters) for name, spec in registries.items()}

    def know(
        self,
        registries: Mapping[str, RegistrySpec],
        watches: Sequence[WatchSpec],
        timers: Iterable[str] = (),
        targets: Iterable[str] = (),
    ) -> None:
        """Show what these settings name, from now on, in place of what was known before."""
        self._folders = {name: spec.folder for name, spec in registries.items() if spec.folder is not None}
        self._roots = {watch.name: watch.path for watch in watches}
        self._quiet = {name: spec.quiet for name, spec in registries.items()}
        self._known = Known(
            registries=tuple(registries), watches=tuple(self._roots), timers=tuple(timers), targets=tuple(targets)
        )
        announce(self.meters, self._known)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Count a reload of the settings, by how the block ends."""
        outcome = "failed"
        try:
            yield
            outcome = "ok"
            self._settled = self._clock.now().timestamp()
        finally:
            self._in_force = outcome == "ok"
            self.meters.counter(RELOADS, outcome=outcome)(1)

    def answer(self, accept: str = "") -> tuple[bytes, str]:
        """Return everything in the format that this Accept header prefers, and its content type.

        Raises what the journal raises; a registry is never asked.
        """
        return answer_of(self._samples(), self._shown(self.meters.spreads()), accept)

    def write(self, path: Path, more: Mapping[str, str] = MappingProxyType({})) -> None:
        """Write everything but the process's own metrics for node_exporter, with more labels; see `write_textfile`."""
        write_textfile(path, text_of(self._samples(), self._shown(self.meters.spreads()), more))

    def go_on(self) -> None:
        """Count what earlier commands counted, too, and keep the sum for the next one; durable on return.

        Called once, at the end of a command: of several that overlap each adds its own.
        """
        self.meters.take_over(self._journal.facts.fact(_TOTALS))
        self._journal.facts.set_fact(_TOTALS, self.meters.to_keep())

    def _samples(self) -> Iterator[Sample]:
        yield Sample(BUILD, (__version__, platform.python_version()), 1)
        yield Sample(STARTED, (), self._started)
        yield Sample(RELOAD_OK, (), float(self._in_force))
        yield Sample(RELOAD_AT, (), self._settled)
        yield from measure(self._journal, self._known)
        facts, now = self._journal.facts, self._clock.now()
        for name, quiet in self._quiet.items():
            yield Sample(REGISTRY_PAUSED, (name,), float(held_registry(facts, name, quiet, now) is not None))
        for name in self._roots:
            yield Sample(WATCH_PAUSED, (name,), float(paused_watch(facts, name, now) is not None))
        yield from self._free()
        yield from self._shown(self.meters.samples())

    def _free(self) -> Iterator[Sample]:
        state = str(self._state)
        free = self._rooms.free([state, *self._folders.values(), *self._roots.values()])
        if state in free:
            yield Sample(STATE_FREE, (), free[state])
        yield from one_for_each(REGISTRY_FREE, list(self._folders), lambda name: free.get(self._folders[name]))
        yield from one_for_each(WATCH_FREE, list(self._roots), lambda name: free.get(self._roots[name]))

    def _shown(self, counted: Iterable[_Value]) -> Iterator[_Value]:
        """What was counted, but of registries, watches and so on that the settings do not name any more."""
        known = {
            "registry": self._known.registries,
            "watch": self._known.watches,
            "timer": self._known.timers,
            "target": self._known.targets,
        }
        for each in counted:
            labels = zip(each.metric.labels, each.labels, strict=True)
            if all(value in known.get(label, (value,)) for label, value in labels):
                yield each
