"""What the first mark of a collection sees of a registry's experiments and names, in few requests.

It only finds candidates, so that its looks may be made in any order: far away, all keys of the experiments are listed
at once where they are few, and records that this machine keeps are not asked for (`services.storage.overview`).
"""

from __future__ import annotations

from contextlib import suppress
from itertools import chain

import msgspec

from sealrun.domain.address import EXPERIMENTS, NAMES, AttemptId, name_log
from sealrun.domain.errors import NotFoundError
from sealrun.ports import ObjectStat
from sealrun.services.index.heads import Head, logs_of, pinned_runs, read_heads
from sealrun.services.index.indexing import NamedAttempts, named_attempts
from sealrun.services.storage.overview import Overview
from sealrun.services.threads.fanning import both, fan_out

_TRIES = 4

Rows = dict[AttemptId, tuple[str, str] | None]
"""The run of each attempt that an index names; None where the row waits, and was not read."""


class FirstLook(msgspec.Struct, frozen=True):
    """The experiments; attempts that indexes name, and those indexes' bases; pins that count; heads of all pointers."""

    experiments: list[str]
    indexed: Rows
    bases: list[tuple[ObjectStat, ...]]
    pinned: set[tuple[str, str]]
    heads: list[Head]


class _Found(msgspec.Struct, frozen=True):
    """The same of one experiment."""

    indexed: Rows
    bases: tuple[ObjectStat, ...]
    pinned: set[tuple[str, str]]
    heads: list[Head]


def look_first(overview: Overview, now: str, width: int) -> FirstLook:
    """Look at everything but attempts, `width` requests at a time. `now` is the time by which pins count."""
    fan_out(overview.look, (EXPERIMENTS, NAMES), width)
    experiments, names = both(
        lambda: list(overview.list_folders(EXPERIMENTS)), lambda: list(overview.list_folders(NAMES)), width
    )
    each = max(1, width // max(1, len(experiments)))
    found, heads = both(
        lambda: fan_out(lambda experiment: _look_at(overview, experiment, now, each), experiments, width),
        lambda: read_heads(overview, map(name_log, names), each),
        width,
    )
    rows: Rows = {}
    for one in found:
        rows.update(one.indexed)
    return FirstLook(
        experiments=experiments,
        indexed=rows,
        bases=[one.bases for one in found],
        pinned=set().union(*(one.pinned for one in found)),
        heads=[*heads, *chain.from_iterable(one.heads for one in found)],
    )


def _look_at(overview: Overview, experiment: str, now: str, width: int) -> _Found:
    (named, pinned), heads = both(
        lambda: both(lambda: _named(overview, experiment), lambda: pinned_runs(overview, experiment, now), width),
        lambda: read_heads(overview, logs_of(overview, experiment), width),
        width,
    )
    rows: Rows = {at: None if run_id is None else (experiment, run_id) for at, run_id in named.runs.items()}
    return _Found(rows, named.bases, pinned, heads)


def _named(overview: Overview, experiment: str) -> NamedAttempts:
    """See which attempts an index names, also while it is compacted and its older bases are cleared away."""
    for _ in range(_TRIES - 1):
        with suppress(NotFoundError):  # the base that was the newest when it was listed: another one is by now
            return named_attempts(overview, experiment)
        overview.forget(EXPERIMENTS)
    return named_attempts(overview, experiment)
