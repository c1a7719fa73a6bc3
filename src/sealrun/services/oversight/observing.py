"""What is wrong now, as the journal and the parts of a daemon show it: what alarms are judged from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sealrun.domain.oversight.alarming import AlarmRules, Kind, Trouble, key_of, several
from sealrun.domain.oversight.board import Alarm, TimerBoard
from sealrun.domain.space import Room, has_few_inodes
from sealrun.ports import FolderState, Journal
from sealrun.services.delivery.availability import read_standing

_KINDS: Mapping[str, Kind] = {"down": "registry-unreachable", "refused": "registry-refused", "full": "registry-full"}
_FOLDERS: tuple[tuple[FolderState, Kind], ...] = (("stale", "run-stale"), ("rejected", "run-rejected"))
_A_FEW = 4
_LOOKED_AT = 1000
_MORE_TO_CLEAR = 1.1
_GIB = 1 << 30


def registries_in_trouble(journal: Journal, registries: Iterable[str]) -> Iterable[Trouble]:
    """Registries that are down, refuse us or are full; what is parked on its way there; and what waits for no other.

    `registries` are those that the settings publish to. What waits for another one is in trouble if nobody has it.
    """
    counts, names = journal.deliveries.counts(), list(registries)
    parked = {count.registry: count.count for count in counts if count.state == "parked"}
    for name in names:
        found = read_standing(journal.facts, name)
        if found is not None and found.state in _KINDS:
            yield Trouble(kind=_KINDS[found.state], subject=name, reason=found.reason, since=found.since)
        if parked.get(name):
            error = journal.deliveries.last_error(name) or "the reason is among the events"
            yield Trouble(kind="delivery-parked", subject=name, reason=f"{parked[name]} parked: {error}")

    for name in sorted({count.registry for count in counts if count.state != "published"}.difference(names)):
        waiting = journal.deliveries.waiting(name, limit=_LOOKED_AT)
        nowhere = [each for each in waiting if not _is_somewhere(journal, each.sealed)]
        if nowhere:
            many = f"{_LOOKED_AT} or more" if len(waiting) == _LOOKED_AT else str(len(nowhere))
            reason = f"{many} runs wait for it and are in no registry, and the settings publish to it no longer"
            yield Trouble(kind="delivery-parked", subject=name, reason=reason)


def _is_somewhere(journal: Journal, sealed: int) -> bool:
    return any(delivery.state == "published" for delivery in journal.deliveries.of(sealed))


def folders_in_trouble(journal: Journal, watches: Iterable[str]) -> Iterable[Trouble]:
    """Watches that hold folders which are stale or rejected. Reads a few of them, however many there are."""
    for watch in watches:
        counts = journal.folders.counts(watch)
        for state, kind in _FOLDERS:
            count = counts.get(state, 0)
            if count:
                some = journal.folders.page(watch, {state}, limit=_A_FEW)
                named = several(state, [f"{each.path} ({each.reason})" for each in some], count)
                yield Trouble(kind=kind, subject=watch, reason=named)


def roots_in_trouble(missing: Mapping[str, str | None], paths: Mapping[str, str]) -> Iterable[Trouble]:
    """Watches whose folder is not there or cannot be believed: `missing` says why, by the watch's name."""
    for watch, reason in missing.items():
        if reason is not None:
            yield Trouble(kind="watch-missing", subject=watch, reason=f"{paths[watch]}: {reason}")


def timers_in_trouble(timers: Iterable[TimerBoard]) -> Iterable[Trouble]:
    """Timers whose last run failed."""
    for timer in timers:
        if timer.problem is not None:
            yield Trouble(kind="timer-failing", subject=timer.name, reason=timer.problem)


def disks_in_trouble(
    disks: Iterable[tuple[Room, Sequence[str]]], rules: AlarmRules, standing: Iterable[Alarm]
) -> Iterable[Trouble]:
    """File systems with little room, or few inodes: of each its room, and what of ours lies there.

    One that was low on bytes stays so until a tenth more is free.
    """
    known = {alarm.key for alarm in standing}
    for room, ours in disks:
        least = min(max(float(rules.low_bytes), rules.low_share * room.size), rules.low_most * room.size)
        if room.free < least * (_MORE_TO_CLEAR if key_of("low-space", room.mount) in known else 1.0):
            left = f"{room.free / _GIB:.2f} GiB of {room.size / _GIB:.2f} GiB"
        elif has_few_inodes(room):
            left = f"{room.inodes_free} of {room.inodes} inodes"
        else:
            continue
        yield Trouble(kind="low-space", subject=room.mount, reason=f"{left} are free; here lie {', '.join(ours)}")
