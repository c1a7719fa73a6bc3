"""Tell targets what happened, each in order and at its own pace. A target that fails holds up nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from sealrun.domain.oversight.board import Severity
from sealrun.domain.oversight.notifying import (
    GIVE_UP_AFTER_S,
    TEST,
    Cursor,
    Event,
    Notice,
    headers,
    next_try,
    notice_of,
    slack_message,
    wanted,
)
from sealrun.domain.ready import ready
from sealrun.ports import Clock, Events, Facts

Post = Callable[[Mapping[str, str], bytes], str | None]
"""Posts a body with headers; returns None if it was taken, else why not."""
_AT_ONCE = 200
_TURN_S = 20.0
_JSON = "application/json; charset=utf-8"


class Channel(Protocol):
    """A way to reach somebody. It takes bounded time, and whatever is in the way is an answer, never an exception."""

    def tell(self, notices: Sequence[Notice]) -> str | None:
        """Tell of these events, oldest first, all at once; return None if they were taken, else why not."""
        ...


class NotifyTarget(msgspec.Struct, frozen=True):
    """Whom to tell: `name` stands for it in what is remembered and shown; `channel` reaches it.

    `severity`: of alarms only those that are at least so bad. `digest_s`: what happens within so long is told at once.
    """

    name: str
    on: tuple[str, ...]
    channel: Channel
    severity: Severity | None = None
    digest_s: float = 0.0


class Told(msgspec.Struct, frozen=True):
    """What became of a target's turn: how many events it took, and what was in the way."""

    name: str
    taken: int
    problem: str | None = None


class WebhookChannel:
    """`Channel` that posts each event by itself, signed if there is a secret."""

    def __init__(self, post: Post, clock: Clock, secret: str | None = None, *, slack: bool = False) -> None:
        """Post by `post`, CloudEvents or what Slack takes."""
        self._post = post
        self._clock = clock
        self._secret = secret
        self._slack = slack

    def tell(self, notices: Sequence[Notice]) -> str | None:
        """Post each, as long as they are taken; see `Channel`."""
        stamp = int(self._clock.now().timestamp())
        for notice in notices:
            if self._slack:
                body = slack_message(notice)
                said = headers(notice.id, stamp, body, self._secret, _JSON)
            else:
                body = notice.body
                said = headers(notice.id, stamp, body, self._secret)
            problem = self._post(said, body)
            if problem is not None:
                return problem
        return None


class Notifier:
    """Tells targets of the events of one journal. One at a time; what was taken is remembered event by event."""

    def __init__(self, events: Events, facts: Facts, state_id: str, clock: Clock) -> None:
        """Tell of `events`, in the name of the state folder."""
        self._events = events
        self._facts = facts
        self._state_id = state_id
        self._clock = clock

    def round(self, targets: Sequence[NotifyTarget], advance: Callable[[int], object] | None = None) -> list[Told]:
        """Give each target what it was not told yet and is due; a new one is told what happens from now on."""
        return [self._turn(target, advance or (lambda _size: None)) for target in targets]

    def test(self, target: NotifyTarget) -> str | None:
        """Send one event that says nothing happened; return None if it was taken, else why not."""
        now = self._clock.now()
        number = int(now.timestamp() * 1000)
        event = Event(number, now.timestamp(), TEST, target.name, {"message": "a test"})
        return target.channel.tell([notice_of(event, self._state_id)])

    def cursor(self, target: NotifyTarget) -> Cursor | None:
        """How far a target was told; None if never."""
        known = self._facts.fact(_fact(target))
        return None if known is None else msgspec.convert(known, ready(Cursor))

    def _turn(self, target: NotifyTarget, advance: Callable[[int], object]) -> Told:
        cursor, now = self.cursor(target), self._clock.now().timestamp()
        if cursor is None:
            self._keep(target, Cursor(self._events.newest()))
            return Told(target.name, 0)
        if cursor.next_at > now:
            return Told(target.name, 0, cursor.problem)
        taken, began = 0, self._clock.monotonic()
        for number, notices in self._batches(target, cursor.number, now):
            advance(0)
            problem = target.channel.tell(notices) if notices else None
            if problem is not None:
                tries = cursor.tries + 1
                self._keep(target, Cursor(cursor.number, tries, now + next_try(tries), problem))
                return Told(target.name, taken, problem)
            taken += len(notices)
            cursor = Cursor(number)
            self._keep(target, cursor)
            if self._clock.monotonic() - began > _TURN_S:
                break  # it goes on in the next round, after the others
        return Told(target.name, taken)

    def _batches(self, target: NotifyTarget, number: int, now: float) -> Iterator[tuple[int, Sequence[Notice]]]:
        """What is told at once, and the number of the event up to which it is told then.

        Where a digest waits, what comes before it counts as told: the next round begins there.
        """
        waiting: list[Notice] = []
        while found := self._events.after(number, _AT_ONCE):
            begun = number
            for each in found:
                event = Event(each["id"], each["at"], each["kind"], each["subject"], _details(each))
                number = event.number
                if wanted(event, target.on, target.severity) and now - event.at < GIVE_UP_AFTER_S:
                    waiting.append(notice_of(event, self._state_id))
                    if not target.digest_s or len(waiting) >= _AT_ONCE:
                        yield number, waiting
                        waiting, begun = [], number
            if not waiting and number != begun:
                yield number, ()
        if waiting:
            ripe = now - waiting[0].event.at >= target.digest_s
            yield (number, waiting) if ripe else (waiting[0].event.number - 1, ())

    def _keep(self, target: NotifyTarget, cursor: Cursor) -> None:
        if cursor != self.cursor(target):
            self._facts.set_fact(_fact(target), msgspec.to_builtins(cursor))


def _fact(target: NotifyTarget) -> str:
    return f"notify:{target.name}"


def _details(found: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in found.items() if name not in {"id", "at", "kind", "subject"}}
