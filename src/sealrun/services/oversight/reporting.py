"""What `sealrun status` says: which folder waits for what, what was rejected and why, how far each registry is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from sealrun.domain.oversight.board import Alarm, InForce, Pause
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import FolderRecord, FolderState, Journal
from sealrun.services.delivery.availability import Standing, read_standing
from sealrun.services.delivery.pausing import Kind
from sealrun.services.oversight.alarming import standing
from sealrun.services.oversight.cadence import run_due_by

SHOWN: frozenset[FolderState] = frozenset({"settling", "rejected", "stale", "skipped", "gone"})
"""States of candidates that people are shown: all but those where nothing waits."""


class WatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One watch: how many candidates are in which state, and every one that is not simply sealed.

    `run_due_by`: until when a run has to come, in POSIX seconds, where the watch expects any and that is known.
    """

    name: str
    path: str
    experiment: str
    counts: Mapping[str, int]
    folders: tuple[FolderRecord, ...]
    run_due_by: float | None = None
    paused: Pause | None = None


class RegistryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One registry's queue. `error` is the last thing that went wrong with what still waits.

    `standing` is how a daemon last found the registry: up, down, full or refused, and why.
    """

    name: str
    url: str
    queued: int
    parked: int
    published: int
    error: str | None
    standing: Standing | None
    paused: Pause | None = None


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at a glance. `daemon` is the process id of the daemon that holds the state folder.

    `settings` are those that it goes by; None: none runs, or it does not say.
    """

    state: str
    daemon: int | None
    watches: tuple[WatchStatus, ...]
    registries: tuple[RegistryStatus, ...]
    alarms: tuple[Alarm, ...]
    events: tuple[Mapping[str, Any], ...]
    settings: InForce | None = None


def status(
    journal: Journal,
    watches: Iterable[WatchSpec],
    registries: Mapping[str, str],
    *,
    state: str,
    daemon: int | None,
    settings: InForce | None = None,
    events: int = 10,
    paused: Callable[[Kind, str], Pause | None] = lambda _kind, _name: None,
) -> StatusReport:
    """Read the journal; `registries` maps names to URLs fit for showing, and `paused` says what is held back now."""
    return StatusReport(
        state=state,
        daemon=daemon,
        watches=tuple(_watch(watch, journal, paused("watch", watch.name)) for watch in watches),
        registries=_registries(journal, registries, paused),
        alarms=standing(journal),
        events=tuple(journal.events.recent(events)),
        settings=settings,
    )


def _watch(watch: WatchSpec, journal: Journal, paused: Pause | None) -> WatchStatus:
    return WatchStatus(
        name=watch.name,
        path=watch.path,
        experiment=watch.experiment,
        counts=journal.folders.counts(watch.name),
        folders=tuple(sorted(journal.folders.page(watch.name, SHOWN), key=lambda record: record.path)),
        run_due_by=None if watch.expect is None else run_due_by(journal, watch.name, watch.expect),
        paused=paused,
    )


def _registries(
    journal: Journal, urls: Mapping[str, str], paused: Callable[[Kind, str], Pause | None]
) -> tuple[RegistryStatus, ...]:
    found = {(each.registry, each.state): each.count for each in journal.deliveries.counts()}
    return tuple(
        RegistryStatus(
            name=name,
            url=url,
            queued=found.get((name, "queued"), 0),
            parked=found.get((name, "parked"), 0),
            published=found.get((name, "published"), 0),
            error=journal.deliveries.last_error(name),
            standing=read_standing(journal.facts, name),
            paused=paused("registry", name),
        )
        for name, url in urls.items()
    )
