"""Tell targets what happened, each in order and at its own pace. A target that fails holds up nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from sealrun.domain.notifying import (
    GIVE_UP_AFTER_S,
    TEST,
    Cursor,
    Event,
    cloud_event,
    event_id,
    headers,
    next_try,
    wanted,
)
from sealrun.domain.ready import ready
from sealrun.ports import Clock, Events, Facts

Post = Callable[[Mapping[str, str], bytes], str | None]
"""Posts a body with headers; returns None if it was taken, else why not."""
_AT_ONCE = 200


class NotifyTarget(msgspec.Struct, frozen=True):
    """Whom to tell: `name` stands for it in what is remembered and shown; `post` reaches it. `secret` signs."""

    name: str
    on: tuple[str, ...]
    post: Post
    secret: str | None = None


class Told(msgspec.Struct, frozen=True):
    """What became of a target's turn: how many events it took, and what was in the way."""

    name: str
    taken: int
    problem: str | None = None


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
        return self._post(target, Event(number, now.timestamp(), TEST, target.name, {"message": "a test"}))

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
        taken = 0
        while found := self._events.after(cursor.number, _AT_ONCE):
            for each in found:
                event = Event(each["id"], each["at"], each["kind"], each["subject"], _details(each))
                if wanted(event, target.on) and now - event.at < GIVE_UP_AFTER_S:
                    advance(0)
                    problem = self._post(target, event)
                    if problem is not None:
                        tries = cursor.tries + 1
                        self._keep(target, Cursor(cursor.number, tries, now + next_try(tries), problem))
                        return Told(target.name, taken, problem)
                    taken += 1
                    self._keep(target, Cursor(event.number))
                cursor = Cursor(event.number)
            self._keep(target, cursor)
        return Told(target.name, taken)

    def _post(self, target: NotifyTarget, event: Event) -> str | None:
        at = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = cloud_event(event, self._state_id, at)
        stamp = int(self._clock.now().timestamp())
        return target.post(headers(event_id(event, self._state_id), stamp, body, target.secret), body)

    def _keep(self, target: NotifyTarget, cursor: Cursor) -> None:
        self._facts.set_fact(_fact(target), msgspec.to_builtins(cursor))


def _fact(target: NotifyTarget) -> str:
    return f"notify:{target.name}"


def _details(found: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in found.items() if name not in {"id", "at", "kind", "subject"}}
