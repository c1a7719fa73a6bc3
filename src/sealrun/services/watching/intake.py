"""Intake of one watch: candidates are found, looked at until they are complete, and sealed.

Events only mark candidates dirty; `Intake.rescan` is the truth and needs none of them. State that must survive is in
the journal (`FolderRecord`); what is kept in memory can be lost at any time for the price of settling again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from math import inf

from sealrun.domain.errors import RunChangedError, RunRejectedError, SealrunError
from sealrun.domain.paths import path_problem
from sealrun.domain.watches.settling import (
    SUMS_MARKER,
    Complete,
    Snapshot,
    Stale,
    Verdict,
    Waiting,
    Watching,
    decide,
    decide_now,
    what_blocks,
)
from sealrun.ports import FolderRecord, OpenWriters, RunFolder, Survey, Watcher
from sealrun.services.threads.looping import run_now
from sealrun.services.watching.accepting import Acceptor, SealJob, Taken
from sealrun.services.watching.candidates import Candidate, Candidates
from sealrun.services.watching.detecting import fingerprint_of, take_snapshot
from sealrun.services.watching.noting import FolderNotes, digest_of, shown
from sealrun.services.watching.rooting import ABSENT_STATES, WatchedRoot
from sealrun.services.watching.rounds import IntakeReport, Round
from sealrun.services.watching.turns import Turns, absent_from

_MIN_GAP_S = 1.0
_COST_FACTOR = 10.0
_RETRY_S = 30.0
_BLOCKED_LOOK_S = 30.0
_FEW = 100
"""Of more unsettled candidates, those that only a change of their files completes are left to hints and turns."""
_MANY = 200
_AUDIT_S = 3600.0
_CLOSED_STATES = {"sealed", "rejected", "skipped"}

Launch = Callable[[Callable[[], None]], object]


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
        self._notes = FolderNotes(acceptor)
        self._clock = acceptor.clock
        self._acceptor = acceptor
        self._writers = writers
        self._watcher = watcher
        self._launch = launch
        self._settle_now = settle_now
        self._candidates = Candidates(self.watch.path, self.watch.glob.count("/") + 1)
        self._turns = Turns(acceptor.source)
        self._next_audit = -inf
        self._root = WatchedRoot(self.watch, acceptor.source, acceptor.journal)

    def mark(self, path: str | None) -> None:
        """Take a hint that `path` changed, or None for "anything may have". Quick; any thread; calls nobody."""
        self._candidates.mark(path)

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from any thread, when the end of a sealing makes a look due; set before the first one."""
        self._candidates.wake_by(wake)

    def next_look(self) -> float:
        """When `look` has something to do: monotonic seconds, infinity if only a hint or a rescan will bring work."""
        return self._candidates.next_look()

    def look(self, now: float) -> IntakeReport:
        """Look at the candidates that are due or dirty; all of them if a hint said that anything may have changed."""
        if self._candidates.all_are_wanted():
            return self.rescan(now)
        wanted = self._candidates.due(now)
        if not wanted:
            return IntakeReport()
        listed = self._root.candidates()
        if listed is None:
            return self._pause()
        absent = absent_from(listed, wanted)
        gone = self._mark_gone(self._notes.lost(absent, (), None))
        done = Round()
        for path in (path for path in wanted if path not in absent):
            self._look_once(path, self._notes.of(path), now, done)
        return done.report(gone)

    def rescan(self, now: float) -> IntakeReport:
        """Glance at the candidates, and look at what is new, due, changed, or has its turn; no hint is needed.

        The first time all are looked at, file by file; see `services.watching.turns` for how often later.
        """
        hinted = self._candidates.begin_all()
        listed = self._root.candidates()
        if listed is None:
            return self._pause()
        changed = self._turns.changed(listed, now, self._clock.monotonic, everything=hinted)
        due = self._candidates.due(now)
        wanted = sorted({*changed, *due} - absent_from(listed, due)) if due else changed
        records = self._notes.all() if now >= self._next_audit or len(wanted) > _MANY else None
        if records is not None:
            self._next_audit = now + _AUDIT_S
        lost = absent_from(listed, self._candidates.paths()) | self._turns.lost(listed)
        gone = self._mark_gone(self._notes.lost(lost, listed, records))
        done = Round()
        for path in chain(wanted, self._turns.take(now, self._clock.monotonic, len(wanted))):
            self._look_once(path, self._notes.of(path) if records is None else records.get(shown(path)), now, done)
        return done.report(gone)

    def _pause(self) -> IntakeReport:
        """While the root is missing nothing is due; a rescan notices its return."""
        self._candidates.pause()
        return IntakeReport(missing=self._root.missing)

    def _mark_gone(self, lost: Mapping[str, FolderRecord | None]) -> list[str]:
        gone: list[str] = []
        for path, record in sorted(lost.items()):
            self._forget(path)
            self._turns.forget(path)
            if record is not None and record.state not in ABSENT_STATES:
                self._notes.write(record, path, "gone", "the folder is not there any more", record.fingerprint)
                gone.append(path)
        return gone

    def _look_once(self, path: str, record: FolderRecord | None, now: float, done: Round) -> None:
        """Look, unless it is being sealed; remember how it looked from outside before that."""
        if not self._candidates.begin(path):
            return
        done.looked += 1
        glance = self._turns.glance(path)
        self._turns.looked(path, None)  # stays so if the look fails
        if self._look_at(path, record, now, done):
            self._turns.looked(path, glance)
        self._candidates.changed()

    def _look_at(self, path: str, record: FolderRecord | None, now: float, done: Round) -> bool:
        """Look at the files and act on what they say; tell whether that could be seen clearly."""
        problem = path_problem(path.removeprefix(self.watch.path.rstrip("/") + "/"))
        if problem:
            self._reject(path, record, f"{shown(path)!r}: {problem}; rename it", digest_of(problem), done)
            return True
        if self._watcher is not None and (record is None or record.state not in _CLOSED_STATES):
            self._watcher.follow(path)  # before the look, so that no change falls between the two
        started, clear = self._clock.monotonic(), True
        try:
            folder = self._source.open(path)
            survey = folder.survey()
            looks = fingerprint_of(survey)
            if self._is_closed(path, record, looks):
                return True
            self._decide(folder, survey, looks, record, now, done)
        except RunChangedError:
            clear = False
            self._candidates.restart(path, now + _MIN_GAP_S)
        except RunRejectedError as error:
            self._reject(path, record, str(error), digest_of(str(error)), done)
        except SealrunError as error:
            clear = False
            self._notes.write_waiting(path, record, (str(error),), "", new=False)
            self._candidates.restart(path, now + _RETRY_S)
        cost = self._clock.monotonic() - started
        self._candidates.hold_off(path, now + max(_MIN_GAP_S, _COST_FACTOR * cost))
        return clear

    def _is_closed(self, path: str, record: FolderRecord | None, looks: str) -> bool:
        """Tell whether the candidate looks as it did when it was sealed or rejected: then nothing is done."""
        if record is None or record.fingerprint != looks:
            return False
        if record.state in ABSENT_STATES and record.sealed is not None:
            self._notes.write(record, path, "sealed", "it is there again, unchanged", looks)
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
        elif previous is not None and now < memory.blocked_until:
            memory.due = self._next_look_at_blocked(now)
            done.waiting.append(path)
            return
        if previous is None and record is not None and record.fingerprint == looks:
            idle = max(0.0, self._clock.now().timestamp() - record.since)
            idle = max(idle, self.watch.stale_after_s) if record.state == "stale" else idle
            previous = Watching(fingerprint=looks, first_seen=now, unchanged_since=now, idle_s=idle)
        snapshot = take_snapshot(folder, self.watch.rules, survey, distrusted=memory.distrusted)
        verdict = self._verdict(path, previous, snapshot, now)
        memory.watching, memory.due, memory.blocked_until = verdict.watching, inf, -inf
        match verdict:
            case Waiting(reasons=reasons, next_look_s=seconds, watching=watching):
                memory.due = now + seconds
                if what_blocks(snapshot):
                    memory.blocked_until = watching.unchanged_since + self.watch.stale_after_s - watching.idle_s
                    memory.due = self._next_look_at_blocked(now)
                self._notes.write_waiting(path, record, reasons, looks, new=new)
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

    def _next_look_at_blocked(self, now: float) -> float:
        if len(self._candidates) > _FEW:
            return inf
        return now + min(_BLOCKED_LOOK_S, max(_MIN_GAP_S, self.watch.settle_s))

    def _verdict(self, path: str, previous: Watching | None, snapshot: Snapshot, now: float) -> Verdict:
        """Decide; the process table is read only when everything else says that the folder is complete."""
        rules, wall = self.watch.rules, self._clock.now().timestamp()
        lives = None if snapshot.recorder is None else self._writers.lives(snapshot.recorder)

        def asked(writing: tuple[str, ...]) -> Verdict:
            if self._settle_now:
                return decide_now(rules, snapshot, now, wall, writing, lives=lives)
            return decide(rules, previous, snapshot, now, writing, lives=lives)

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
            self._notes.write_waiting(job.path, self._notes.of(job.path), (taken.reason,), "", new=False)
            self._candidates.became_due()
            return
        memory.sealing = False
        if not memory.dirty:
            self._forget(job.path)
            return
        memory.watching = None  # something was reported while it was sealed: look once more
        self._candidates.became_due()

    def _reject(self, path: str, record: FolderRecord | None, reason: str, looks: str, done: Round) -> None:
        self._forget(path)
        if self._notes.reject(path, record, reason, looks):
            done.rejected.append(path)

    def _forget(self, path: str) -> None:
        self._candidates.forget(path)
        if self._watcher is not None:
            self._watcher.unfollow(path)
