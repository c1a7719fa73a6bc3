"""What a registry's past says about its collectors: which deletions were allowed, told from the order of all changes.

Written against the format alone, like `tests.invariants`, which asks here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.fakes.store import Change, Kind, ModelStore, kind_of

from sealrun.domain.address import AttemptId, refs_key
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Outcome, Refs
from sealrun.domain.upkeep.collection import Condemned, Verdict

_OUTCOME = re.compile(r"attempts/([^/]+)/outcome\.json\Z")
_CONDEMNED = re.compile(r"gc/condemned/([^/]+)\.json\Z")
_VERDICT = re.compile(r"gc/([^/]+)/verdict\.json\Z")


class Violation(AssertionError):  # noqa: N818 - it is one, and tests say "finds a violation"
    """An invariant does not hold."""


def check_past(store: ModelStore) -> None:
    """I4, I5, I7: whatever was deleted might be deleted when it was."""
    for fault in deletion_faults(store):
        raise Violation(fault)


def deletion_faults(store: ModelStore) -> Iterator[str]:
    """Yield what breaks I4, I5 or I7, in the order in which it happened."""
    past = _Past(store)
    for change in store.log:
        yield from past.add(change)


class _Past:
    """The changes so far. A batch is a word; `left` are keys that it sweeps and that were there ever since."""

    def __init__(self, store: ModelStore) -> None:
        self._history = store.history
        self._there: set[str] = set()
        self._condemned: dict[str, bytes] = {}
        self._left: dict[str, set[str]] = {}
        self._swept: set[str] = set()
        self._over: set[str] = set()

    def add(self, change: Change) -> Iterator[str]:
        """Take one more change, and yield what is wrong with it."""
        key = change.key
        if kind_of(key) is Kind.OBJECT:
            yield from self._object(change)
        elif match := _CONDEMNED.match(key):
            yield from self._record(match[1], change)
        elif match := _VERDICT.match(key):
            yield from self._verdict(match[1], change)
        elif change.written and (match := _OUTCOME.match(key)):
            yield from self._outcome(AttemptId(match[1]), key)

    def _object(self, change: Change) -> Iterator[str]:
        if change.written:
            self._there.add(change.key)
            return
        self._there.discard(change.key)
        for left in self._left.values():
            left.discard(change.key)
        if change.key not in self._swept:
            yield f"I4: {change.key} was deleted, but no durable verdict on a durable condemned record sweeps it"

    def _record(self, batch: str, change: Change) -> Iterator[str]:
        if change.written:
            self._condemned[batch] = self._history[change.key]
        elif batch not in self._left:
            yield f"I5: {change.key} was removed before there was a verdict"
        elif self._left[batch]:
            yield f"I5: {change.key} was removed, but {min(self._left[batch])} is not deleted yet"
        else:
            self._over.add(batch)

    def _verdict(self, batch: str, change: Change) -> Iterator[str]:
        if batch in self._over:
            return  # it may be cleared away; and one that is written late by its owner decides nothing any more
        if not change.written:
            yield f"I5: {change.key} was deleted before its batch was over"
            return
        verdict = Verdict.decode(change.body, change.key)
        body = self._condemned.get(batch)
        if verdict.decision == "sweep" and (body is None or sha256(body) != verdict.condemned_sha256):
            yield f"I4: {change.key} is not about a condemned record that was durable before it"
        swept = set[str]()
        if body is not None:
            swept.update(found.key for found in verdict.sweeps(Condemned.decode(body, change.key)))
        self._swept |= swept
        self._left[batch] = swept & self._there

    def _outcome(self, attempt: AttemptId, key: str) -> Iterator[str]:
        if Outcome.decode(self._history[key], key).decision != "sealed":
            return
        refs_at = refs_key(attempt)
        if refs_at not in self._history:
            return  # I8 says so
        used = {stored.key for stored in Refs.decode(self._history[refs_at], refs_at).objects.values()}
        for dead in sorted(used & self._swept):
            yield f"I7: {attempt} is sealed with {dead}, which a verdict swept before"
