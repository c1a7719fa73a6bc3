"""What a daemon's journal says at a glance, as values: watches, queues, events. Quick, however much there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sealrun.domain.errors import SealrunError, UsageError
from sealrun.domain.moments import shown_time
from sealrun.domain.oversight.board import (
    Alarm,
    EventRow,
    Health,
    Pause,
    PendingFolder,
    PendingPage,
    QueuedRun,
    QueuePage,
    RegistryBoard,
    WatchBoard,
)
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Delivery, Journal, QueueCount
from sealrun.services.delivery.availability import read_standing
from sealrun.services.delivery.travelling import Travels
from sealrun.services.oversight.reporting import SHOWN

MOST_ROWS = 1000
"""No page is longer."""


def check_page(page: int, size: int) -> int:
    """Return where a page begins; `UsageError` for one that is none."""
    if page < 1 or not 1 <= size <= MOST_ROWS:
        msg = f"page {page} of {size} rows: pages count from 1 and have 1 to {MOST_ROWS} rows"
        raise UsageError(msg)
    return (page - 1) * size


def health_of(alarms: Sequence[Alarm]) -> Health:
    """Return how things stand."""
    if any(alarm.severity == "critical" for alarm in alarms):
        return "failing"
    return "degraded" if alarms else "ok"


def watch_board(journal: Journal, watch: WatchSpec, how: str, *, missing: bool, paused: Pause | None) -> WatchBoard:
    """Return one watch's line."""
    counts = journal.folders.counts(watch.name)
    return WatchBoard(
        name=watch.name,
        path=_printable(watch.path),
        experiment=watch.experiment,
        registries=tuple(watch.registries),
        how=how,
        counts=counts,
        pending=sum(count for state, count in counts.items() if state in SHOWN),
        missing=missing,
        paused=paused,
    )


def pending_page(journal: Journal, watch: str, page: int, size: int) -> PendingPage:
    """Return a page of a watch's candidates that are not simply sealed, the newest first."""
    begin = check_page(page, size)
    counts = journal.folders.counts(watch)
    rows = [
        PendingFolder(
            watch=watch,
            path=_printable(record.path),
            name=_printable(record.path.rstrip("/").rpartition("/")[2]),
            state=record.state,
            reason=_printable(record.reason),
            since=shown_time(record.since),
        )
        for record in journal.folders.page(watch, SHOWN, begin, size)
    ]
    total = sum(count for state, count in counts.items() if state in SHOWN)
    return PendingPage(rows=rows, total=total, page=page, size=size)


def registry_board(
    journal: Journal,
    name: str,
    url: str,
    counts: Sequence[QueueCount],
    travels: Travels,
    *,
    read_only: bool,
    limit: int | None,
    paused: Pause | None,
) -> RegistryBoard:
    """Return one registry's line."""
    mine = {each.state: each for each in counts if each.registry == name}
    standing = read_standing(journal.facts, name)
    none = QueueCount(registry=name, state="queued", count=0)
    return RegistryBoard(
        name=name,
        url=url,
        # How it stands is written down when that changes, and it is taken to be up at first.
        state=standing.state if standing is not None else "up" if "published" in mine else "unknown",
        reason="" if standing is None else _printable(standing.reason),
        since=shown_time(standing.since) if standing is not None and standing.since > 0 else None,
        read_only=read_only,
        queued=mine.get("queued", none).count,
        queued_bytes=mine.get("queued", none).size,
        parked=mine.get("parked", none).count,
        published=mine.get("published", none).count,
        in_flight=travels.of(name),
        rate=travels.rate(name),
        limit=limit,
        last_error=_printable_or_none(journal.deliveries.last_error(name)),
        paused=paused,
    )


def queue_page(journal: Journal, registry: str, page: int, size: int) -> QueuePage:
    """Return a page of what waits for a registry."""
    begin = check_page(page, size)
    rows = [_queued(journal, delivery) for delivery in journal.deliveries.waiting(registry, begin, size)]
    counts = (each for each in journal.deliveries.counts() if each.registry == registry)
    total = sum(each.count for each in counts if each.state != "published")
    return QueuePage(rows=rows, total=total, page=page, size=size)


def _queued(journal: Journal, delivery: Delivery) -> QueuedRun:
    ref, folder, size = f"sealed run {delivery.sealed}", "", 0
    try:
        run = journal.deliveries.run(delivery.sealed)
        folder = run.folder
        envelope = run.envelope()
        ref, size = f"{envelope.experiment}/{envelope.run_id}", envelope.size
    except SealrunError:
        pass  # its records are gone or damaged: the delivery's own error says so
    return QueuedRun(
        ref=ref,
        folder=_printable(folder),
        state="parked" if delivery.state == "parked" else "queued",
        tries=delivery.tries,
        due=shown_time(delivery.due),
        size=size,
        error=_printable_or_none(delivery.error),
    )


def event_rows(journal: Journal, after: int, limit: int) -> list[EventRow]:
    """Return events after that number, oldest first; with 0 the newest `limit`, with -1 the very first ones."""
    if after < -1 or not 1 <= limit <= MOST_ROWS:
        msg = f"events after {after}, {limit} of them: numbers count from 1, and at most {MOST_ROWS} are given"
        raise UsageError(msg)
    begin = max(0, after or journal.events.newest() - limit)
    return [_event(found) for found in journal.events.after(begin, limit)]


def _event(found: Mapping[str, Any]) -> EventRow:
    fields = {name: value for name, value in found.items() if name not in {"id", "at", "kind", "subject"}}
    return EventRow(
        id=int(found["id"]),
        at=shown_time(float(found["at"])),
        kind=str(found["kind"]),
        subject=_printable(str(found["subject"])),
        fields=fields,
    )


def _printable(text: str) -> str:
    """A name that is not UTF-8, as JSON and HTML can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _printable_or_none(text: str | None) -> str | None:
    return None if text is None else _printable(text)
