"""A run is sealed again by a new attempt, which takes the place of the old one: what repairs and repacking share.

::

    new attempt ─ pointers and names ─ retire the old attempt ─ drop its row

A crash after the new attempt's outcome leaves two attempts that hold the run, which is harmless; whoever wanted the old
one replaced finds the new one, and does what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sealrun.domain.address import AttemptId, RunId, intent_key, retired_key
from sealrun.domain.moments import rfc3339
from sealrun.domain.registry.indexing import Dropped
from sealrun.domain.registry.pointing import PointerName
from sealrun.domain.registry.publication import AttemptTicket, Retired
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.index.indexing import Index
from sealrun.services.index.moving import PointerMover
from sealrun.services.index.pointers import Pointers
from sealrun.services.publication.beginning import declare_void, new_ticket
from sealrun.services.storage.certainty import Certainty


class Succession:
    """Lets one attempt take the place of another that holds the same run. Every step is harmless to repeat."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, owner: str, by: str) -> None:
        """Act as state folder `owner`; `by` is told to whoever asks who moved a pointer, or retired an attempt."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._owner = owner
        self._by = by
        self._certainty = Certainty(store, clock, entropy)
        self._pointers = Pointers(store, clock, entropy, by)
        self._mover = PointerMover(store, clock, entropy, owner, by)

    def ticket(self) -> AttemptTicket:
        """Make the identity of a new attempt."""
        return new_ticket(self._clock, self._entropy, self._owner)

    def give_up(self, ticket: AttemptTicket, why: str) -> None:
        """End an attempt that failed for good. If it was sealed before, that stands, and recovery announces it."""
        if self._certainty.read(intent_key(ticket.attempt)) is None:
            return
        stands = declare_void(self._certainty, self._clock, ticket.attempt, ticket.nonce, by=self._owner, why=why)
        if stands.decision == "void":
            self._store.discard(intent_key(ticket.attempt))

    def move(self, pointers: Iterable[PointerName], old: AttemptId, new: AttemptId, why: str) -> Iterator[str]:
        """Lead every one of `pointers` that stands on `old` to `new`, which holds the same run; yield their labels."""
        for pointer in pointers:
            if self._mover.follow(pointer, old, new, why) is not None:
                yield pointer.label

    def show(self, pointers: Iterable[PointerName], attempt: AttemptId) -> None:
        """Write the copies of those that stand on `attempt` again: whoever moved them may have died just before."""
        for pointer in pointers:
            seen = self._pointers.newest(pointer)
            if seen is not None and seen.target.attempt == attempt:
                self._pointers.propose(pointer, seen.target, seen.why)

    def retire(self, experiment: str, run_id: RunId, old: AttemptId, why: str) -> Retired:
        """Take an attempt out of the live set, with its row; return the record that stands, be it somebody else's.

        It must be announced to the end: an intent that is left would bring it back.
        """
        key = retired_key(old)
        proposed = Retired(attempt=old, retired_at=self._stamp(), by=self._by, why=why)
        standing = Retired.decode(self._certainty.create(key, proposed.encode()), key)
        Index(self._store, self._clock, self._entropy, experiment).drop(
            Dropped(experiment=experiment, run_id=run_id, attempt=old, retired_at=standing.retired_at, by=self._owner)
        )
        return standing

    def _stamp(self) -> str:
        return rfc3339(self._clock.now())
