"""Reading what attempts left: their outcome and refs, as a collector's mark needs them. Here, or on an engine.

Which attempts are read, and when they were listed, is the mark's business. What is read never changes once it is
written, so that reading it late, twice or elsewhere gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import chain
from threading import Lock

import msgspec

from sealrun.domain.address import outcome_key, refs_key, retired_key
from sealrun.domain.errors import CollectionRefusedError, NotFoundError, UnsupportedFormatError
from sealrun.domain.grouping import in_groups
from sealrun.domain.pieces import Body
from sealrun.domain.registry.places import used_keys
from sealrun.domain.registry.publication import Outcome, Refs
from sealrun.domain.upkeep.marking import Uses
from sealrun.domain.upkeep.repacking import PackUses
from sealrun.ports import Store
from sealrun.services.storage.bodies import LONG, read_body
from sealrun.services.storage.listed import REFS_FILE, Ending, ListedAttempt, ReadAttempt, ReadRefs
from sealrun.services.storage.overview import Records
from sealrun.services.threads.fanning import fan_out, fan_through

_OUTCOME, _RETIRED = "outcome.json", "retired.json"
_LARGE = 1 << 20
_TOGETHER = 32
_reading_large, _decoding = Lock(), Lock()


class ReadRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a mark knows before it reads attempts.

    What was retired or voided `before`, POSIX seconds by the store's clock, needs nothing, but for `pinned` runs. At
    the `first` mark of a collection, retired counts; with `packs` uses of packs are noted, too.
    """

    before: float
    first: bool
    packs: bool
    pinned: frozenset[tuple[str, str]]


class SomeAttempts(msgspec.Struct, frozen=True):
    """Attempts that a worker reads, by the same rules."""

    rules: ReadRules
    attempts: tuple[ListedAttempt, ...]


ReadAttempts = Callable[[ReadRules, Iterable[ListedAttempt]], Iterator[ReadAttempt | None]]
"""Reads attempts, in order; None stands for an outcome that is so young that it does not count yet."""


def read_some(store: Store, some: SomeAttempts) -> tuple[ReadAttempt | None, ...]:
    """Read a few attempts side by side: what a worker does. Repeating is harmless."""
    reader = AttemptReader(store, some.rules)
    return tuple(fan_out(reader.read, some.attempts, store.capabilities.parallel))


def read_here(store: Store, records: Records | None = None) -> ReadAttempts:
    """Return what reads attempts of a store in this process, from what is kept here if `records` are."""

    def read(rules: ReadRules, listed: Iterable[ListedAttempt]) -> Iterator[ReadAttempt | None]:
        reader, width = AttemptReader(store, rules, records), store.capabilities.parallel
        if width <= 1 or not store.capabilities.links:
            return fan_through(reader.read, listed, width)
        # Near by, handing a record to another thread takes longer than reading it.
        some = fan_through(lambda group: [reader.read(files) for files in group], in_groups(listed, _TOGETHER), width)
        return chain.from_iterable(some)

    return read


class AttemptReader:
    """Reads attempts of one registry, by the rules of one mark."""

    def __init__(self, store: Store, rules: ReadRules, records: Records | None = None) -> None:
        """Read from `store`, or what never changes by `records`."""
        self._store = store
        self._rules = rules
        self._records = records or Records(store)

    def read(self, files: ListedAttempt) -> ReadAttempt | None:
        """Read one attempt; None if its outcome is so young that it does not count yet.

        `CollectionRefusedError` if the refs of an attempt that stands are missing.
        """
        rules = self._rules
        ending = self._ending(files)
        if not ending.sealed:
            if files.stats[_OUTCOME].modified > rules.before:
                return None
            return ReadAttempt(files, ending, self._refs_of_dead(files, packs=False), live=False)
        retired = files.written(_RETIRED)
        # What was sealed since the first mark is kept even if it is retired already: a pointer or pin may have come to
        # it after this mark looked at those. So no clock decides here (the configurations "no grace" of the model).
        gone = rules.first and retired is not None and retired <= rules.before
        is_pinned = (ending.experiment, ending.run_id) in rules.pinned
        live = not gone or is_pinned
        packs = rules.packs and rules.first
        refs = self._refs_if_there(files, packs=packs) if live else self._refs_of_dead(files, packs=packs)
        if refs is None and not gone and self._store.stat(retired_key(files.attempt)) is None:
            # Not retired since it was listed, either: then another collector would have swept it, and taken its refs.
            run = f"{ending.experiment}/{ending.run_id}"
            raise refusal(self._store, f"{refs_key(files.attempt)} is missing: {run} is sealed with it")
        return ReadAttempt(files, ending, refs, live=live, pinned=is_pinned)

    def _ending(self, files: ListedAttempt) -> Ending:
        """Read the outcome; of an attempt that is not retired a row says as much, and can only err towards keeping."""
        if files.row is not None and not files.has(_RETIRED):
            experiment, run_id = files.row
            return Ending(sealed=True, experiment=experiment, run_id=run_id)
        outcome = Outcome.decode(self._records.read(files.stats[_OUTCOME]), outcome_key(files.attempt))
        return Ending(outcome.decision == "sealed", outcome.experiment, outcome.run_id)

    def _refs_if_there(self, files: ListedAttempt, *, packs: bool) -> ReadRefs | None:
        """Read the refs, or return None; a listing may have been read just before they were written."""
        key, listed = refs_key(files.attempt), files.stats.get(REFS_FILE)
        with _reading_large if listed is not None and listed.size > _LARGE else nullcontext():
            try:
                is_long = listed is None or listed.size >= LONG
                body = read_body(self._store, key) if listed is None or is_long else self._records.read(listed)
                return decode_refs(body, key, packs=packs)
            except NotFoundError:
                return None

    def _refs_of_dead(self, files: ListedAttempt, *, packs: bool) -> ReadRefs | None:
        """Read the refs of an attempt that needs nothing: unreadable ones only cannot say which run used a key last."""
        try:
            return self._refs_if_there(files, packs=packs)
        except UnsupportedFormatError:
            return ReadRefs(Uses(()))


def decode_refs(body: Body, where: str, *, packs: bool = False) -> ReadRefs:
    """Decode refs. They take many times what they take packed: so one at a time, and not for long."""
    with _decoding:
        objects = Refs.read(body, where).objects
        keys = Uses(used_keys(objects))
        return ReadRefs(keys, PackUses(objects.values()) if packs else None)


def refusal(store: Store, why: str) -> CollectionRefusedError:
    """Say why nothing is collected."""
    return CollectionRefusedError(f"{store.url}: nothing is collected: {why}; verify the registry")
