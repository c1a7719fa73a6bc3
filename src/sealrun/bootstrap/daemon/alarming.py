"""What the daemon's alarms look at: its registries, watches, timers, and the disks that they lie on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sealrun.adapters.machine.clock import SystemClock
from sealrun.adapters.run_folders.space import room_at
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.reports import ScanReport
from sealrun.domain.oversight.alarming import AlarmRules, Trouble
from sealrun.domain.oversight.board import Alarm, TimerBoard
from sealrun.domain.space import Room
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Clock, Journal
from sealrun.services.daemon.looking import WatchedIntake
from sealrun.services.daemon.running import Timers
from sealrun.services.delivery.availability import note_outcome
from sealrun.services.oversight.alarming import Alarms, clear_alarm, standing
from sealrun.services.oversight.cadence import Cadence
from sealrun.services.oversight.observing import (
    disks_in_trouble,
    folders_in_trouble,
    registries_in_trouble,
    roots_in_trouble,
    timers_in_trouble,
)

_PATIENCE_S = 10.0
_OF_REGISTRIES = ("damage", "collector-refused")


class Disks:
    """The file systems that settings speak of. One that hangs keeps nobody waiting: what was seen last counts."""

    def __init__(self, places: Iterable[tuple[str, str]]) -> None:
        """Look at these paths, each with what lies there."""
        self._places = list(places)
        self._last: Sequence[tuple[Room, Sequence[str]]] = ()
        self._looking: threading.Thread | None = None

    def look(self) -> Sequence[tuple[Room, Sequence[str]]]:
        """Each file system's room, and what of ours lies there."""
        if self._looking is None or not self._looking.is_alive():
            self._looking = threading.Thread(target=self._measure, name="sealrun-disks", daemon=True)
            self._looking.start()
        self._looking.join(_PATIENCE_S)
        return self._last

    def _measure(self) -> None:
        rooms: dict[str, Room] = {}
        ours: dict[str, list[str]] = {}
        for what, path in self._places:
            room = room_at(path)
            if room is not None:
                rooms[room.mount] = room
                ours.setdefault(room.mount, []).append(what)
        self._last = [(room, ours[mount]) for mount, room in rooms.items()]


class AlarmRounds:
    """Over all reloads of one daemon: what flaps and when runs came is remembered."""

    def __init__(self, state: Path, journal: Journal, clock: Clock, started: float | None = None) -> None:
        """Begin; `started`: see `Cadence`."""
        self._state = state
        self._journal = journal
        self._clock = clock
        self._alarms = Alarms(journal, clock)
        self._cadence = Cadence(journal, clock, started)

    def work(
        self,
        registries: Mapping[str, RegistrySpec],
        intakes: Sequence[WatchedIntake],
        timers: Timers,
        rules: AlarmRules,
    ) -> Callable[[], None]:
        """Return what looks once, for these parts. May be called by one timer; raises only what the journal does."""
        watches = {intake.watch.name: intake.watch for intake in intakes}
        disks = Disks(_places(self._state, registries, watches.values()))

        def look() -> None:
            missing = {intake.watch.name: intake.missing for intake in intakes}
            self._look(registries, watches, disks, rules, missing, timers.describe())

        return look

    def once(
        self,
        registries: Mapping[str, RegistrySpec],
        watches: Sequence[WatchSpec],
        rules: AlarmRules,
        missing: Mapping[str, str],
    ) -> None:
        """Look once, where no daemon runs: `missing` says of watches why their folders cannot be believed.

        Alarms about timers are left as they are: those are a daemon's.
        """
        named = {watch.name: watch for watch in watches}
        timers = [
            TimerBoard(name=alarm.subject, last_at=None, next_at=None, problem=alarm.reason)
            for alarm in standing(self._journal)
            if alarm.kind == "timer-failing"
        ]
        disks = Disks(_places(self._state, registries, watches))
        self._look(registries, named, disks, rules, {name: missing.get(name) for name in named}, timers)

    def _look(
        self,
        registries: Mapping[str, RegistrySpec],
        watches: Mapping[str, WatchSpec],
        disks: Disks,
        rules: AlarmRules,
        missing: Mapping[str, str | None],
        timers: Sequence[TimerBoard],
    ) -> None:
        def observe(stands: Sequence[Alarm]) -> Sequence[Trouble]:
            return [
                *registries_in_trouble(self._journal, [name for name, r in registries.items() if not r.read_only]),
                *folders_in_trouble(self._journal, watches),
                *roots_in_trouble(missing, {name: watch.path for name, watch in watches.items()}),
                *self._cadence.missing({name: w.expect for name, w in watches.items() if w.expect is not None}),
                *timers_in_trouble(timers),
                *disks_in_trouble(disks.look(), rules, stands),
            ]

        self._alarms.round(observe, rules)
        for alarm in standing(self._journal):
            if alarm.kind in _OF_REGISTRIES and alarm.subject not in registries:
                clear_alarm(self._journal, self._clock, alarm.kind, alarm.subject)


def judge_once(parts: Parts, rules: AlarmRules, report: ScanReport) -> None:
    """Judge alarms after a scan that nobody but it does: where a daemon runs, it judges, and this does nothing."""
    if parts.daemon is not None:
        return
    clock = SystemClock()
    for run in report.published:
        for done in run.deliveries:
            note_outcome(parts.journal, clock, done.registry, done.error)
    rounds = AlarmRounds(parts.state, parts.journal, clock, 0.0)  # the scan has looked around
    rounds.once(parts.registries, parts.watches, rules, report.unseen)


def _places(
    state: Path, registries: Mapping[str, RegistrySpec], watches: Iterable[WatchSpec]
) -> Iterable[tuple[str, str]]:
    yield "the state folder", os.fspath(state)
    for spec in registries.values():
        path = spec.url.removeprefix("file://")
        if "://" not in path:
            yield f"registry {spec.name}", path
    for watch in watches:
        yield f"watch {watch.name}", watch.path
