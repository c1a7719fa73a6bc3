"""What `sealrun status` says: which folder waits for what, what was rejected and why, how far each registry is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sealrun.domain.watch import WatchSpec
from sealrun.ports import Delivery, FolderRecord, Journal
from sealrun.services.availability import Standing, read_standing

_SHOWN = {"settling", "rejected", "stale", "skipped", "gone"}


class WatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One watch: how many candidates are in which state, and every one that is not simply sealed."""

    name: str
    path: str
    experiment: str
    counts: Mapping[str, int]
    folders: tuple[FolderRecord, ...]


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


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at a glance. `daemon` is the process id of the daemon that holds the state folder."""

    state: str
    daemon: int | None
    watches: tuple[WatchStatus, ...]
    registries: tuple[RegistryStatus, ...]
    events: tuple[Mapping[str, Any], ...]


def status(
    journal: Journal,
    watches: Iterable[WatchSpec],
    registries: Mapping[str, str],
    *,
    state: str,
    daemon: int | None,
    events: int = 10,
) -> StatusReport:
    """Read the journal; `registries` maps names to URLs fit for showing."""
    return StatusReport(
        state=state,
        daemon=daemon,
        watches=tuple(_watch(watch, journal.folders.all(watch.name)) for watch in watches),
        registries=tuple(_registry(journal, name, url) for name, url in registries.items()),
        events=tuple(journal.events.recent(events)),
    )


def _watch(watch: WatchSpec, folders: Sequence[FolderRecord]) -> WatchStatus:
    counts: dict[str, int] = {}
    for folder in folders:
        counts[folder.state] = counts.get(folder.state, 0) + 1
    return WatchStatus(
        name=watch.name,
        path=watch.path,
        experiment=watch.experiment,
        counts=counts,
        folders=tuple(folder for folder in folders if folder.state in _SHOWN),
    )


def _registry(journal: Journal, name: str, url: str) -> RegistryStatus:
    deliveries: Sequence[Delivery] = journal.deliveries.all(registry=name)

    def count(state: str) -> int:
        return sum(delivery.state == state for delivery in deliveries)

    errors = (delivery.error for delivery in deliveries if delivery.state != "published" and delivery.error)
    return RegistryStatus(
        name=name,
        url=url,
        queued=count("queued"),
        parked=count("parked"),
        published=count("published"),
        error=next(errors, None),
        standing=read_standing(journal.facts, name),
    )
