"""Delivery of sealed runs: one line per registry, at least once, in order of due time.

Everything that must survive is in the journal: the queue, and each attempt's identity before it writes anything. A
crash anywhere leaves a delivery that is queued, and an attempt that the next try resumes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sealrun.domain.address import attempt_id
from sealrun.domain.errors import ConflictError, SealrunError
from sealrun.domain.manifest import Entry
from sealrun.domain.publication import AttemptTicket
from sealrun.domain.retrying import CAP_S, Response, next_delay, plan_response
from sealrun.domain.sealed import SealedRun
from sealrun.ports import Clock, Delivery, Entropy, Journal, Source
from sealrun.services.availability import Availability
from sealrun.services.delivery_parts import InterruptedDeliveryError, LineParts, Publishing, Sources
from sealrun.services.resettling import settle_again

_log = logging.getLogger("sealrun.delivery")

LONGEST_S = CAP_S
"""No delivery is postponed by more than this; a later due time means that the clock was set back."""
POLL_S = 5.0
"""How soon a line notices what another process queued or released."""
_MANY_CONFLICTS = 3
_WHOLE_LINE = {Response.WAIT, Response.MAKE_ROOM, Response.MEND_ACCESS}


class DeliveryLine:
    """Delivers to one registry. One thread calls `step`, `run_once` and `close`; the rest may come from any."""

    def __init__(self, registry: str, open_publishing: Callable[[], Publishing], parts: LineParts) -> None:
        """Deliver to `registry` (its name in the settings), which is opened when it is first needed."""
        self.registry = registry
        self._open = open_publishing
        self._parts = parts
        self._journal = parts.journal
        self._clock = parts.clock
        self._availability = Availability(registry, parts.journal, parts.clock, parts.entropy)
        self._publishing: Publishing | None = None
        self.woken = threading.Event()
        self._stopping = threading.Event()
        self._recover, self._compact = threading.Event(), threading.Event()
        self._recover.set()

    def wake(self) -> None:
        """Something was queued: look at once."""
        self.woken.set()

    def ask_to_recover(self) -> None:
        """Look for wrecked attempts now, or when the delivery in flight is done."""
        self._recover.set()
        self.woken.set()

    def ask_to_compact(self) -> None:
        """Shorten the index now, or when the delivery in flight is done."""
        self._compact.set()
        self.woken.set()

    def stop(self) -> None:
        """Take no new delivery, and interrupt the one in flight before its next upload; it is resumed later."""
        self._stopping.set()

    def step(self) -> float:
        """Do one piece of due work; return how many seconds to wait at most before the next step."""
        return 0.0 if self.run_once() else self._pause_s()

    def run_once(self) -> bool:
        """Bring one due delivery to its end, its next try or its parking place; False if there was none.

        No error of the registry or of the run is raised; it is written down. Errors of the journal are raised.
        """
        if self._stopping.is_set() or self._availability.held_s() > 0:
            return False
        publishing = self._opened()
        if publishing is None or not self._do_chores(publishing):
            return False
        delivery = self._claim()
        if delivery is None:
            if not self._availability.is_up and self._journal.deliveries.next_due(self.registry) is None:
                self._availability.worked()
            return False
        self._deliver(delivery, publishing)
        return True

    def close(self) -> None:
        """Close the registry. Harmless twice."""
        publishing, self._publishing = self._publishing, None
        if publishing is None:
            return
        try:
            publishing.close()
        except SealrunError as error:
            _log.warning("%s: not closed properly: %s", self.registry, error)

    def _pause_s(self) -> float:
        held = self._availability.held_s()
        if held > 0:
            return min(POLL_S, held)
        due = self._journal.deliveries.next_due(self.registry)
        return POLL_S if due is None else max(0.0, min(POLL_S, due - self._clock.now().timestamp()))

    def _opened(self) -> Publishing | None:
        """The registry, opened if need be; None if it cannot be, and then the next due delivery says why."""
        if self._publishing is None:
            try:
                self._publishing = self._open()
            except Exception as error:  # noqa: BLE001 - every error is answered, unexpected ones with a traceback
                delay = self._fail_line(error)
                delivery = self._claim()
                if delivery is not None:
                    due = self._clock.now().timestamp() + delay
                    self._journal.deliveries.postpone(delivery.id, due, _reason(error))
        return self._publishing

    def _do_chores(self, publishing: Publishing) -> bool:
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
                    self._fail_line(error)
                    return False
                self._log("upkeep failed", error)
        return True

    def _claim(self) -> Delivery | None:
        now = self._clock.now().timestamp()
        delivery = self._journal.deliveries.claim(self.registry, now)
        if delivery is None:
            due = self._journal.deliveries.next_due(self.registry)
            if due is not None and due > now + LONGEST_S:
                return self._journal.deliveries.claim(self.registry, due)
        return delivery

    def _deliver(self, delivery: Delivery, publishing: Publishing) -> None:
        run: SealedRun | None = None
        try:
            run = self._journal.deliveries.run(delivery.sealed)
            ticket = ticket_of(delivery, self._journal, self._clock, self._parts.entropy)
            published = publishing.publish(run, ticket, self._sources(delivery.sealed, run))
            self._journal.deliveries.finish(delivery.id, published)
        except Exception as error:  # noqa: BLE001 - every error is answered, unexpected ones with a traceback
            self._answer(delivery, run, error)
            return
        self._availability.worked()
        self._record(
            "run.stays_retired" if published.retired else "run.published",
            published.ref,
            attempt=published.attempt,
            new=published.new,
            tries=delivery.tries + 1,
            uploaded_bytes=published.uploaded_bytes,
        )
        what = "published" if published.new else "was there already"
        if published.retired:
            what = f"was retired there and is not published again (to bring it back: sealrun undo {published.ref})"
        _log.info("%s: %s %s (%d new objects)", self.registry, published.ref, what, published.uploaded_objects)

    def _sources(self, sealed: int, run: SealedRun) -> Sources:
        """Where the bytes are; asked for one file after the other, which makes each of them a place to stop."""
        inner = self._parts.staged_sources(self.registry, sealed) or self._parts.folder_sources(run)

        def source(entry: Entry) -> Source:
            if self._stopping.is_set():
                raise InterruptedDeliveryError("interrupted between two uploads by a stop or a reload; it is resumed")
            return inner(entry)

        return source

    def _answer(self, delivery: Delivery, run: SealedRun | None, error: Exception) -> None:
        """Write down what becomes of a delivery that failed."""
        try:
            self._answer_by_class(delivery, run, error)
        except Exception:
            # Ends the claim even where the journal cannot write: nothing stays claimed by a thread that gave up.
            self._journal.deliveries.postpone(delivery.id, delivery.due, _reason(error))
            raise

    def _answer_by_class(self, delivery: Delivery, run: SealedRun | None, error: Exception) -> None:
        deliveries, reason, response = self._journal.deliveries, _reason(error), plan_response(error)
        now = self._clock.now().timestamp()
        if isinstance(error, InterruptedDeliveryError):
            deliveries.postpone(delivery.id, now, reason)
            return
        if response is Response.NEW_ATTEMPT:
            pause = 0.0 if delivery.tries < _MANY_CONFLICTS else self._jittered(delivery.tries)
            deliveries.postpone(delivery.id, now + pause, reason, new_attempt=True)
            _log.info("%s: %s", self.registry, reason)
            return
        parked = response in {Response.SETTLE_AGAIN, Response.PARK}
        if response in _WHOLE_LINE:
            delay = self._fail_line(error)
            due = now + (LONGEST_S if response is Response.MAKE_ROOM else delay)
            deliveries.postpone(delivery.id, due, reason)
        elif parked:
            reason = self._settle_again(delivery, run, reason) if response is Response.SETTLE_AGAIN else reason
            deliveries.park(delivery.id, reason)
        else:
            deliveries.postpone(delivery.id, now + self._jittered(delivery.tries + 1), reason)
            self.close()
        if response not in _WHOLE_LINE:
            self._log(f"{_subject(delivery, run)} not published", error)
        if reason != delivery.error:
            subject = _subject(delivery, run)
            self._record("run.delivery_failed", subject, tries=delivery.tries + 1, reason=reason, parked=parked)

    def _settle_again(self, delivery: Delivery, run: SealedRun | None, why: str) -> str:
        if run is None:
            return why
        there = self._parts.is_there(run)
        verdict = settle_again(self._journal, run, delivery.sealed, why, is_there=there, clock=self._clock)
        if verdict.again:
            self._parts.on_settle_again(run.folder)
        return verdict.reason

    def _fail_line(self, error: Exception) -> float:
        """Leave the registry alone for a while; return how many seconds. What is unexpected counts as an outage."""
        self.close()  # opened again it is looked at again: it may be another one, or take other credentials
        response = plan_response(error)
        if response is Response.TRY_AGAIN:
            self._log("cannot be opened", error)
            response = Response.WAIT
        elif response not in _WHOLE_LINE:
            response = Response.MEND_ACCESS
        return self._availability.failed(response, _reason(error))

    def _jittered(self, failures: int) -> float:
        return next_delay(failures, self._parts.entropy.uniform(0.0, 1.0))

    def _record(self, kind: str, subject: str, **fields: object) -> None:
        self._journal.events.record(kind, subject, registry=self.registry, **fields)

    def _log(self, what: str, error: Exception) -> None:
        if isinstance(error, SealrunError):
            _log.warning("%s: %s: %s", self.registry, what, _reason(error))
        else:
            _log.error("%s: %s", self.registry, what, exc_info=error)


def ticket_of(delivery: Delivery, journal: Journal, clock: Clock, entropy: Entropy) -> AttemptTicket:
    """The attempt that was begun, or a new one, durable before anything is written under its name."""
    owner = journal.state_id
    if delivery.attempt and delivery.nonce and delivery.attempt_created_at:
        return AttemptTicket(
            attempt=delivery.attempt, nonce=delivery.nonce, created_at=delivery.attempt_created_at, owner=owner
        )
    now = clock.now()
    ticket = AttemptTicket(
        attempt=attempt_id(now.strftime("%Y%m%dT%H%M%SZ"), entropy.hex(16)),
        nonce=entropy.hex(32),
        created_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        owner=owner,
    )
    journal.deliveries.begin(delivery.id, ticket.attempt, ticket.nonce, ticket.created_at)
    return ticket


def _reason(error: Exception) -> str:
    """One line. The text of an unexpected error may hold anything, so only its class goes into the journal."""
    if isinstance(error, SealrunError):
        return " ".join(str(error).split())
    return f"unexpected {type(error).__name__}; the log has the details"


def _subject(delivery: Delivery, run: SealedRun | None) -> str:
    """The reference of the run, or its number where its records cannot be read."""
    try:
        envelope = run.envelope() if run is not None else None
    except SealrunError:
        envelope = None
    return f"sealed run {delivery.sealed}" if envelope is None else f"{envelope.experiment}/{envelope.run_id}"
