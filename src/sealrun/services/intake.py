"""Intake of one watch: candidates are found, looked at until they are complete, and sealed.

Events only mark candidates dirty; `Intake.rescan` is the truth and needs none of them. State that must survive is in
the journal (`FolderRecord`); what is kept in memory can be lost at any time for the price of settling again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from math import inf

from sealrun.domain.errors import RunChangedError, RunRejectedError, SealrunError
from sealrun.domain.manifest import path_problem
from sealrun.domain.settling import (
    SUMS_MARKER,
    Complete,
    Snapshot,
    Stale,
    Verdict,
    Waiting,
    Watching,
    decide,
    decide_now,
)
from sealrun.ports import FolderRecord, FolderState, OpenWriters, RunFolder, Survey, Watcher
from sealrun.services.accepting import Acceptor, SealJob, Taken
from sealrun.services.candidates import Candidate, Candidates
from sealrun.services.detecting import fingerprint_of, take_snapshot
from sealrun.services.rooting import ABSENT_STATES, WatchedRoot
from sealrun.services.rounds import IntakeReport, Round

_MIN_GAP_S = 1.0
_COST_FACTOR = 10.0
_RETRY_S = 30.0
_CLOSED_STATES = {"sealed", "rejected", "skipped"}

Launch = Callable[[Callable[[], None]], object]


def run_now(work: Callable[[], None]) -> None:
    """Seal in the calling thread."""
    work()


class Intake:
    """Drives the candidates of one watch. One thread calls `rescan` and `look`; `mark` may come from any.

    `launch` runs the sealing (a pool's ``submit``, say). `settle_now` is for a command that looks once: what is
    complete now is taken, without waiting for a second look.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        writers: OpenWriters,
        *,
        watcher: Watcher | None = None,
        launch: Launch = run_now,
        settle_now: bool = False,
    ) -> None:
        """Take in the acceptor's watch; `watcher`, if any, is told which folders to follow."""
        self.watch = acceptor.watch
        self._source = acceptor.source
        self._journal = acceptor.journal
        self._clock = acceptor.clock
        self._acceptor = acceptor
        self._writers = writers
        self._watcher = watcher
        self._launch = launch
        self._settle_now = settle_now
        self._candidates = Candidates(self.watch.path, self.watch.glob.count("/") + 1)
        self._root = WatchedRoot(self.watch, acceptor.source, acceptor.journal)

    def mark(self, path: str | None) -> None:
        """Take a hint that `path` changed, or None for "anything may have". Quick; any thread; calls nobody."""
        self._candidates.mark(path)

    def next_look(self) -> float:
        """When `look` has something to do: monotonic seconds, infinity if only a hint or a rescan will bring work."""
        return self._candidates.next_look()

    def look(self, now: float) -> IntakeReport:
        """Look at the candidates that are due or dirty; all of them if a hint said that anything may have changed."""
        wanted = self._candidates.due(now)
        if wanted is None:
            return self.rescan(now)
        if not wanted:
            return IntakeReport()
        listed = self._list()
        if listed is None:
            return IntakeReport(missing=self._root.missing)
        known = {path: self._journal.folders.get(self.watch.name, _shown(path)) for path in wanted}
        there = set(listed)
        gone = self._mark_gone({path: record for path, record in known.items() if path not in there})
        return self._round([path for path in wanted if path in there], known, now).report(gone)

    def rescan(self, now: float) -> IntakeReport:
        """Look at every candidate, hints or not. Sealed ones that are unchanged cost a listing, never a hash."""
        self._candidates.begin_all()
        listed = self._list()
        if listed is None:
            return IntakeReport(missing=self._root.missing)
        records = {record.path: record for record in self._journal.folders.all(self.watch.name)}
        known = {path: records.get(_shown(path)) for path in listed}
        shown = {_shown(path) for path in listed}
        lost: dict[str, FolderRecord | None] = {path: r for path, r in records.items() if path not in shown}
        lost |= {path: None for path in self._candidates.paths() if path not in known and path not in lost}
        gone = self._mark_gone(lost)
        return self._round(listed, known, now).report(gone)

    def _list(self) -> list[str] | None:
        """List the candidates. While the root is missing nothing is due; a rescan notices its return."""
        listed = self._root.candidates()
        if listed is None:
            self._candidates.pause()
        return listed

    def _mark_gone(self, lost: Mapping[str, FolderRecord | None]) -> list[str]:
        gone: list[str] = []
        for path, record in sorted(lost.items()):
            self._forget(path)
            if record is not None and record.state not in ABSENT_STATES:
                self._write(record, path, "gone", "the folder is not there any more", record.fingerprint)
                gone.append(path)
        return gone

    def _round(self, paths: Iterable[str], known: Mapping[str, FolderRecord | None], now: float) -> Round:
        done = Round()
        for path in paths:
            if self._candidates.begin(path):
                done.looked += 1
                self._look_at(path, known.get(path), now, done)
        return done

    def _look_at(self, path: str, record: FolderRecord | None, now: float, done: Round) -> None:
        problem = path_problem(path.removeprefix(self.watch.path.rstrip("/") + "/"))
        if problem:
            self._reject(path, record, f"{_shown(path)!r}: {problem}; rename it", _digest(problem), done)
            return
        if self._watcher is not None and (record is None or record.state not in _CLOSED_STATES):
            self._watcher.follow(path)  # before the look, so that no change falls between the two
        started = self._clock.monotonic()
        try:
            folder = self._source.open(path)
            survey = folder.survey()
            looks = fingerprint_of(survey)
            if self._is_closed(path, record, looks):
                return
            self._decide(folder, survey, looks, record, now, done)
        except RunChangedError:
            self._candidates.restart(path, now + _MIN_GAP_S)
        except RunRejectedError as error:
            self._reject(path, record, str(error), _digest(str(error)), done)
        except SealrunError as error:
            self._write_waiting(path, record, (str(error),), "", new=False)
            self._candidates.restart(path, now + _RETRY_S)
        cost = self._clock.monotonic() - started
        self._candidates.hold_off(path, now + max(_MIN_GAP_S, _COST_FACTOR * cost))

    def _is_closed(self, path: str, record: FolderRecord | None, looks: str) -> bool:
        """Tell whether the candidate looks as it did when it was sealed or rejected: then nothing is done."""
        if record is None or record.fingerprint != looks:
            return False
        if record.state in ABSENT_STATES and record.sealed is not None:
            self._write(record, path, "sealed", "it is there again, unchanged", looks)
        elif record.state not in _CLOSED_STATES:
            return False
        self._forget(path)
        return True

    def _decide(
        self, folder: RunFolder, survey: Survey, looks: str, record: FolderRecord | None, now: float, done: Round
    ) -> None:
        path = folder.path
        memory = self._candidates.get(path)
        previous, new = memory.watching, memory.watching is None
        if previous is not None and previous.fingerprint != looks:
            memory.distrusted = frozenset()
        if previous is None and record is not None and record.fingerprint == looks:
            idle = max(0.0, self._clock.now().timestamp() - record.since)
            idle = max(idle, self.watch.stale_after_s) if record.state == "stale" else idle
            previous = Watching(fingerprint=looks, first_seen=now, unchanged_since=now, idle_s=idle)
        snapshot = take_snapshot(folder, self.watch.rules, survey, distrusted=memory.distrusted)
        verdict = self._verdict(path, previous, snapshot, now)
        memory.watching, memory.due = verdict.watching, inf
        match verdict:
            case Waiting(reasons=reasons, next_look_s=seconds):
                memory.due = now + seconds
                self._write_waiting(path, record, reasons, looks, new=new)
                done.waiting.append(path)
            case Stale(reason=reason):
                if record is None or record.state != "stale":
                    self._acceptor.refuse(path, "stale", "run.stale", reason, looks)
                done.stale.append(path)
            case Complete() if snapshot.problem is not None:
                self._reject(path, record, snapshot.problem, looks, done)
            case Complete(completion=completion, status=status):
                done.settled.append(path)
                self._seal(SealJob(path=path, completion=completion, status=status, fingerprint=looks), memory)

    def _verdict(self, path: str, previous: Watching | None, snapshot: Snapshot, now: float) -> Verdict:
        """Decide; the process table is read only when everything else says that the folder is complete."""
        rules = self.watch.rules
        wall = self._clock.now().timestamp()

        def asked(writing: tuple[str, ...]) -> Verdict:
            if self._settle_now:
                return decide_now(rules, snapshot, now, wall, writing)
            return decide(rules, previous, snapshot, now, writing)

        verdict = asked(())
        if isinstance(verdict, Complete) and (writing := tuple(self._writers.writers(path))):
            return asked(writing)
        return verdict

    def _seal(self, job: SealJob, memory: Candidate) -> None:
        memory.sealing = True

        def work() -> None:
            taken = Taken(outcome="failed", reason="sealing was interrupted")
            try:
                taken = self._acceptor.accept(job)
            finally:
                self._conclude(job, memory, taken)

        try:
            self._launch(work)
        except BaseException:
            memory.sealing = False
            raise

    def _conclude(self, job: SealJob, memory: Candidate, taken: Taken) -> None:
        """May run in any thread, while `look` goes on with others."""
        now = self._clock.monotonic()
        if taken.outcome in {"again", "failed"}:
            if taken.outcome == "again" and job.completion.evidence == SUMS_MARKER:
                memory.distrusted = frozenset({SUMS_MARKER})
            if not memory.distrusted:
                memory.watching = None
            memory.due = now + (_MIN_GAP_S if taken.outcome == "again" else _RETRY_S)
            memory.sealing = False
            record = self._journal.folders.get(self.watch.name, job.path)
            self._write_waiting(job.path, record, (taken.reason,), "", new=False)
            return
        memory.sealing = False
        if not memory.dirty:
            self._forget(job.path)
            return
        memory.watching = None  # something was reported while it was sealed: look once more

    def _reject(self, path: str, record: FolderRecord | None, reason: str, looks: str, done: Round) -> None:
        self._forget(path)
        if record is not None and record.state == "rejected" and record.fingerprint == looks:
            return
        self._acceptor.refuse(_shown(path), "rejected", "run.rejected", reason, looks)
        done.rejected.append(path)

    def _write_waiting(
        self, path: str, record: FolderRecord | None, reasons: tuple[str, ...], looks: str, *, new: bool
    ) -> None:
        """Write down what is awaited when that changes; a folder that grows does not write at every look."""
        reason = "; ".join(reasons)
        same = record is not None and (record.state, record.reason) == ("settling", reason)
        if not same or (new and record is not None and record.fingerprint != looks):
            self._write(record, path, "settling", reason, looks)

    def _write(self, record: FolderRecord | None, path: str, state: FolderState, reason: str, looks: str) -> None:
        self._journal.folders.set(self._acceptor.record(record, path, state, reason, looks))

    def _forget(self, path: str) -> None:
        self._candidates.forget(path)
        if self._watcher is not None:
            self._watcher.unfollow(path)


def _shown(path: str) -> str:
    """Path as the journal can hold it: names that are not UTF-8 are escaped. Such a path is never opened."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
