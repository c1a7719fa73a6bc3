"""What is counted of the deliveries to one registry."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from sealrun.domain.errors import SealrunError
from sealrun.domain.oversight.metering import CONTENTS, DELIVERY_SECONDS, PARKED, PUBLISHED, RETRIED
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Clock, Delivery, Meters


def never(_sealed: int) -> float | None:
    """Know nothing of when a run was sealed."""
    return None


class DeliveryMeters:
    """Counts what becomes of deliveries. Never fails."""

    def __init__(self, meters: Meters, registry: str, clock: Clock, accepted: Callable[[int], float | None]) -> None:
        """Count into `meters`; `accepted` says when a run was sealed, in POSIX seconds."""
        self._clock = clock
        self._accepted = accepted
        self._published = meters.counter(PUBLISHED, registry=registry)
        self._seconds = meters.histogram(DELIVERY_SECONDS, registry=registry)
        self._uploaded = meters.counter(CONTENTS, registry=registry, how="uploaded")
        self._reused = meters.counter(CONTENTS, registry=registry, how="reused")
        self._parked = meters.counter(PARKED, registry=registry)
        self._retried = meters.counter(RETRIED, registry=registry)

    def ended(self, delivery: Delivery, published: Published) -> None:
        """The run stands in the registry, or stays retired there: that is no publication."""
        self._uploaded(published.uploaded_objects)
        self._reused(published.reused_objects)
        if published.retired:
            return
        self._published(1)
        began = None
        with suppress(SealrunError):  # the run is published, whatever the journal can tell of it
            began = self._accepted(delivery.sealed)
        if began is not None:
            self._seconds(max(0.0, self._clock.now().timestamp() - began))

    def failed(self, *, parked: bool) -> None:
        """A try failed: it waits for a person, or is repeated."""
        (self._parked if parked else self._retried)(1)
