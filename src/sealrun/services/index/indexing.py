"""The index: pending rows → base. Readers see the union; the compactor deletes only what its own base holds.

A retired attempt gets a dropped record beside the pending rows. Readers leave its row out, and the next base does. A
dropped record is removed only after a base without the row was *won*, be it a copy of the one before: whoever still
holds the row in hand either builds on an older base, and loses, or has read that base before asking whether the attempt
is retired, and is told so.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from threading import Lock

import msgspec

from sealrun.domain.address import (
    AttemptId,
    Key,
    RunId,
    base_log,
    dropped_key,
    experiment_manifest_key,
    generation_key,
    generation_of,
    parse_attempt,
    pending_key,
    pending_prefix,
    retired_key,
)
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.pieces import Body
from sealrun.domain.registry.indexing import Dropped, Row, Rows, merge_rows, ordering_of_line
from sealrun.ports import Clock, Entropy, Glimpse, ObjectStat, Store
from sealrun.services.index.bases import Base, base_lines, newest_of, read_base
from sealrun.services.storage.certainty import Certainty
from sealrun.services.threads.fanning import fan_out

_BASE_SUFFIX = ".jsonl"
_DROPPED_SUFFIX = ".retired.json"
_WORTH_A_BASE = 16
_TYPICAL_ROW = 600.0
_SELDOM = 32
_LARGE = 1 << 20
_reading_large = Lock()


class _Pending(msgspec.Struct, frozen=True):
    """What lies beside the base: rows with their keys, and attempts whose row is left out."""

    rows: list[tuple[Row, Key]]
    dropped: frozenset[AttemptId]


class NamedAttempts(msgspec.Struct, frozen=True):
    """The attempts that an index names and nothing drops, with their runs, but for those whose row still waits.

    `bases` are all that there are, newest first.
    """

    runs: dict[AttemptId, RunId | None]
    bases: tuple[ObjectStat, ...]


class Index:
    """The index of one experiment."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, experiment: str) -> None:
        """Work on the index of `experiment`."""
        self._store = store
        self._experiment = experiment
        self._entropy = entropy
        self._certainty = Certainty(store, clock, entropy)

    def add(self, row: Row) -> None:
        """Add a pending row. Durable on return; repeating is harmless, also after a compaction."""
        self._certainty.create(pending_key(self._experiment, row.attempt), row.encode())

    def drop(self, dropped: Dropped) -> None:
        """Leave the row of a retired attempt out. Durable on return; repeating is harmless, also after a compaction.

        The attempt's ``retired.json`` stands already: a crash before this leaves a row that resolves to nothing.
        """
        self._certainty.create(dropped_key(self._experiment, dropped.attempt), dropped.encode())

    def rows(self) -> Rows:
        """Every sealed attempt that is not dropped, oldest first: whatever their number, few are in memory.

        Pending rows are read before the base: a row moves from the one to the other, so this order misses none; and a
        dropped record that was removed before is no longer needed by the base that is read after.
        """
        pending = self._pending()
        base = self._head()
        return merge_rows(base.rows, (row for row, _ in pending.rows), pending.dropped)

    def compact(self) -> int:
        """Fold pending rows and dropped records into a new base once they are worth one; return how many were folded.

        Worth it is a sixteenth of the base: every base is written whole and kept, so that what all bases take grows
        with the number of runs, and no reader fetches more than that share of the rows one by one.

        A crash after the base leaves pending rows, which are in the base already, and dropped records, which it left
        out: the next compaction removes them. Rows go before dropped records, so that no row is shown again.
        """
        if not self._may_be_worth_a_base():
            return 0
        pending = self._pending()
        base = self._head()
        late = self._retired(row.attempt for row, _ in pending.rows if row.attempt not in pending.dropped)
        self._remove(key for row, key in pending.rows if row.attempt in late)
        rows = [(row, key) for row, key in pending.rows if row.attempt not in late]
        folded = len({row.attempt for row, _ in rows} | pending.dropped)
        if not folded or folded * _WORTH_A_BASE < len(base.rows):
            return 0
        number = base.number
        merged = merge_rows(base.rows, (row for row, _ in rows), pending.dropped | late).base()
        if merged != base.rows.base() or pending.dropped:
            key = generation_key(base_log(self._experiment), number + 1, _BASE_SUFFIX)
            if self._certainty.create(key, merged) != merged:
                return 0  # another compactor won with other rows; ours stay pending for the next round
            number += 1
        if not self._project(number, merged):
            return 0  # ours may be under the number of one that was cleared away, and is not what readers see
        self._remove(key for _, key in rows)
        self._remove(dropped_key(self._experiment, attempt) for attempt in sorted(pending.dropped))
        return folded

    def compact_now_and_then(self) -> int:
        """Do that for somebody who publishes where no daemon runs: at every 32nd call or so, if as many rows wait.

        So that what it costs is a fraction of a request for each publication, however many rows wait, plus the reading
        and writing of what is folded: each row once, and sixteen times its length of base.
        """
        if self._entropy.uniform(0.0, 1.0) * _SELDOM >= 1:
            return 0
        waiting = sum(1 for _ in self._store.list(pending_prefix(self._experiment), limit=_SELDOM))
        return self.compact() if waiting == _SELDOM else 0

    def _may_be_worth_a_base(self) -> bool:
        """Tell by two listings, before anything is read: a row that waits takes about as many bytes as one in the base.

        What just misses is looked at all the same; the rows decide.
        """
        waiting = list(self._store.list(pending_prefix(self._experiment)))
        first = self._first() if waiting else None
        if first is None:
            return bool(waiting)
        rows = [found.size for found in waiting if not found.key.endswith(_DROPPED_SUFFIX)]
        typical = sum(rows) / len(rows) if rows else _TYPICAL_ROW
        return len(waiting) * typical * (_WORTH_A_BASE + 2) >= first.size

    def _retired(self, attempts: Iterable[AttemptId]) -> frozenset[AttemptId]:
        """Which of these are retired: rows that an announcer replayed too late. Asked only after the head was read."""
        asked = list(attempts)
        answers = fan_out(
            lambda attempt: self._store.stat(retired_key(attempt)), asked, self._store.capabilities.parallel
        )
        return frozenset(attempt for attempt, there in zip(asked, answers, strict=True) if there is not None)

    def _remove(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._store.discard(key)

    def _project(self, number: int, body: Body) -> bool:
        """Write the convenience copy until it shows the newest base: a slow compactor must not hide a later one.

        Tells whether base `number` was the newest, once it stood.
        """
        ours = number
        while True:
            self._store.replace(experiment_manifest_key(self._experiment), body)
            first = self._first()
            if first is None or generation_of(first.key) == number:
                return number == ours
            base = self._head()
            number, body = base.number, base.rows.base()

    def _pending(self) -> _Pending:
        listed = list(self._store.list(pending_prefix(self._experiment)))
        dropped = frozenset(_attempt_of_row(found.key) for found in listed if found.key.endswith(_DROPPED_SUFFIX))
        return _Pending(self._read([found for found in listed if not found.key.endswith(_DROPPED_SUFFIX)]), dropped)

    def _read(self, listed: list[ObjectStat]) -> list[tuple[Row, Key]]:
        def one(found: ObjectStat) -> tuple[Row, Key] | None:
            _attempt_of_row(found.key)
            try:
                return Row.decode(self._store.read(found.key), found.key), found.key
            except NotFoundError:
                return None  # folded into a base since it was listed

        rows = fan_out(one, listed, self._store.capabilities.parallel)
        return [row for row in rows if row is not None]

    def _first(self) -> ObjectStat | None:
        return newest_of(self._store, self._experiment)

    def _head(self) -> Base:
        return read_base(self._first, self._store)


def named_attempts(store: Glimpse, experiment: str) -> NamedAttempts:
    """See which attempts an index names. Reads the newest base, and of what waits only the names."""
    listed = [found.key for found in store.list(pending_prefix(experiment))]
    named: dict[AttemptId, RunId | None] = {
        _attempt_of_row(key): None for key in listed if not key.endswith(_DROPPED_SUFFIX)
    }
    dropped = {_attempt_of_row(key) for key in listed if key.endswith(_DROPPED_SUFFIX)}
    bases = list(store.list(base_log(experiment)))
    if bases:
        with _reading_large if bases[0].size > _LARGE else nullcontext():
            rows = (ordering_of_line(line, bases[0].key) for line in base_lines(store, bases[0]))
            named.update((row.attempt, row.run_id) for row in rows)
    for attempt in dropped:
        named.pop(attempt, None)
    return NamedAttempts(named, tuple(bases))


def _attempt_of_row(key: str) -> AttemptId:
    try:
        return parse_attempt(key.rsplit("/", 1)[-1].removesuffix(_DROPPED_SUFFIX).removesuffix(".json"))
    except UsageError as error:
        msg = f"{key}: not an index row"
        raise UnsupportedFormatError(msg) from error
