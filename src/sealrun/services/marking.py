"""Mark: what a registry still needs. The order of the looks is load-bearing; see `sealrun.domain.collection`.

::

    intents (then the outcome of each) ─ pins ─ pointers ─ attempts (outcome, refs)

The set of what is needed only grows: the second mark of a collection reads what is new since the first, and keeps what
was needed then. That errs towards keeping. ``spec/collection.pml`` checks both the order and the growing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NoReturn

from sealrun.domain.address import (
    ATTEMPTS,
    EXPERIMENTS,
    NAMES,
    AttemptId,
    Key,
    attempt_of,
    name_log,
    pins_prefix,
    pointer_log,
    pointers_prefix,
    refs_key,
)
from sealrun.domain.errors import NotFoundError
from sealrun.domain.keeping import Pin
from sealrun.domain.marking import Uses, part_of_digest
from sealrun.domain.pointing import Generation
from sealrun.domain.publication import Intent
from sealrun.domain.repacking import PackUses
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.attempts import ReadAttempts, ReadRules, read_here, read_refs, refusal
from sealrun.services.fanning import fan_through
from sealrun.services.indexing import Index
from sealrun.services.listed import REFS_FILE, ListedAttempt, ReadAttempt, by_attempt
from sealrun.services.marks import Dead, Marks
from sealrun.services.standing import read_outcome

_INTENT, _OUTCOME, _RETIRED = "intent.json", "outcome.json", "retired.json"


class Marker:
    """Marks one registry, for one collector."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        *,
        grace_s: float,
        now: float,
        read_attempts: ReadAttempts | None = None,
    ) -> None:
        """What was retired or voided less than `grace_s` before `now`, both by the store's clock, is kept.

        What attempts left is read by `read_attempts`, by default in this process.
        """
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._read_attempts = read_attempts or read_here(store)
        self._before = now - grace_s
        self._now = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def mark(self, marks: Marks) -> None:
        """Add to `marks` all that is needed now. Repeating is harmless and reads only what is new.

        `CollectionRefusedError` if a record is missing that must be there, or the listing lacks an attempt that an
        index names; `IntegrityError` if a record cannot be read. Then nothing may be deleted.
        """
        first = not marks.begun
        marks.asked_again = len(marks.dead)
        listed = set(self._indexed()) if first else set()
        self._intents(marks)
        pinned = self._pinned()
        self._pinned_since(marks, pinned)
        self._pointers(marks)
        experiments = self._attempts(marks, pinned, listed)
        if listed:
            self._refuse(f"attempt {min(listed)} is in an index, but not in the listing of {ATTEMPTS}")
        unknown = experiments - set(self._store.list_folders(EXPERIMENTS))
        if unknown:
            self._refuse(f"experiment {min(unknown)!r} holds sealed runs, but is not in the listing of {EXPERIMENTS}")
        marks.begun = True

    def _intents(self, marks: Marks) -> None:
        """Every intent pins all its digests, unless its attempt is void. One that is gone has an outcome by now."""
        listed = [found.key for found in self._store.list(ATTEMPTS) if found.key.endswith(f"/{_INTENT}")]
        for intent in fan_through(self._intent, listed, self._store.capabilities.parallel):
            if intent is None:
                continue
            marks.intended_runs.add((intent.experiment, intent.run_id))
            for digest in intent.digests:
                marks.intended.add(part_of_digest(digest), digest)

    def _intent(self, key: Key) -> Intent | None:
        try:
            intent = Intent.decode(self._store.read(key), key)
        except NotFoundError:
            return None
        outcome = read_outcome(self._store, attempt_of(key))
        return None if outcome is not None and outcome.decision == "void" else intent

    def _pinned(self) -> set[tuple[str, str]]:
        """Runs with a pin or hold that counts."""
        runs: set[tuple[str, str]] = set()
        for experiment in self._store.list_folders(EXPERIMENTS):
            keys = [found.key for found in self._store.list(pins_prefix(experiment))]
            lifted = {key.removesuffix(".lifted.json") for key in keys if key.endswith(".lifted.json")}
            for key in keys:
                if key.endswith(".lifted.json") or key.removesuffix(".json") in lifted:
                    continue
                pin = Pin.decode(self._store.read(key), key)
                if pin.counts(self._now):
                    runs.add((pin.experiment, pin.run_id))
        return runs

    def _pinned_since(self, marks: Marks, pinned: set[tuple[str, str]]) -> None:
        """Keep retired runs that an earlier mark took for dead: their pin may be older than their retirement."""
        for dead in marks.dead:
            if (dead.experiment, dead.run_id) in pinned and dead.attempt not in marks.pointed:
                marks.need(self._refs(dead.attempt, f"{dead.ref} is pinned"))
                marks.pointed.add(dead.attempt)

    def _pointers(self, marks: Marks) -> None:
        """Where every pointer and every published name stands now."""
        for log in self._logs():
            head = self._head(log)
            while head is not None and (missing := self._keep_target(marks, head)) is not None:
                before, head = head, self._head(log)
                if before == head:
                    self._refuse(f"{missing} is missing, though {head} stands on it")

    def _keep_target(self, marks: Marks, generation: Key) -> Key | None:
        """Need what a generation stands on. Returns the refs if they are gone: of one that was left, they may be."""
        attempt = Generation.decode(self._store.read(generation), generation).target.attempt
        if attempt in marks.pointed:
            return None
        try:
            marks.need(self._uses(refs_key(attempt)))
        except NotFoundError:
            return refs_key(attempt)
        marks.pointed.add(attempt)
        return None

    def _head(self, log: str) -> Key | None:
        return next((found.key for found in self._store.list(log, limit=1)), None)

    def _logs(self) -> Iterator[str]:
        for experiment in self._store.list_folders(EXPERIMENTS):
            for name in self._store.list_folders(pointers_prefix(experiment)):
                yield pointer_log(experiment, name)
        for name in self._store.list_folders(NAMES):
            yield name_log(name)

    def _attempts(self, marks: Marks, pinned: set[tuple[str, str]], listed: set[AttemptId]) -> set[str]:
        """Read the attempts that ended since the last mark; return the experiments of all that sealed a run."""

        def fresh() -> Iterator[ListedAttempt]:
            for files in by_attempt(self._store.list(ATTEMPTS)):
                if _OUTCOME not in files.written:
                    continue
                listed.discard(files.attempt)
                if self._is_history(files):
                    marks.decided.add(files.attempt)
                elif files.attempt not in marks.decided:
                    yield files

        experiments: set[str] = set()
        rules = ReadRules(
            before=self._before, first=not marks.begun, packs=marks.packs is not None, pinned=frozenset(pinned)
        )
        for read in self._read_attempts(rules, fresh()):
            if read is None:
                continue
            self._note(marks, read)
            if read.outcome.experiment is not None and read.outcome.decision == "sealed":
                experiments.add(read.outcome.experiment)
        return experiments

    def _is_history(self, files: ListedAttempt) -> bool:
        """Tell whether the attempt was retired and swept long ago: then its records say nothing that matters here."""
        return REFS_FILE not in files.written and files.written.get(_RETIRED, self._before + 1) <= self._before

    def _note(self, marks: Marks, read: ReadAttempt) -> None:
        attempt, outcome = read.files.attempt, read.outcome
        marks.decided.add(attempt)
        if read.live:
            marks.live_attempts += 1
            if outcome.experiment is not None and outcome.run_id is not None:
                marks.live_runs.add((outcome.experiment, outcome.run_id))
            if read.refs is not None:
                marks.need(read.refs.keys)
        elif read.refs is not None:
            sealed = outcome.decision == "sealed"
            dead = Dead(attempt, outcome.experiment, outcome.run_id) if sealed else Dead(attempt)
            number = len(marks.dead)
            marks.dead.append(dead)
            marks.dead_uses.append(read.refs.keys if sealed else Uses(()))
            for part, word in read.refs.keys if sealed else ():
                marks.last_uses.put(part, word, number)
        if read.refs is not None and read.refs.packs is not None and outcome.decision == "sealed":
            self._note_packs(marks, read, read.refs.packs)

    def _note_packs(self, marks: Marks, read: ReadAttempt, uses: PackUses) -> None:
        """Remember who uses which packs. Those that a retired attempt, a pin or an unfinished one keeps are blocked."""
        run = read.outcome.experiment or "", read.outcome.run_id or ""
        if marks.packs is None:
            return
        retired = _RETIRED in read.files.written
        if read.pinned or (retired and read.files.attempt in marks.pointed) or run in marks.intended_runs:
            marks.packs.block(uses)
        elif not retired:
            marks.packs.note(uses, len(marks.standing))
            marks.standing.append(read.files.attempt)

    def _refs(self, attempt: AttemptId, why: str) -> Uses:
        key = refs_key(attempt)
        try:
            return self._uses(key)
        except NotFoundError:
            self._refuse(f"{key} is missing, though {why}")

    def _uses(self, key: Key) -> Uses:
        return read_refs(self._store, key).keys

    def _indexed(self) -> Iterator[AttemptId]:
        """Attempts that the indexes name: none of them may be missing from the listing that follows."""
        for experiment in self._store.list_folders(EXPERIMENTS):
            for row in Index(self._store, self._clock, self._entropy, experiment).rows():
                yield row.attempt

    def _refuse(self, why: str) -> NoReturn:
        raise refusal(self._store, why)
