"""Make again what is derived from records: seal markers, rows, indexes, convenience copies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from sealrun.domain.address import (
    AttemptId,
    Key,
    base_log,
    experiment_manifest_key,
    generation_key,
    generation_of,
    parse_attempt,
    pending_prefix,
    retired_key,
    run_key,
    runs_prefix,
)
from sealrun.domain.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from sealrun.domain.records import parse_object
from sealrun.domain.registry.indexing import Row, Rows, merge_rows
from sealrun.domain.registry.pointing import PointerName, Target
from sealrun.domain.registry.publication import Outcome
from sealrun.domain.runs.manifest import RUN_FILE, SUMS_FILE
from sealrun.domain.runs.run import Envelope
from sealrun.domain.upkeep.mending import Rebuild
from sealrun.ports import Clock, Entropy, ObjectStat, Store
from sealrun.services.index.bases import base_lines, newest_of
from sealrun.services.index.pointers import Pointers
from sealrun.services.mending.comparing import live_attempts
from sealrun.services.mending.diagnosing import read_sealed
from sealrun.services.publication.announcing import Announcer, load_sealed, sealed_run_of
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import read_outcome

_DROPPED_SUFFIX = ".retired.json"
_BASE_SUFFIX = ".jsonl"


class Rebuilder:
    """Rebuilds in one registry. Every rebuild is harmless to repeat, and beside publishers and compactors."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, owner: str) -> None:
        """Announce in the name of the state folder `owner`."""
        self._store = store
        self._certainty = Certainty(store, clock, entropy)
        self._announcer = Announcer(store, clock, entropy, owner)
        self._pointers = Pointers(store, clock, entropy, owner)

    def rebuild(self, rebuild: Rebuild) -> None:
        """Carry one out. `IntegrityError`, `NotFoundError` or `ConflictError`: it cannot be, and why."""
        match rebuild.what:
            case "announce" if rebuild.attempt is not None:
                self._announce(rebuild.attempt)
            case "sums" if rebuild.attempt is not None:
                self._sums(rebuild.attempt)
            case "index":
                self._index(rebuild.ref)
            case _:
                self._copy(rebuild.ref)

    def _announce(self, attempt: AttemptId) -> None:
        """Everything that follows from a sealed outcome. Not for a retired run: it would be listed again."""
        outcome = self._outcome(attempt)
        if self._store.stat(retired_key(attempt)) is not None:
            msg = f"attempt {attempt} is retired; a name that still shows it moves on with the next run that has it"
            raise ConflictError(msg)
        self._announcer.announce(load_sealed(self._store, outcome))

    def _sums(self, attempt: AttemptId) -> None:
        experiment, run_id, root = sealed_run_of(self._outcome(attempt))
        target = Target(experiment=experiment, run_id=run_id, attempt=attempt, root_sha256=root, finished_at="")
        body, key = read_sealed(self._store, target).sums().encode(), run_key(experiment, run_id, SUMS_FILE)
        if self._certainty.create(key, body) != body:
            msg = f"{key}: stands there by now, with other lines than the records have"
            raise IntegrityError(msg)

    def _outcome(self, attempt: AttemptId) -> Outcome:
        outcome = read_outcome(self._store, attempt)
        if outcome is None:
            msg = f"attempt {attempt} has no outcome any more"
            raise NotFoundError(msg)
        return outcome

    def _copy(self, label: str) -> None:
        """A pointer's convenience copy, or an experiment's ``manifest.jsonl``."""
        if "@" not in label:
            self._project_index(label)
            return
        pointer = PointerName.of_label(label)
        newest = self._pointers.newest(pointer)
        if newest is not None:
            # To propose where it stands already writes nothing but the copy. If it moved since, its mover wrote that.
            self._pointers.propose(pointer, newest.target, "")

    # -- the index

    def _index(self, experiment: str) -> None:
        """Write a base with every row that the records justify; then drop pending rows that cannot be read.

        The newest base is found before the records are read: a row that a compactor takes out of the pending ones
        meanwhile costs us the race for the next base, and we begin again.
        """
        while True:
            head = newest_of(self._store, experiment)
            pending = [found.key for found in self._store.list(pending_prefix(experiment))]
            readable = {key: row for key in pending if (row := self._pending_row(key)) is not None}
            known = (row for row in chain(self._base_rows(head), readable.values()) if self._is_live(row.attempt))
            body = merge_rows(Rows(), chain(known, self._rows_of_records(experiment))).base()  # whatever order it had
            key = generation_key(base_log(experiment), (generation_of(head.key) if head else 0) + 1, _BASE_SUFFIX)
            if self._certainty.create(key, body) == body and self._is_newest(experiment, key):
                break  # or it is under the number of one that was cleared away, behind what readers see
        for key in pending:
            row = readable.get(key)
            if not key.endswith(_DROPPED_SUFFIX) and (row is None or not self._is_sealed(row.attempt)):
                self._store.discard(key)
        self._project_index(experiment)

    def _is_newest(self, experiment: str, base: Key) -> bool:
        newest = newest_of(self._store, experiment)
        return newest is not None and newest.key == base

    def _project_index(self, experiment: str) -> None:
        """Write the convenience copy until it shows the newest base."""
        shown: Key | None = None
        while True:
            first = newest_of(self._store, experiment)
            if first is None or first.key == shown:
                return
            self._store.replace(experiment_manifest_key(experiment), read_body(self._store, first.key))
            shown = first.key

    def _base_rows(self, base: ObjectStat | None) -> Iterator[Row]:
        """Rows of a base, those that can be read."""
        if base is None:
            return
        for line in base_lines(self._store, base):
            try:
                yield Row.from_json(parse_object(line, base.key), base.key)
            except IntegrityError:
                continue

    def _pending_row(self, key: Key) -> Row | None:
        if key.endswith(_DROPPED_SUFFIX):
            return None
        try:
            row = Row.decode(self._store.read(key), key)
            name = parse_attempt(key.rsplit("/", 1)[-1].removesuffix(".json"))
        except (IntegrityError, NotFoundError, UsageError):
            return None
        return row if row.attempt == name else None

    def _rows_of_records(self, experiment: str) -> Iterator[Row]:
        """A row for every attempt that holds a run, as far as its records can be read."""
        for run_id in self._store.list_folders(runs_prefix(experiment)):
            key = run_key(experiment, run_id, RUN_FILE)
            try:
                targets = live_attempts(self._store, experiment, run_id)
                envelope = Envelope.decode(self._store.read(key), key) if targets else None
            except (IntegrityError, NotFoundError, UsageError):
                continue  # damage of its own; a row that was there is kept
            for target in targets if envelope is not None else ():
                outcome = self._outcome(target.attempt)
                if envelope is not None:
                    yield Row.of(envelope, target.attempt, target.root_sha256, outcome.decided_at)

    def _is_live(self, attempt: AttemptId) -> bool:
        return self._is_sealed(attempt) and self._store.stat(retired_key(attempt)) is None

    def _is_sealed(self, attempt: AttemptId) -> bool:
        try:
            outcome = read_outcome(self._store, attempt)
        except IntegrityError:
            return True  # nobody can tell: its row stays
        return outcome is not None and outcome.decision == "sealed"
