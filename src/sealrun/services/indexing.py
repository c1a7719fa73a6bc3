"""The index: pending rows → base. Readers see the union; the compactor deletes only what its own base holds."""

from __future__ import annotations

import json

from sealrun.domain.address import (
    AttemptId,
    Key,
    base_log,
    experiment_manifest_key,
    generation_key,
    generation_of,
    parse_attempt,
    pending_key,
    pending_prefix,
)
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.indexing import Row, merge_rows
from sealrun.ports import Clock, Entropy, ObjectStat, Store
from sealrun.services.certainty import Certainty
from sealrun.services.fanning import fan_out

_BASE_SUFFIX = ".jsonl"
_WORTH_A_BASE = 16


class Index:
    """The index of one experiment."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, experiment: str) -> None:
        """Work on the index of `experiment`."""
        self._store = store
        self._experiment = experiment
        self._certainty = Certainty(store, clock, entropy)

    def add(self, row: Row) -> None:
        """Add a pending row. Durable on return; repeating is harmless, also after a compaction."""
        self._certainty.create(pending_key(self._experiment, row.attempt), row.encode())

    def rows(self) -> list[Row]:
        """Every sealed attempt, oldest first.

        Pending rows are read before the base: a row moves from the one to the other, so this order misses none.
        """
        pending = self._pending()
        _, base, _ = self._head()
        return merge_rows(base, (row for row, _ in pending))

    def compact(self) -> int:
        """Fold pending rows into a new base once they are worth one; return how many were folded.

        Worth it is a sixteenth of the base: every base is written whole and kept, so that what all bases take grows
        with the number of runs, and no reader fetches more than that share of the rows one by one.

        A crash after the base leaves pending rows, which are in the base already: the next compaction finds nothing to
        add, projects the base and removes them.
        """
        listed = list(self._store.list(pending_prefix(self._experiment)))
        if not listed:
            return 0
        pending = self._read(listed)
        number, base, head_body = self._head()
        if len(listed) * _WORTH_A_BASE < len(base):
            return 0
        merged = b"".join(row.line() for row in merge_rows(base, (row for row, _ in pending)))
        if merged != head_body:
            key = generation_key(base_log(self._experiment), number + 1, _BASE_SUFFIX)
            if self._certainty.create(key, merged) != merged:
                return 0  # another compactor won with other rows; ours stay pending for the next round
            number += 1
        self._project(number, merged)
        for _, key in pending:
            self._store.discard(key)
        return len(pending)

    def _project(self, number: int, body: bytes) -> None:
        """Write the convenience copy until it shows the newest base: a slow compactor must not hide a later one."""
        while True:
            self._store.replace(experiment_manifest_key(self._experiment), body)
            first = self._first()
            if first is None or generation_of(first.key) == number:
                return
            number, body = generation_of(first.key), self._store.read(first.key)

    def _pending(self) -> list[tuple[Row, Key]]:
        return self._read(list(self._store.list(pending_prefix(self._experiment))))

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
        return next(iter(self._store.list(base_log(self._experiment), limit=1)), None)

    def _head(self) -> tuple[int, list[Row], bytes]:
        first = self._first()
        if first is None:
            return 0, [], b""
        body = self._store.read(first.key)
        return generation_of(first.key), [_row_of_line(line, first.key) for line in body.splitlines()], body


def _row_of_line(line: bytes, where: str) -> Row:
    try:
        value = json.loads(line)
    except ValueError as error:
        msg = f"{where}: a line is not JSON ({error}); rebuild the index from runs/ and attempts/"
        raise UnsupportedFormatError(msg) from error
    return Row.from_json(value, where)


def _attempt_of_row(key: str) -> AttemptId:
    try:
        return parse_attempt(key.rsplit("/", 1)[-1].removesuffix(".json"))
    except UsageError as error:
        msg = f"{key}: not an index row"
        raise UnsupportedFormatError(msg) from error
