"""The runs of a registry as pages show them: its indexes, held in memory and looked at again instead of read again.

An index changes by rows that come beside its base, and now and then by a new base. So to know the present one takes two
listings for each experiment; only new rows and new bases are read. What is held is some seven hundred bytes for a run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, RunId, pending_prefix
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.oversight.board import RunQuestion
from sealrun.domain.ready import ready
from sealrun.domain.records import UNREADABLE
from sealrun.domain.registry.indexing import Row, lines_of, whole_lines
from sealrun.domain.runs.run import Status
from sealrun.ports import Clock, ObjectStat, Store
from sealrun.services.access.reading import Reader
from sealrun.services.index.bases import base_pieces, newest_of
from sealrun.services.oversight.freshness import Fresh
from sealrun.services.threads.fanning import fan_out

_DROPPED_SUFFIX = ".retired.json"
_WIDTH = 16
MOST_ROWS = 1000
"""No page is longer."""


class Listed(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="row"):
    """What a list shows of a run. A row of an index has more, which is passed over when it is decoded."""

    run_id: RunId
    attempt: AttemptId
    name: str
    status: Status
    finished_at: str
    size: int
    files: int
    root_sha256: Digest
    tags: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, str, str]:
        """Two that finished in the same second are in order of their ids."""
        return (self.finished_at, self.run_id, self.attempt)


class Chosen(msgspec.Struct, frozen=True):
    """One page of a list: rows with their experiments, newest first. `problem`: why they are not those of now."""

    rows: Sequence[tuple[str, Listed]]
    total: int
    experiments: Sequence[str]
    statuses: Sequence[str]
    problem: str | None = None


class RunLists:
    """The runs of one registry. Any thread; what is shown may be some seconds old, see `Fresh`."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        """Read nothing yet."""
        self._reader = reader
        self._clock = clock
        self._lock = threading.Lock()
        self._fresh: dict[str, Fresh[_Experiment]] = {}
        self._experiments = Fresh(reader.experiments, clock, lasting=True)
        self._together: tuple[tuple[int, ...], list[tuple[str, Listed]]] = ((), [])

    def experiments(self) -> Sequence[str]:
        """Names of the experiments."""
        return self._experiments.get()

    def page(self, question: RunQuestion) -> Chosen:
        """Return a page. `NotFoundError` for an experiment that is not there, `UsageError` for a page that is none."""
        if question.page < 1 or not 1 <= question.size <= MOST_ROWS:
            msg = f"page {question.page} of {question.size} rows: pages count from 1 and have 1 to {MOST_ROWS} rows"
            raise UsageError(msg)
        rows = self._rows(question.experiment)
        found = rows if _asks_for_all(question) else [each for each in rows if _answers(question, *each)]
        begin = (question.page - 1) * question.size
        statuses = sorted({row.status for _, row in rows})
        shown, names = found[begin : begin + question.size], self.experiments()
        return Chosen(shown, len(found), names, statuses, self._problem(question.experiment))

    def all(self, experiment: str | None = None) -> Sequence[tuple[str, Listed]]:
        """Every run with its experiment, newest first."""
        return self._rows(experiment)

    def find(self, experiment: str, run_id: str) -> Listed | None:
        """The row of a run, or None."""
        if experiment not in self.experiments():
            return None
        return self._of(experiment).get().by_id().get(run_id)

    def _problem(self, experiment: str | None) -> str | None:
        with self._lock:
            problems = [fresh.problem for name, fresh in self._fresh.items() if experiment in {None, name}]
        return next((problem for problem in (self._experiments.problem, *problems) if problem is not None), None)

    def _rows(self, experiment: str | None) -> Sequence[tuple[str, Listed]]:
        names = self.experiments()
        if experiment is not None:
            if experiment not in names:
                msg = f"{self._reader.store.url}: no experiment {experiment!r}"
                raise NotFoundError(msg)
            return [(experiment, row) for row in self._of(experiment).get().newest_first()]
        width = min(_WIDTH, self._reader.store.capabilities.parallel)
        found = fan_out(lambda name: self._of(name).get(), names, width)
        versions = tuple(each.version for each in found)
        with self._lock:
            if self._together[0] != versions:
                rows = [(each.name, row) for each in found for row in each.newest_first()]
                rows.sort(key=lambda item: item[1].order, reverse=True)
                self._together = (versions, rows)
            return self._together[1]

    def _of(self, experiment: str) -> Fresh[_Experiment]:
        with self._lock:
            found = self._fresh.get(experiment)
            if found is None:
                known = _Experiment(self._reader, experiment)
                found = self._fresh[experiment] = Fresh(known.looked_at, self._clock, lasting=True)
            return found


class _Experiment:
    """One index as it was last seen. One thread at a time looks; what was handed out never changes."""

    def __init__(self, reader: Reader, name: str) -> None:
        self.name = name
        self.version = 0
        self._reader = reader
        self._store: Store = reader.store
        self._base: tuple[ObjectStat | None, list[Listed]] = (None, [])
        self._pending: dict[Key, Listed] = {}
        self._seen: tuple[ObjectStat | None, frozenset[Key]] | None = None
        self._rows: list[Listed] = []
        self._by_id: dict[str, Listed] | None = None

    def looked_at(self) -> _Experiment:
        """Look at it again. What waits is read before the base, so that a row which moves there is never missed."""
        keys = [found.key for found in self._store.list(pending_prefix(self.name))]
        waiting = [key for key in keys if not key.endswith(_DROPPED_SUFFIX)]
        new = [key for key in waiting if key not in self._pending]
        pending = {key: self._pending[key] for key in waiting if key in self._pending}
        width = min(_WIDTH, self._store.capabilities.parallel)
        pending |= {key: row for key, row in zip(new, fan_out(self._read, new, width), strict=True) if row is not None}
        self._pending = pending
        self._base = self._newest_base()
        seen = (self._base[0], frozenset(keys))
        if seen != self._seen:
            dropped = {_attempt_of(key) for key in keys if key.endswith(_DROPPED_SUFFIX)}
            self._rows = _newest_of_each_run((*self._base[1], *pending.values()), dropped)
            self._by_id = None
            self._seen = seen
            self.version += 1
        return self

    def newest_first(self) -> Sequence[Listed]:
        """One row for each run."""
        return self._rows

    def by_id(self) -> dict[str, Listed]:
        """The same by run id."""
        if self._by_id is None:
            self._by_id = {row.run_id: row for row in self._rows}
        return self._by_id

    def _newest_base(self) -> tuple[ObjectStat | None, list[Listed]]:
        while (first := newest_of(self._store, self.name)) is not None:
            if first == self._base[0]:
                return self._base
            try:
                return first, list(_rows_of_base(base_pieces(self._store, first), first.key))
            except NotFoundError:
                if newest_of(self._store, self.name) == first:
                    raise
                # a newer one stands by now, and this one was cleared away
        return None, []

    def _read(self, key: Key) -> Listed | None:
        try:
            return _row(self._store.read(key), key)
        except NotFoundError:
            return None  # folded into a base since it was listed


_decoder = msgspec.json.Decoder(ready(Listed))


def _rows_of_base(pieces: Iterable[bytes], where: str) -> Iterator[Listed]:
    """Rows of a base, whose first line is looked at whole: all of them are of one version's making."""
    first = True
    for lines in whole_lines(pieces):
        if first:
            Row.decode(lines.partition(b"\n")[0], where)
            first = False
        try:
            yield from _decoder.decode_lines(lines)
        except UNREADABLE as error:
            for line in lines_of((lines,)):
                Row.decode(line, where)  # says which one, and what is wrong with it
            msg = f"{where}: not rows of an index ({error}); rebuild the index from runs/ and attempts/"
            raise UnsupportedFormatError(msg) from error


def _row(body: bytes, where: str) -> Listed:
    Row.decode(body, where)
    try:
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise UnsupportedFormatError(f"{where}: not a row of an index ({error})") from error


def _attempt_of(key: str) -> str:
    return key.rsplit("/", 1)[-1].removesuffix(_DROPPED_SUFFIX)


def _newest_of_each_run(rows: Iterable[Listed], dropped: set[str]) -> list[Listed]:
    """One row for each run: of several attempts the last one, as `runs_of` chooses it."""
    latest: dict[str, Listed] = {}
    for row in rows:
        known = latest.get(row.run_id)
        if row.attempt not in dropped and (known is None or known.attempt < row.attempt):
            latest[row.run_id] = row
    return sorted(latest.values(), key=lambda row: row.order, reverse=True)


def _asks_for_all(question: RunQuestion) -> bool:
    return not (question.status or question.tag or question.search)


def _answers(question: RunQuestion, experiment: str, row: Listed) -> bool:
    if question.status and row.status != question.status:
        return False
    if question.tag and question.tag not in row.tags:
        return False
    if not question.search:
        return True
    text = question.search.casefold()
    said = (row.run_id, row.name, experiment, *row.tags)
    return any(text in each.casefold() for each in said)
