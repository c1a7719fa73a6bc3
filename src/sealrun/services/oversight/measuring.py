"""What a daemon's journal and parts show at one moment, as samples. Quick, whatever the registries do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Protocol

import msgspec

from sealrun.domain.oversight.alarming import KINDS
from sealrun.domain.oversight.metering import (
    ALARMS,
    CANDIDATE_STATES,
    CANDIDATES,
    COUNTED,
    GC_AT,
    JOURNAL_BYTES,
    LAST_PUBLISHED,
    LAST_SEALED,
    OLDEST_QUEUED,
    PARKED_NOW,
    QUEUED,
    QUEUED_BYTES,
    STATE,
    STATE_SINCE,
    STATES,
    TIMER_SUCCESS,
    VERIFY_AT,
    Metric,
    Sample,
)
from sealrun.ports import Journal, Meters, Moments, QueueCount
from sealrun.services.delivery.availability import read_standing
from sealrun.services.oversight.alarming import standing

_NOTHING = QueueCount(registry="", state="queued", count=0)


class MeasuredJournal(Journal, Protocol):
    """A journal that also knows when things happened."""

    moments: Moments


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings name: what can be measured at all. `targets` are those who are told."""

    registries: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    timers: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


def announce(meters: Meters, known: Known) -> None:
    """Have everything that may be counted shown with 0 before it happens."""
    named = {"registry": known.registries, "watch": known.watches, "timer": known.timers, "target": known.targets}
    for metric in COUNTED:
        take = meters.histogram if metric.kind == "histogram" else meters.counter
        values = named | dict(metric.words)
        for labels in product(*(values[label] for label in metric.labels)):
            take(metric, **dict(zip(metric.labels, labels, strict=True)))


def measure(journal: MeasuredJournal, known: Known) -> Iterator[Sample]:
    """Read the journal; its errors are raised."""
    yield from _of_registries(journal, known.registries)
    yield from _of_watches(journal, known.watches)
    for timer in known.timers:
        yield Sample(TIMER_SUCCESS, (timer,), _moment(journal.facts.fact(f"timer:{timer}")))
    yield Sample(JOURNAL_BYTES, (), journal.moments.size())
    kinds = dict.fromkeys(KINDS, 0)
    stand = [alarm.kind for alarm in standing(journal)]
    for kind in (*kinds, *dict.fromkeys(kind for kind in stand if kind not in kinds)):
        yield Sample(ALARMS, (kind,), stand.count(kind))


def _of_registries(journal: MeasuredJournal, names: Sequence[str]) -> Iterator[Sample]:
    counts = {(each.registry, each.state): each for each in journal.deliveries.counts()}
    oldest, newest = journal.moments.oldest_queued(), journal.moments.last_published()
    for name in names:
        found = read_standing(journal.facts, name)
        state = "unknown" if found is None else found.state
        if found is None and name in newest:
            state = "up"
        for each in STATES:
            yield Sample(STATE, (name, each), float(each == state))
        yield Sample(STATE_SINCE, (name,), 0.0 if found is None else found.since)
        queued = counts.get((name, "queued"), _NOTHING)
        yield Sample(QUEUED, (name,), queued.count)
        yield Sample(QUEUED_BYTES, (name,), queued.size)
        yield Sample(OLDEST_QUEUED, (name,), oldest.get(name, 0.0))
        yield Sample(PARKED_NOW, (name,), counts.get((name, "parked"), _NOTHING).count)
        yield Sample(LAST_PUBLISHED, (name,), newest.get(name, 0.0))
        yield Sample(GC_AT, (name,), _moment(journal.facts.fact(collected_fact(name))))
        yield Sample(VERIFY_AT, (name,), _moment(journal.facts.fact(verified_fact(name))))


def _of_watches(journal: MeasuredJournal, names: Sequence[str]) -> Iterator[Sample]:
    sealed = journal.moments.last_sealed()
    for name in names:
        counts = journal.folders.counts(name)
        for state in CANDIDATE_STATES:
            yield Sample(CANDIDATES, (name, state), counts.get(state, 0))
        yield Sample(LAST_SEALED, (name,), sealed.get(name, 0.0))


def one_for_each(metric: Metric, names: Sequence[str], value: Callable[[str], float | None]) -> Iterator[Sample]:
    """One sample for each of `names` that has a value."""
    found: Mapping[str, float | None] = {name: value(name) for name in names}
    yield from (Sample(metric, (name,), at) for name, at in found.items() if at is not None)


def collected_fact(registry: str) -> str:
    """Name the fact that says when a registry was last collected, in POSIX seconds."""
    return f"collected:{registry}"


def verified_fact(registry: str) -> str:
    """Name the fact that says when a part of a registry was last verified, in POSIX seconds."""
    return f"verified:{registry}"


def _moment(fact: object) -> float:
    return float(fact) if isinstance(fact, (int, float)) else 0.0
