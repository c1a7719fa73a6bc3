"""Mark: what a registry still needs. The order of the looks is load-bearing; see `sealrun.domain.upkeep.collection`.

::

    intents (then the outcome of each) ─ pins ─ pointers ─ attempts (outcome, refs)

That is the order of every mark on which a verdict stands. The first mark of a collection only finds candidates, which
may be anything that was uploaded by an attempt with an outcome; so it asks in the order that takes fewest requests and
shortest, and lists ``attempts/`` once where that is short.

The set of what is needed only grows: the second mark of a collection reads what is new since the first, and keeps what
was needed then. That errs towards keeping. ``spec/collection.pml`` checks the order, the growing, and a first mark in
the reverse order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NoReturn

import msgspec

from sealrun.domain.address import (
    ATTEMPTS,
    EXPERIMENTS,
    NAMES,
    AttemptId,
    Key,
    attempt_of,
    name_log,
    refs_key,
)
from sealrun.domain.errors import NotFoundError
from sealrun.domain.moments import shown_time
from sealrun.domain.registry.publication import Intent
from sealrun.domain.upkeep.marking import Uses, part_of_digest
from sealrun.domain.upkeep.repacking import PackUses
from sealrun.ports import ObjectStat, Store
from sealrun.services.collection.first_look import Rows, look_first
from sealrun.services.collection.marks import Dead, Marks
from sealrun.services.index.heads import Head, logs_of, pinned_runs, read_heads
from sealrun.services.storage.attempts import ReadAttempts, ReadRules, decode_refs, read_here, refusal
from sealrun.services.storage.listed import REFS_FILE, ListedAttempt, ReadAttempt, by_attempt
from sealrun.services.storage.overview import Overview
from sealrun.services.storage.standing import read_outcome
from sealrun.services.threads.fanning import fan_out, fan_through

_INTENT, _OUTCOME, _RETIRED = "intent.json", "outcome.json", "retired.json"
_HELD = 20_000
"""A listing that is shorter is kept in memory and not made again."""


class Marker:
    """Marks one registry, for one collector."""

    def __init__(
        self,
        store: Store,
        *,
        grace_s: float,
        now: float,
        read_attempts: ReadAttempts | None = None,
        overview: Overview | None = None,
    ) -> None:
        """What was retired or voided less than `grace_s` before `now`, both by the store's clock, is kept.

        What attempts left is read by `read_attempts`, by default in this process. The first mark looks by `overview`.
        """
        self._store = store
        self._overview = overview or Overview(store)
        self._read_attempts = read_attempts or read_here(store)
        # In a directory a record is read before another thread has heard of it.
        self._width = store.capabilities.side_by_side
        self._experiments: list[str] | None = None
        self._before = now - grace_s
        self._now = shown_time(now)

    def mark(self, marks: Marks) -> None:
        """Add to `marks` all that is needed now. Repeating is harmless and reads only what is new.

        `CollectionRefusedError` if a record is missing that must be there, or the listing lacks an attempt that an
        index names; `IntegrityError` if a record cannot be read. Then nothing may be deleted.
        """
        marks.asked_again = len(marks.dead)
        self._experiments = None
        sealed_in = self._again(marks) if marks.begun else self._first(marks)
        if not sealed_in <= set(self._all_experiments()):  # as they were listed before
            unknown = sealed_in - set(self._store.list_folders(EXPERIMENTS))
            if unknown:
                self._refuse(f"experiment {min(unknown)!r} holds runs, but is not in the listing of {EXPERIMENTS}")
        marks.begun = True

    def _again(self, marks: Marks) -> set[str]:
        """The order of the looks is load-bearing. Returns the experiments of all that sealed a run since."""
        self._intents(marks)
        pinned = self._pinned()
        self._pinned_since(marks, pinned)
        self._pointers(marks)
        return self._attempts(marks, pinned, {})

    def _first(self, marks: Marks) -> set[str]:
        """The same in any order: nothing is decided by it. An index is read before the attempts that it names."""
        look = look_first(self._overview, self._now, self._width)
        self._experiments = look.experiments
        marks.bases += look.bases
        marks.pointed |= {head.attempt for head in look.heads}
        stats = self._store.list(ATTEMPTS)
        some = list(islice(stats, _HELD))
        self._intents(marks, chain(some, stats))
        if len(some) < _HELD:
            self._overview.hold(ATTEMPTS, some)
        sealed_in = self._attempts(marks, look.pinned, look.indexed, iter(some) if len(some) < _HELD else None)
        for head in look.heads:
            if head.attempt not in marks.held:
                marks.pointed.discard(head.attempt)
                self._keep_head(marks, head)
        if look.indexed:
            self._refuse(f"attempt {min(look.indexed)} is in an index, but not in the listing of {ATTEMPTS}")
        return sealed_in

    def _all_experiments(self) -> list[str]:
        if self._experiments is None:
            self._experiments = list(self._store.list_folders(EXPERIMENTS))
        return self._experiments

    def _intents(self, marks: Marks, found: Iterable[ObjectStat] | None = None) -> None:
        """Every intent pins all its digests, unless its attempt is void. One that is gone has an outcome by now."""
        stats = self._store.list(ATTEMPTS) if found is None else found
        listed = [stat.key for stat in stats if stat.key.endswith(f"/{_INTENT}")]
        marks.intending.update(map(attempt_of, listed))
        for intent in fan_through(self._intent, listed, self._store.capabilities.parallel if listed[1:] else 1):
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
        return runs.union(
            *fan_out(lambda name: pinned_runs(self._store, name, self._now), self._all_experiments(), self._width)
        )

    def _pinned_since(self, marks: Marks, pinned: set[tuple[str, str]]) -> None:
        """Keep retired runs that an earlier mark took for dead: their pin may be older than their retirement."""
        for dead in marks.dead:
            if (dead.experiment, dead.run_id) in pinned and dead.attempt not in marks.pointed:
                marks.need(self._refs(dead.attempt, f"{dead.ref} is pinned"))
                marks.pointed.add(dead.attempt)

    def _pointers(self, marks: Marks) -> None:
        """Where every pointer and every published name stands now."""
        logs = fan_out(lambda name: list(logs_of(self._store, name)), self._all_experiments(), self._width)
        names = map(name_log, self._store.list_folders(NAMES))
        for head in read_heads(self._store, chain(*logs, names), self._width):
            self._keep_head(marks, head)

    def _keep_head(self, marks: Marks, head: Head) -> None:
        """Need what the newest generation of a log stands on; if its refs are gone, the log must have moved on."""
        while not self._keep(marks, head.attempt):
            before = head.generation
            (head,) = read_heads(self._store, [head.log], 1)
            if before == head.generation:
                self._refuse(f"{refs_key(head.attempt)} is missing, though {before} stands on it")

    def _keep(self, marks: Marks, attempt: AttemptId) -> bool:
        """Need what the target of a pointer uses, and tell whether its refs are there: they go once it was left."""
        if attempt not in marks.pointed and attempt not in marks.held:
            try:
                marks.need(self._uses(refs_key(attempt)))
            except NotFoundError:
                return False
            marks.pointed.add(attempt)
        return True

    def _attempts(
        self,
        marks: Marks,
        pinned: set[tuple[str, str]],
        indexed: Rows,
        found: Iterator[ObjectStat] | None = None,
    ) -> set[str]:
        """Read the attempts that ended since the last mark; return the experiments of all that sealed a run.

        Those that are listed are taken out of `indexed`.
        """

        def fresh() -> Iterator[ListedAttempt]:
            for files in by_attempt(self._store.list(ATTEMPTS) if found is None else found):
                if not files.has(_OUTCOME):
                    continue
                row = indexed.pop(files.attempt, None)
                if self._is_history(files):
                    marks.decided.add(files.attempt)
                elif files.attempt not in marks.decided:
                    yield files if row is None else msgspec.structs.replace(files, row=row)

        experiments: set[str] = set()
        rules = ReadRules(
            before=self._before, first=not marks.begun, packs=marks.packs is not None, pinned=frozenset(pinned)
        )
        for read in self._read_attempts(rules, fresh()):
            if read is None:
                continue
            self._note(marks, read)
            if read.ending.experiment is not None and read.ending.sealed:
                experiments.add(read.ending.experiment)
        return experiments

    def _is_history(self, files: ListedAttempt) -> bool:
        """Tell whether the attempt was retired and swept long ago: then its records say nothing that matters here."""
        retired = files.written(_RETIRED)
        return retired is not None and retired <= self._before and not files.has(REFS_FILE)

    def _note(self, marks: Marks, read: ReadAttempt) -> None:
        attempt, ending = read.files.attempt, read.ending
        marks.decided.add(attempt)
        if read.live:
            marks.live_attempts += 1
            if ending.experiment is not None and ending.run_id is not None:
                marks.live_runs.add((ending.experiment, ending.run_id))
            if read.refs is not None:
                marks.need(read.refs.keys)
                marks.held.add(attempt)
        elif read.refs is not None:
            sealed = ending.sealed
            dead = Dead(attempt, ending.experiment, ending.run_id) if sealed else Dead(attempt)
            number = len(marks.dead)
            marks.dead.append(dead)
            marks.dead_uses.append(read.refs.keys if sealed else Uses(()))
            for part, word in read.refs.keys if sealed else ():
                marks.last_uses.put(part, word, number)
        if read.refs is not None and read.refs.packs is not None and ending.sealed:
            self._note_packs(marks, read, read.refs.packs)

    def _note_packs(self, marks: Marks, read: ReadAttempt, uses: PackUses) -> None:
        """Remember who uses which packs. Those that a retired attempt, a pin or an unfinished one keeps are blocked."""
        run = read.ending.experiment or "", read.ending.run_id or ""
        if marks.packs is None:
            return
        retired = read.files.has(_RETIRED)
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
        return decode_refs(self._store.read(key), key).keys

    def _refuse(self, why: str) -> NoReturn:
        raise refusal(self._store, why)
