"""Delivery of one run while somebody waits for it: what a command does, where a daemon has a line."""

from __future__ import annotations

from collections.abc import Callable

from sealrun.domain.errors import SealrunError
from sealrun.domain.registry.retrying import CAP_S, Response, plan_response
from sealrun.ports import Clock, Delivery, Entropy, Journal
from sealrun.services.delivery.meters import DeliveryMeters
from sealrun.services.delivery.parts import AtHand, Publishing, begin

_ATTEMPTS = 5


def deliver_now(
    claimed: Delivery,
    journal: Journal,
    open_publishing: Callable[[], Publishing],
    at_hand: AtHand,
    clock: Clock,
    entropy: Entropy,
    meters: DeliveryMeters | None = None,
) -> SealrunError | None:
    """Try a claimed delivery to its end: None if the run is there, else what was in the way.

    The claim is over on return. What failed stays queued for a daemon or the next command, unless trying again cannot
    help; a void attempt is followed by a new one at once, a few times. `meters` count each try.
    """
    deliveries = journal.deliveries
    for left in range(_ATTEMPTS - 1, -1, -1):
        try:
            publishing = open_publishing()
            ticket, ahead = begin(claimed, at_hand, publishing.registry_id, journal, clock, entropy)
            published = publishing.publish(at_hand.run, ticket, at_hand.sources, at_hand.packs, ahead)
            deliveries.finish(claimed.id, published)
        except SealrunError as error:
            now, response = clock.now().timestamp(), plan_response(error)
            if meters is not None:
                meters.failed(parked=response in {Response.SETTLE_AGAIN, Response.PARK})
            if response is Response.NEW_ATTEMPT:
                deliveries.postpone(claimed.id, now, str(error), new_attempt=True)
                again = deliveries.claim(claimed.registry, now, claimed.sealed) if left else None
                if again is not None:
                    claimed = again
                    continue
            elif response in {Response.SETTLE_AGAIN, Response.PARK}:
                deliveries.park(claimed.id, str(error))
            else:
                deliveries.postpone(claimed.id, now + min(CAP_S, 1.0), str(error))
            return error
        except BaseException:
            deliveries.postpone(claimed.id, clock.now().timestamp(), "interrupted; it is resumed")
            raise
        else:
            if meters is not None:
                meters.ended(claimed, published)
            journal.events.record("run.published", published.ref, registry=claimed.registry, attempt=published.attempt)
            return None
    return None
