"""What one daemon shows of itself and of its registries: the page, the API and the metrics are made from these.

Times are RFC 3339 in UTC, sizes are bytes, rates are bytes per second. ``None``: not known, or does not apply.
Nothing in here is secret: URLs come without user, password and query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from sealrun.domain.oversight.board_runs import (
    CheckRow,
    Command,
    FileKind,
    FilePage,
    FileRow,
    Opened,
    Picture,
    Relation,
    RunDetail,
    RunPage,
    RunPlace,
    RunQuestion,
    RunRow,
    TablePreview,
    TextPreview,
)

__all__ = [
    "Alarm",
    "CheckRow",
    "CollectionLine",
    "CollectionPlan",
    "Command",
    "EventRow",
    "FileKind",
    "FilePage",
    "FileRow",
    "Health",
    "InFlight",
    "Opened",
    "Overview",
    "Pause",
    "PendingFolder",
    "PendingPage",
    "Picture",
    "PointerMove",
    "PointerRow",
    "QueuePage",
    "QueuedRun",
    "RegistryBoard",
    "Relation",
    "RunDetail",
    "RunPage",
    "RunPlace",
    "RunQuestion",
    "RunRow",
    "ScrubResult",
    "Severity",
    "StoragePoint",
    "TablePreview",
    "TextPreview",
    "TimerBoard",
    "WatchBoard",
]

Health = Literal["ok", "degraded", "failing"]
Severity = Literal["warning", "critical"]


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that the daemon goes by: of which file (None: of the environment), and when it read them.

    `unread`: in what way they are not what is written there now, as a sentence; None: they are.
    """

    file: str | None
    read_at: str
    unread: str | None = None


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something that stands and that a person should know. `key` names it as long as it stands; `help` is a command.

    `quiet_since`: when what is wrong was last seen, where it is gone, and is over unless it comes back soon.
    """

    key: str
    kind: str
    subject: str
    severity: Severity
    reason: str
    since: str
    help: str = ""
    quiet_since: str | None = None


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing is begun for now: a person said so (`until` None: until resumed), or these are quiet hours."""

    cause: Literal["person", "quiet-hours"]
    since: str | None = None
    until: str | None = None
    reason: str = ""


class PendingFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate of a watch that is not simply sealed: what it waits for, or what is in its way."""

    watch: str
    path: str
    name: str
    state: str
    reason: str
    since: str


class WatchBoard(msgspec.Struct, frozen=True, kw_only=True):
    """One watch. `how` is inotify or polling; `counts` are candidates by state; `paused` says why nothing is sealed."""

    name: str
    path: str
    experiment: str
    registries: Sequence[str]
    how: str
    counts: Mapping[str, int]
    pending: int
    missing: bool = False
    paused: Pause | None = None


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """A run on its way to a registry. `done_bytes` of `total_bytes` are read or sent."""

    ref: str
    started_at: str | None
    phase: str
    done_bytes: int
    total_bytes: int


class QueuedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that waits: until `due`, or for a person if it is parked."""

    ref: str
    folder: str
    state: Literal["queued", "parked"]
    tries: int
    due: str
    size: int
    error: str | None = None


class RegistryBoard(msgspec.Struct, frozen=True, kw_only=True):
    """One registry's line. `state` is up, down, full, refused, or unknown as long as nothing was tried."""

    name: str
    url: str
    state: str
    reason: str
    since: str | None
    read_only: bool
    queued: int
    queued_bytes: int
    parked: int
    published: int
    in_flight: Sequence[InFlight] = ()
    rate: float | None = None
    limit: int | None = None
    last_error: str | None = None
    paused: Pause | None = None


class TimerBoard(msgspec.Struct, frozen=True, kw_only=True):
    """Work that is due by the clock. `problem` is what its last run failed with."""

    name: str
    last_at: str | None
    next_at: str | None
    problem: str | None = None


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, as the journal has it."""

    id: int
    at: str
    kind: str
    subject: str
    fields: Mapping[str, Any]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Health at a glance. `health` is failing with a critical alarm, degraded with any other."""

    version: str
    host: str
    state: str
    started_at: str
    now: str
    health: Health
    alarms: Sequence[Alarm]
    watches: Sequence[WatchBoard]
    registries: Sequence[RegistryBoard]
    timers: Sequence[TimerBoard]
    events: Sequence[EventRow]
    settings: InForce | None = None


class PendingPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a watch's candidates that are not simply sealed."""

    rows: Sequence[PendingFolder]
    total: int
    page: int
    size: int


class QueuePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of what waits for a registry: in the order in which it is due, what is parked at the end."""

    rows: Sequence[QueuedRun]
    total: int
    page: int
    size: int


class PointerRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pointer stands."""

    registry: str
    experiment: str
    name: str
    ref: str
    generation: int
    moved_at: str
    by: str


class PointerMove(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of a pointer, and why."""

    generation: int
    ref: str
    moved_at: str
    by: str
    reason: str = ""


class StoragePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A registry at one moment. `logical_bytes` would be taken without deduplication, `stored_bytes` are."""

    at: str
    registry: str
    runs: int
    logical_bytes: int
    stored_bytes: int | None
    objects: int | None
    requests: Mapping[str, int]


class CollectionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a collection would do to a run or an object, and why."""

    what: str
    name: str
    size: int | None
    reason: str


class CollectionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the collector would do if it ran now; `next_at` is when it does. A plan is made anew when asked for."""

    registry: str
    made_at: str
    next_at: str | None
    retire: Sequence[CollectionLine]
    condemn: Sequence[CollectionLine]
    sweep: Sequence[CollectionLine]
    total_bytes: int
    refused: str | None = None


class ScrubResult(msgspec.Struct, frozen=True, kw_only=True):
    """One verification: what was read, and what was found."""

    registry: str
    at: str
    read_bytes: int
    runs: int
    damage: Sequence[str]
    problem: str | None = None
