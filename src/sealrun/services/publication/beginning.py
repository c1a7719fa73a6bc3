"""How attempts begin and are given up: their identity, and the record that says that they sealed nothing."""

from __future__ import annotations

from sealrun.domain.address import AttemptId, attempt_id, outcome_key
from sealrun.domain.moments import rfc3339
from sealrun.domain.registry.publication import AttemptTicket, Outcome
from sealrun.ports import Clock, Entropy
from sealrun.services.storage.certainty import Certainty


def new_ticket(clock: Clock, entropy: Entropy, owner: str) -> AttemptTicket:
    """Make the identity of an attempt of the state folder `owner`, which nobody has heard of."""
    now = clock.now()
    return AttemptTicket(
        attempt=attempt_id(now.strftime("%Y%m%dT%H%M%SZ"), entropy.hex(16)),
        nonce=entropy.hex(32),
        created_at=rfc3339(now),
        owner=owner,
        fresh=True,
    )


def declare_void(certainty: Certainty, clock: Clock, attempt: AttemptId, nonce: str, *, by: str, why: str) -> Outcome:
    """Decide that an attempt seals nothing; return the outcome that stands, which may be another. Harmless to repeat.

    From then on a collector takes what the attempt uploaded, once the grace time is over.
    """
    void = Outcome(attempt=attempt, nonce=nonce, decision="void", decided_at=rfc3339(clock.now()), by=by, why=why)
    key = outcome_key(attempt)
    return Outcome.decode(certainty.create(key, void.encode()), key)
