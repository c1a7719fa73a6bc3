"""How a registry stands: left alone for a while after it failed, and written down for people when that changes."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Literal

import msgspec

from sealrun.domain.errors import SealrunError
from sealrun.domain.ready import ready
from sealrun.domain.registry.retrying import CAP_S, Response, next_delay, plan_response
from sealrun.ports import Clock, Entropy, Facts, Journal

_log = logging.getLogger("sealrun.delivery")

State = Literal["up", "down", "full", "refused"]
_STATES: dict[Response, State] = {Response.MAKE_ROOM: "full", Response.MEND_ACCESS: "refused"}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a registry stands, for people. `since` is POSIX seconds; `reason` is empty when it is up."""

    state: State
    reason: str
    since: float


_OF_THE_REGISTRY = {Response.WAIT, Response.MAKE_ROOM, Response.MEND_ACCESS}
_UNTRIED = Standing(state="up", reason="", since=0.0)


def read_standing(facts: Facts, registry: str) -> Standing | None:
    """How a registry stood when a daemon last noticed a difference; None if none ever did."""
    fact = facts.fact(_standing_fact(registry))
    return None if fact is None else msgspec.convert(fact, ready(Standing))


def release_deliveries(journal: Journal, clock: Clock, registry: str | None = None) -> int:
    """Queue what is parked and postponed again, and have the daemon of any process try at once; return how many."""
    count = journal.deliveries.release(registry)
    journal.facts.set_fact(_release_fact(registry), clock.now().timestamp())
    return count


class Availability:
    """Of one registry, as one line sees it. Any thread. What it holds in memory can be lost at any time."""

    def __init__(self, registry: str, journal: Journal, clock: Clock, entropy: Entropy) -> None:
        """Take the registry as it was last seen, and try it at once."""
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.RLock()
        self._turn = 0
        self._inside: Counter[int] = Counter()
        self._failures = 0
        self._not_before = -1.0
        self._released = self._last_release()
        self._standing = read_standing(journal.facts, registry) or _UNTRIED

    @property
    def turn(self) -> int:
        """Which stretch of time this is: a failure ends it. Whoever tries something says in which it began."""
        return self._turn

    @property
    def is_up(self) -> bool:
        """Whether the last news were good."""
        return self._standing.state == "up"

    def may_begin(self) -> bool:
        """Tell whether one more may be tried: any number where all is well, else one in each turn."""
        with self._lock:
            return self.is_up or not self._inside[self._turn]

    def began(self, turn: int) -> None:
        """A delivery is tried."""
        with self._lock:
            self._inside[turn] += 1

    def ended(self, turn: int) -> None:
        """A delivery that was tried is over, one way or the other."""
        with self._lock:
            self._inside[turn] -= 1
            self._inside = +self._inside

    def held_s(self) -> float:
        """How long the registry is still to be left alone. A release by an operator, in any process, ends that."""
        with self._lock:
            left = self._not_before - self._clock.monotonic()
            if left <= 0:
                return 0.0
            released = self._last_release()
            if released != self._released:
                self._released, self._not_before, self._failures = released, -1.0, 0
                return 0.0
            return left

    def failed(self, response: Response, reason: str, turn: int) -> float:
        """Leave the registry alone for a while, so that not every delivery burns a try; return how many seconds.

        What began in an earlier turn failed in an outage that is known already, and changes nothing.
        """
        with self._lock:
            if turn != self._turn:
                return max(0.0, self._not_before - self._clock.monotonic())
            self._turn += 1
            self._failures += 1
            refused = response is Response.MEND_ACCESS
            delay = CAP_S if refused else next_delay(self._failures, self._entropy.uniform(0.0, 1.0))
            self._released = self._last_release()
            self._not_before = self._clock.monotonic() + delay
            self._note(_STATES.get(response, "down"), reason)
            return delay

    def worked(self, turn: int) -> None:
        """The registry did what it is there for; that is old news if it failed since."""
        with self._lock:
            if turn != self._turn:
                return
            self._failures, self._not_before = 0, -1.0
            self._note("up", "")

    def _last_release(self) -> tuple[object, object]:
        facts = self._journal.facts
        return facts.fact(_release_fact(None)), facts.fact(_release_fact(self._registry))

    def _note(self, state: State, reason: str) -> None:
        self._standing = _note(self._journal, self._clock, self._registry, self._standing, state, reason)


def note_outcome(journal: Journal, clock: Clock, registry: str, error: SealrunError | None) -> None:
    """Note how a registry stands by what became of one delivery, where no daemon has a line to it."""
    before = read_standing(journal.facts, registry) or _UNTRIED
    response = None if error is None else plan_response(error)
    if response is None:
        _note(journal, clock, registry, before, "up", "")
    elif response in _OF_THE_REGISTRY:
        _note(journal, clock, registry, before, _STATES.get(response, "down"), str(error))


def _note(journal: Journal, clock: Clock, registry: str, before: Standing, state: State, reason: str) -> Standing:
    """Write down how a registry stands, if that is news; an event tells of another state only."""
    if (state, reason) == (before.state, before.reason):
        return before
    since = before.since if state == before.state else clock.now().timestamp()
    standing = Standing(state=state, reason=reason, since=since)
    journal.facts.set_fact(_standing_fact(registry), msgspec.to_builtins(standing))
    if state != before.state:
        journal.events.record(f"registry.{state}", registry, registry=registry, reason=reason)
        if state == "up":
            _log.info("%s: works again (it was %s)", registry, before.state)
        else:
            _log.warning("%s: %s: %s", registry, state, reason)
    return standing


def _standing_fact(registry: str) -> str:
    return f"standing:{registry}"


def _release_fact(registry: str | None) -> str:
    return "released" if registry is None else f"released:{registry}"
