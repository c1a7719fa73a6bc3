"""Delivery of sealed runs: one line per registry, at least once, begun in order of due time.

Everything that must survive is in the journal: the queue, and each attempt's identity before it writes anything. A
crash anywhere leaves a delivery that is queued, and an attempt that the next try resumes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sealrun.domain.errors import ConflictError, SealrunError
from sealrun.domain.registry.retrying import Response, next_delay, plan_response
from sealrun.domain.runs.sealed import SealedRun
from sealrun.ports import Delivery
from sealrun.services.delivery.availability import Availability
from sealrun.services.delivery.door import Door
from sealrun.services.delivery.hands import Hands
from sealrun.services.delivery.meters import DeliveryMeters
from sealrun.services.delivery.parts import (
    LONGEST_S,
    InterruptedDeliveryError,
    LineParts,
    Publishing,
    Taken,
    alone_with,
    begin,
    claim_due,
    note_published,
    reason_of,
    subject_of,
)
from sealrun.services.delivery.pausing import Hold
from sealrun.services.delivery.resettling import settle_again
from sealrun.services.delivery.travelling import Travels

_log = logging.getLogger("sealrun.delivery")

POLL_S = 5.0
"""How soon a line notices what another process queued or released."""
_MANY_CONFLICTS = 3
_WHOLE_LINE = {Response.WAIT, Response.MAKE_ROOM, Response.MEND_ACCESS}


class DeliveryLine:
    """Delivers to one registry. One thread calls `step`, `run_once` and `close`; the rest may come from any.

    Up to `width` deliveries are in flight at once. They begin in order of due time; those of one folder, or of one run
    id, run one after the other, and so do large runs. A registry that is not known to be well gets one at a time.
    """

    def __init__(
        self,
        registry: str,
        open_publishing: Callable[[], Publishing],
        parts: LineParts,
        *,
        width: int = 1,
        hold: Hold | None = None,
    ) -> None:
        """Deliver to `registry` (its name in the settings), opened when first needed, unless a pause holds it."""
        self.registry = registry
        self._door = Door(registry, open_publishing)
        self._parts = parts
        self._journal = parts.journal
        self._clock = parts.clock
        self._width = width
        self._hold = hold
        self.tried = False
        self._travels = parts.travels or Travels(parts.clock)
        self._meters = DeliveryMeters(parts.meters, registry, parts.clock, parts.accepted)
        self._availability = Availability(registry, parts.journal, parts.clock, parts.entropy)
        self.woken = threading.Event()
        self.pulse = parts.works.pulse()
        self._hands = Hands(f"sealrun-delivery-{registry}", self.woken.set)
        self._stopping, self._recover, self._compact = (threading.Event() for _ in range(3))
        self._recover.set()

    def wake(self) -> None:
        """Something was queued: look at once."""
        self.woken.set()

    def ask_to_recover(self) -> None:
        """Look for wrecked attempts now, or when what the line's thread does is done."""
        self._recover.set()
        self.woken.set()

    def ask_to_compact(self) -> None:
        """Shorten the index now, or when what the line's thread does is done."""
        self._compact.set()
        self.woken.set()

    def stop(self) -> None:
        """Take no new delivery, and interrupt those in flight before their next upload; they are resumed later."""
        self._stopping.set()

    def step(self) -> float:
        """Do one piece of due work, or begin it; return how many seconds to wait at most before the next step.

        What a delivery in flight could not write down in the journal is raised by a later step.
        """
        if self._width == 1:
            return 0.0 if self.run_once() else self._pause_s()
        self._hands.raise_failure()
        if not (self._hands.has_room(self._width) and self._availability.may_begin()):
            return POLL_S  # whatever ends wakes us
        if (taken := self._take()) is None:
            return self._pause_s()
        self._hands.give(taken.alone_with, lambda: self._deliver_and_leave(taken))
        return 0.0

    def run_once(self) -> bool:
        """Bring one due delivery to its end, its next try or its parking place; False if there was none.

        No error of the registry or of the run is raised; it is written down. Errors of the journal are raised.
        """
        if (taken := self._take()) is None:
            return False
        self._deliver_and_leave(taken)
        return True

    def close(self) -> None:
        """Wait for what is in flight, and close the registry. Harmless twice."""
        self._hands.finish()
        self._door.shut()

    def _held_s(self) -> float:
        return self._availability.held_s() or (0.0 if self._hold is None else self._hold.left_s())

    def _pause_s(self) -> float:
        if (held := self._held_s()) > 0:
            return min(POLL_S, held)
        self._parts.on_pause()
        due = self._journal.deliveries.next_due(self.registry)
        return POLL_S if due is None else max(0.0, min(POLL_S, due - self._clock.now().timestamp()))

    def _take(self) -> Taken | None:
        """Do the chores and claim what is due, in a registry that is open; None if there is nothing to deliver."""
        turn = self._availability.turn
        if self._stopping.is_set() or self._held_s() > 0:
            self.tried = True
            return None
        publishing = self._opened(turn)
        self.tried = True
        if publishing is None:
            return None
        delivery: Delivery | None = None
        try:
            delivery = (
                claim_due(self._journal, self._clock, self.registry) if self._do_chores(publishing, turn) else None
            )
        finally:
            if delivery is None:
                self._door.leave(publishing)
        if delivery is not None:
            self._availability.began(turn)
            alone = alone_with(self._parts.find, delivery.sealed)
            return Taken(delivery=delivery, publishing=publishing, turn=turn, alone_with=alone)
        if not self._availability.is_up and self._journal.deliveries.next_due(self.registry) is None:
            self._availability.worked(turn)
        return None

    def _opened(self, turn: int) -> Publishing | None:
        """The registry, opened if need be; None if it cannot be, and then the next due delivery says why."""
        try:
            return self._door.enter()
        except Exception as error:  # noqa: BLE001 - every error is answered, unexpected ones with a traceback
            delay = self._fail_line(error, turn)
            if (delivery := claim_due(self._journal, self._clock, self.registry)) is not None:
                due = self._clock.now().timestamp() + delay
                self._journal.deliveries.postpone(delivery.id, due, reason_of(error))
                self._meters.failed(parked=False)
            return None

    def _do_chores(self, publishing: Publishing, turn: int) -> bool:
        """Recover and compact when asked to; False if the registry failed meanwhile. Deliveries outrank the rest."""
        for wanted, work in ((self._recover, publishing.recover), (self._compact, publishing.compact)):
            if not wanted.is_set():
                continue
            wanted.clear()
            try:
                work()
            except ConflictError as error:
                _log.info("%s: somebody else was faster: %s", self.registry, error)
            except Exception as error:  # noqa: BLE001 - every error is answered, unexpected ones with a traceback
                if plan_response(error) in _WHOLE_LINE:
                    wanted.set()
                    self._fail_line(error, turn)
                    return False
                self._log("upkeep failed", error)
        return True

    def _deliver_and_leave(self, taken: Taken) -> None:
        try:
            with self._parts.works.under_way(f"delivery-{self.registry}", self.pulse):
                self._deliver(taken)
        finally:
            self._availability.ended(taken.turn)
            self._door.leave(taken.publishing)

    def _deliver(self, taken: Taken) -> None:
        """Bring a claimed delivery to its end; may run in any thread, beside others."""
        delivery, run = taken.delivery, None
        try:
            self._stop_here()
            at_hand = self._parts.find(delivery.sealed)
            run = at_hand.run
            registry_id, entropy = taken.publishing.registry_id, self._parts.entropy
            ticket, ahead = begin(delivery, at_hand, registry_id, self._journal, self._clock, entropy)
            with self._travels.trip(self.registry, run) as trip:
                if ahead is not None:
                    ahead.tell(trip.advance)
                # The bytes are asked for one file after the other, which makes each of them a place to stop.
                sources = trip.counting(at_hand.sources, self._stop_here)
                published = taken.publishing.publish(run, ticket, sources, at_hand.packs, ahead)
            self._journal.deliveries.finish(delivery.id, published)
        except Exception as error:  # noqa: BLE001 - every error is answered, unexpected ones with a traceback
            self._answer(taken, run, error)
            return
        self._availability.worked(taken.turn)
        self._meters.ended(delivery, published)
        note_published(self._journal.events, self.registry, delivery, published)

    def _stop_here(self) -> None:
        if self._stopping.is_set():
            raise InterruptedDeliveryError("interrupted between two uploads by a stop or a reload; it is resumed")

    def _answer(self, taken: Taken, run: SealedRun | None, error: Exception) -> None:
        """Write down what becomes of a delivery that failed."""
        try:
            self._answer_by_class(taken, run, error)
        except Exception:
            # Ends the claim even where the journal cannot write: nothing stays claimed by a thread that gave up.
            self._journal.deliveries.postpone(taken.delivery.id, taken.delivery.due, reason_of(error))
            raise

    def _answer_by_class(self, taken: Taken, run: SealedRun | None, error: Exception) -> None:
        delivery = taken.delivery
        deliveries, reason, response = self._journal.deliveries, reason_of(error), plan_response(error)
        now = self._clock.now().timestamp()
        if isinstance(error, InterruptedDeliveryError):
            deliveries.postpone(delivery.id, now, reason)
            return
        self._meters.failed(parked=response in {Response.SETTLE_AGAIN, Response.PARK})
        if response is Response.NEW_ATTEMPT:
            pause = 0.0 if delivery.tries < _MANY_CONFLICTS else self._jittered(delivery.tries)
            deliveries.postpone(delivery.id, now + pause, reason, new_attempt=True)
            _log.info("%s: %s", self.registry, reason)
            return
        parked = response in {Response.SETTLE_AGAIN, Response.PARK}
        if response in _WHOLE_LINE:
            delay = self._fail_line(error, taken.turn)
            due = now + (LONGEST_S if response is Response.MAKE_ROOM else delay)
            deliveries.postpone(delivery.id, due, reason)
        elif parked:
            reason = self._settle_again(delivery, run, reason) if response is Response.SETTLE_AGAIN else reason
            deliveries.park(delivery.id, reason)
        else:
            deliveries.postpone(delivery.id, now + self._jittered(delivery.tries + 1), reason)
            self._door.shut(taken.publishing)
        if response not in _WHOLE_LINE:
            self._log(f"{subject_of(delivery, run)} not published", error)
        if reason != delivery.error:
            facts = {"tries": delivery.tries + 1, "reason": reason, "parked": parked}
            self._record("run.delivery_failed", subject_of(delivery, run), **facts)

    def _settle_again(self, delivery: Delivery, run: SealedRun | None, why: str) -> str:
        if run is None:
            return why
        there, clock = self._parts.is_there(run), self._clock
        verdict = settle_again(self._journal, run, delivery.sealed, why, is_there=there, clock=clock)
        if verdict.again:
            self._parts.on_settle_again(run.folder)
        return verdict.reason

    def _fail_line(self, error: Exception, turn: int) -> float:
        """Leave the registry alone for a while; return how many seconds. What failed in one `turn` is one outage."""
        if turn != self._availability.turn:
            return max(1.0, self._availability.held_s())
        self._door.shut()  # opened again it is looked at again: it may be another one, or take other credentials
        response = plan_response(error)
        if response is Response.TRY_AGAIN:
            self._log("cannot be opened", error)
            response = Response.WAIT
        elif response not in _WHOLE_LINE:
            response = Response.MEND_ACCESS
        return self._availability.failed(response, reason_of(error), turn)

    def _jittered(self, failures: int) -> float:
        return next_delay(failures, self._parts.entropy.uniform(0.0, 1.0))

    def _record(self, kind: str, subject: str, **fields: object) -> None:
        self._journal.events.record(kind, subject, registry=self.registry, **fields)

    def _log(self, what: str, error: Exception) -> None:
        if isinstance(error, SealrunError):
            _log.warning("%s: %s: %s", self.registry, what, reason_of(error))
        else:
            _log.error("%s: %s", self.registry, what, exc_info=error)
