"""Mark: what a registry still needs. The order of the looks is load-bearing; see `sealrun.domain.collection`.

::

    intents (then the outcome of each) ─ pins ─ pointers ─ attempts (outcome, refs)

The set of what is needed only grows: the second mark of a collection reads what is new since the first, and keeps what
was needed then. That errs towards keeping. ``spec/collection.pml`` checks both the order and the growing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import NoReturn

import msgspec

from sealrun.domain.address import (
    ATTEMPTS,
    EXPERIMENTS,
    NAMES,
    AttemptId,
    Digest,
    Key,
    attempt_of,
    name_log,
    outcome_key,
    pins_prefix,
    pointer_log,
    pointers_prefix,
    refs_key,
)
from sealrun.domain.errors import CollectionRefusedError, NotFoundError
from sealrun.domain.keeping import Pin
from sealrun.domain.marking import Fingerprints, LastUses, part_of_digest, part_of_key
from sealrun.domain.pointing import Generation
from sealrun.domain.publication import Intent, Outcome, Refs
from sealrun.ports import Clock, Entropy, ObjectStat, Store
from sealrun.services.fanning import fan_through
from sealrun.services.indexing import Index
from sealrun.services.standing import read_outcome

_INTENT, _OUTCOME, _REFS, _RETIRED = "intent.json", "outcome.json", "refs.json", "retired.json"


class Dead(msgspec.Struct, frozen=True):
    """An attempt that needs nothing any more, but whose refs still stand: void, or retired for long enough."""

    attempt: AttemptId
    experiment: str | None = None
    run_id: str | None = None

    @property
    def ref(self) -> str | None:
        """The run that it sealed, if it sealed one."""
        return None if self.experiment is None else f"{self.experiment}/{self.run_id}"


class Marks:
    """What one or several marks found."""

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self.needed = Fingerprints()
        self.intended = Fingerprints()
        self.intended_runs: set[tuple[str, str]] = set()
        self.last_uses = LastUses()
        self.decided: set[AttemptId] = set()
        self.pointed: set[AttemptId] = set()
        self.live_runs: set[tuple[str, str]] = set()
        self.dead: list[Dead] = []
        self.live_attempts = 0

    def need(self, refs: Refs) -> None:
        """Everything that `refs` name is needed."""
        for stored in refs.objects.values():
            self.needed.add(part_of_key(stored.key), stored.key)

    def needs(self, key: Key, digest: Digest) -> bool:
        """Tell whether an object must be kept: a live run references it, or an intent may come to do so."""
        part = part_of_digest(digest)
        return self.needed.holds(part, key) or self.intended.holds(part, digest)

    def last_user(self, key: Key) -> str | None:
        """The run that used an object last (``EXPERIMENT/RUN_ID``), if a run that was sealed ever did."""
        number = self.last_uses.of(part_of_key(key), key)
        return None if number is None else self.dead[number].ref


class _Files(msgspec.Struct, frozen=True):
    """One attempt as a listing shows it: when each of its records was written."""

    attempt: AttemptId
    written: dict[str, float]


class _Read(msgspec.Struct, frozen=True):
    """One attempt as its records show it."""

    files: _Files
    outcome: Outcome
    refs: Refs | None
    live: bool


class Marker:
    """Marks one registry, for one collector."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, *, grace_s: float, now: float) -> None:
        """What was retired or voided less than `grace_s` before `now`, both by the store's clock, is kept."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._before = now - grace_s
        self._now = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def mark(self, marks: Marks) -> None:
        """Add to `marks` all that is needed now. Repeating is harmless and reads only what is new.

        `CollectionRefusedError` if a record is missing that must be there, or the listing lacks an attempt that an
        index names; `IntegrityError` if a record cannot be read. Then nothing may be deleted.
        """
        first = not marks.decided
        listed = set(self._indexed()) if first else set()
        self._intents(marks)
        pinned = self._pinned()
        self._pointers(marks)
        experiments = self._attempts(marks, pinned, listed)
        if listed:
            self._refuse(f"attempt {min(listed)} is in an index, but not in the listing of {ATTEMPTS}")
        unknown = experiments - set(self._store.list_folders(EXPERIMENTS))
        if unknown:
            self._refuse(f"experiment {min(unknown)!r} holds sealed runs, but is not in the listing of {EXPERIMENTS}")

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

    def _pointers(self, marks: Marks) -> None:
        """Where every pointer and every published name stands now."""
        for log in self._logs():
            head = next(iter(self._store.list(log, limit=1)), None)
            if head is None:
                continue
            attempt = Generation.decode(self._store.read(head.key), head.key).target.attempt
            if attempt not in marks.pointed:
                marks.need(self._refs(attempt, f"{head.key} stands on it"))
                marks.pointed.add(attempt)

    def _logs(self) -> Iterator[str]:
        for experiment in self._store.list_folders(EXPERIMENTS):
            for name in self._store.list_folders(pointers_prefix(experiment)):
                yield pointer_log(experiment, name)
        for name in self._store.list_folders(NAMES):
            yield name_log(name)

    def _attempts(self, marks: Marks, pinned: set[tuple[str, str]], listed: set[AttemptId]) -> set[str]:
        """Read the attempts that ended since the last mark; return the experiments of all that sealed a run."""

        def fresh() -> Iterator[_Files]:
            for files in _grouped(self._store.list(ATTEMPTS)):
                if _OUTCOME not in files.written:
                    continue
                listed.discard(files.attempt)
                if self._is_history(files):
                    marks.decided.add(files.attempt)
                elif files.attempt not in marks.decided:
                    yield files

        experiments: set[str] = set()
        width = self._store.capabilities.parallel
        for read in fan_through(lambda files: self._read(files, pinned), fresh(), width):
            if read is None:
                continue
            self._note(marks, read)
            if read.outcome.experiment is not None and read.outcome.decision == "sealed":
                experiments.add(read.outcome.experiment)
        return experiments

    def _is_history(self, files: _Files) -> bool:
        """Tell whether the attempt was retired and swept long ago: then its records say nothing that matters here."""
        return _REFS not in files.written and files.written.get(_RETIRED, self._before + 1) <= self._before

    def _read(self, files: _Files, pinned: set[tuple[str, str]]) -> _Read | None:
        """Read one attempt; None if its outcome is so young that it does not count yet."""
        key = outcome_key(files.attempt)
        outcome = Outcome.decode(self._store.read(key), key)
        if outcome.decision != "sealed":
            if files.written[_OUTCOME] > self._before:
                return None
            refs = self._refs_if_there(files)
            return _Read(files, outcome, refs, live=False)
        retired = files.written.get(_RETIRED)
        gone = retired is not None and retired <= self._before
        live = not gone or (outcome.experiment, outcome.run_id) in pinned
        refs = self._refs_if_there(files)
        if refs is None and not gone:
            self._refuse(
                f"{refs_key(files.attempt)} is missing: {outcome.experiment}/{outcome.run_id} is sealed with it"
            )
        return _Read(files, outcome, refs, live=live)

    def _note(self, marks: Marks, read: _Read) -> None:
        attempt, outcome = read.files.attempt, read.outcome
        marks.decided.add(attempt)
        if read.live:
            marks.live_attempts += 1
            if outcome.experiment is not None and outcome.run_id is not None:
                marks.live_runs.add((outcome.experiment, outcome.run_id))
            if read.refs is not None:
                marks.need(read.refs)
        elif read.refs is not None:
            sealed = outcome.decision == "sealed"
            dead = Dead(attempt, outcome.experiment, outcome.run_id) if sealed else Dead(attempt)
            number = len(marks.dead)
            marks.dead.append(dead)
            for stored in read.refs.objects.values() if sealed else ():
                marks.last_uses.add(part_of_key(stored.key), stored.key, number)

    def _refs_if_there(self, files: _Files) -> Refs | None:
        """Read the refs, or return None; a listing may have been read just before they were written."""
        key = refs_key(files.attempt)
        try:
            return Refs.decode(self._store.read(key), key)
        except NotFoundError:
            return None

    def _refs(self, attempt: AttemptId, why: str) -> Refs:
        key = refs_key(attempt)
        try:
            return Refs.decode(self._store.read(key), key)
        except NotFoundError:
            self._refuse(f"{key} is missing, though {why}")

    def _indexed(self) -> Iterator[AttemptId]:
        """Attempts that the indexes name: none of them may be missing from the listing that follows."""
        for experiment in self._store.list_folders(EXPERIMENTS):
            for row in Index(self._store, self._clock, self._entropy, experiment).rows():
                yield row.attempt

    def _refuse(self, why: str) -> NoReturn:
        raise CollectionRefusedError(f"{self._store.url}: nothing is collected: {why}; verify the registry")


def _grouped(found: Iterator[ObjectStat]) -> Iterator[_Files]:
    """Turn a listing of ``attempts/`` into one value per attempt."""
    for attempt, files in groupby(found, key=lambda stat: attempt_of(stat.key)):
        yield _Files(attempt, {stat.key.rsplit("/", 1)[-1]: stat.modified for stat in files})
