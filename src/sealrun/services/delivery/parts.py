"""What a delivery line works with: an opened registry, where bytes are found, and the rest of the daemon."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from sealrun.domain.errors import SealrunError
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.registry.retrying import CAP_S
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import UNMETERED, Clock, Delivery, Entropy, Events, Journal, Meters, Source, StagedPack
from sealrun.services.delivery.meters import never
from sealrun.services.delivery.travelling import Travels
from sealrun.services.publication.beginning import new_ticket
from sealrun.services.publication.head_start import HeadStart
from sealrun.services.publication.uploading import Sent
from sealrun.services.threads.progress import Works

Sources = Callable[[Entry], Source]

LONGEST_S = CAP_S
"""No delivery is postponed by more than this; a later due time means that the clock was set back."""
_LARGE_BYTES = 4 << 20
SIDE_BY_SIDE = 16
"""Deliveries that one registry gets at once: they share its barriers, or wait for the network together."""
_log = logging.getLogger("sealrun.delivery")


class Publishing(Protocol):
    """An opened registry, as a line needs it. See `services.publication.upkeep.OpenedRegistry`."""

    @property
    def registry_id(self) -> str:
        """Which registry it is, whatever it is called here."""
        ...

    def publish(
        self,
        run: SealedRun,
        ticket: AttemptTicket,
        sources: Sources,
        staged: Sequence[StagedPack] = (),
        ahead: Sent | None = None,
    ) -> Published:
        """Publish; called again with the same ticket after any error or crash."""
        ...

    def recover(self) -> None:
        """Resume, replay or void the intents that are found in the registry. Harmless to repeat."""
        ...

    def compact(self) -> None:
        """Keep the index short. Harmless to repeat."""
        ...

    def close(self) -> None:
        """Release what was opened."""
        ...


class InterruptedDeliveryError(SealrunError):
    """The line was asked to stop between two uploads; the attempt will be resumed."""


class AtHand(msgspec.Struct, frozen=True):
    """A sealed run on its way: its records, where its bytes are, which packs wait in a stage, and what went ahead."""

    run: SealedRun
    sources: Sources
    packs: Sequence[StagedPack] = ()
    ahead: HeadStart | None = None


def _nothing_at_hand(_sealed: int) -> AtHand | None:
    return None


def _tell_nobody(_path: str) -> None:
    return None


def _do_nothing() -> None:
    return None


class LineParts(msgspec.Struct, frozen=True, kw_only=True):
    """What every line of a daemon works with.

    `folder_sources` says where a run's bytes are in its folder; `at_hand` gives what this process still has of a run
    that it sealed, by its id. `is_there`: is the run's folder still on this machine? `on_settle_again` is told the path
    of a folder that has to settle again, `on_pause` that nothing is due for a registry. `travels` hears of what is in
    flight, for people. `meters` count what becomes of deliveries, and `accepted` says when a sealed run was queued.
    """

    journal: Journal
    clock: Clock
    entropy: Entropy
    folder_sources: Callable[[SealedRun], Sources]
    is_there: Callable[[SealedRun], bool]
    at_hand: Callable[[int], AtHand | None] = _nothing_at_hand
    on_settle_again: Callable[[str], None] = _tell_nobody
    on_pause: Callable[[], None] = _do_nothing
    works: Works = msgspec.field(default_factory=Works)
    travels: Travels | None = None
    meters: Meters = UNMETERED
    accepted: Callable[[int], float | None] = never

    def find(self, sealed: int) -> AtHand:
        """Return a sealed run, from this process or from the journal and its folder; `NotFoundError` if it is gone."""
        known = self.at_hand(sealed)
        if known is None:
            run = self.journal.deliveries.run(sealed)
            known = AtHand(run, self.folder_sources(run))
        return known


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed delivery on its way into the registry it was claimed for, in one turn of its availability."""

    delivery: Delivery
    publishing: Publishing
    turn: int
    alone_with: frozenset[str]


def alone_with(find: Callable[[int], AtHand], sealed: int) -> frozenset[str]:
    """What a delivery must not share with another at the same time: its folder, its run's id, and room for large runs.

    Two of one folder arrive in the order in which they were sealed. Two large ones would fill the line and the memory.
    """
    try:
        run = find(sealed).run
        envelope = run.envelope()
    except SealrunError:
        return frozenset()  # the delivery meets the same error, and answers it
    names = {f"folder {run.folder}", f"run {envelope.experiment}/{envelope.run_id}"}
    return frozenset(names | {"large"} if envelope.size > _LARGE_BYTES else names)


def claim_due(journal: Journal, clock: Clock, registry: str) -> Delivery | None:
    """Claim the delivery that is due next, if one is, or if the clock was set back since it was postponed."""
    now = clock.now().timestamp()
    delivery = journal.deliveries.claim(registry, now)
    if delivery is None:
        due = journal.deliveries.next_due(registry)
        if due is not None and due > now + LONGEST_S:
            return journal.deliveries.claim(registry, due)
    return delivery


def note_published(events: Events, registry: str, delivery: Delivery, published: Published) -> None:
    """Tell people what became of a delivery that ended well."""
    kind = "run.stays_retired" if published.retired else "run.published"
    tries, size = delivery.tries + 1, published.uploaded_bytes
    facts = {"attempt": published.attempt, "new": published.new, "tries": tries, "uploaded_bytes": size}
    events.record(kind, published.ref, registry=registry, **facts)
    _log.info("%s: %s %s (%d new objects)", registry, published.ref, told(published), published.uploaded_objects)


def begin(
    delivery: Delivery, at_hand: AtHand, registry_id: str, journal: Journal, clock: Clock, entropy: Entropy
) -> tuple[AttemptTicket, HeadStart | None]:
    """The attempt that was begun, else that of a head start, else a new one; durable before its intent is written.

    With it what went ahead of that very attempt, if anything did.
    """
    ahead, owner = at_hand.ahead, journal.state_id
    if delivery.attempt and delivery.nonce and delivery.attempt_created_at:
        ticket = AttemptTicket(
            attempt=delivery.attempt, nonce=delivery.nonce, created_at=delivery.attempt_created_at, owner=owner
        )
    else:
        taken = None if ahead is None else ahead.take(registry_id)
        ticket = taken or new_ticket(clock, entropy, owner)
        journal.deliveries.begin(delivery.id, ticket.attempt, ticket.nonce, ticket.created_at)
    return ticket, ahead if ahead is not None and ahead.ticket.attempt == ticket.attempt else None


def reason_of(error: Exception) -> str:
    """One line. The text of an unexpected error may hold anything, so only its class goes into the journal."""
    if isinstance(error, SealrunError):
        return " ".join(str(error).split())
    return f"unexpected {type(error).__name__}; the log has the details"


def told(published: Published) -> str:
    """What became of a run that was delivered, for people."""
    if published.retired:
        return f"was retired there and is not published again (to bring it back: sealrun undo {published.ref})"
    return "published" if published.new else "was there already"


def subject_of(delivery: Delivery, run: SealedRun | None) -> str:
    """The reference of the run, or its number where its records cannot be read."""
    try:
        envelope = run.envelope() if run is not None else None
    except SealrunError:
        envelope = None
    return f"sealed run {delivery.sealed}" if envelope is None else f"{envelope.experiment}/{envelope.run_id}"
