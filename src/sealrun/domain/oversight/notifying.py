"""What is told to whom: events as CloudEvents 1.0, signed as Standard Webhooks says, and when one is sent again.

A receiver may get an event twice, and knows it by its id; it gets events in the order in which they happened.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from sealrun.domain.moments import shown_time
from sealrun.domain.oversight.alarming import CLEARED, RAISED, matters
from sealrun.domain.oversight.board import Severity
from sealrun.domain.records import canonical_json

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
TEST = "sealrun.test"
GIVE_UP_AFTER_S = 3 * 24 * 3600.0
"""An event that nobody took for so long is dropped: whoever comes back wants news."""
_FIRST_S = 5.0
_LONGEST_S = 3600.0
_PREFIX = "sealrun."


class Event(msgspec.Struct, frozen=True):
    """Something that happened: its number in the journal, when (seconds since 1970), what, about what, and details."""

    number: int
    at: float
    kind: str
    subject: str
    fields: Mapping[str, Any]


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a target was told: up to event `number`. `tries` failures in a row since, and when to try again."""

    number: int
    tries: int = 0
    next_at: float = 0.0
    problem: str | None = None


class Notice(msgspec.Struct, frozen=True):
    """An event as it is told: what names it, when it happened (RFC 3339), and as a CloudEvent."""

    id: str
    at: str
    event: Event
    body: bytes

    @property
    def line(self) -> str:
        """What happened, on one line without anything that a terminal or a header could take for more."""
        event, said = self.event, self.event.fields
        if event.kind == RAISED:
            text = f"ALARM ({said.get('severity')}) {said.get('alarm')} {event.subject}: {said.get('reason')}"
        elif event.kind == CLEARED:
            text = f"over: {said.get('alarm')} {event.subject}"
        else:
            reason = said.get("reason") or said.get("message")
            text = f"{event.kind} {event.subject}" + (f": {reason}" if reason else "")
        return one_line(text)


def one_line(text: str) -> str:
    """Return `text` with a space for whatever is not printable."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def notice_of(event: Event, state_id: str) -> Notice:
    """Return an event as it is told by the state folder of that id."""
    at = shown_time(event.at)
    return Notice(event_id(event, state_id), at, event, cloud_event(event, state_id, at))


def wanted(event: Event, patterns: Sequence[str], least: Severity | None = None) -> bool:
    """Tell whether a target wants an event: ``run.published``, ``run.*``, ``*``; of alarms those that are so bad."""
    if event.kind in {RAISED, CLEARED} and not matters(str(event.fields.get("severity")), least):
        return False
    return any(fnmatchcase(event.kind, pattern) for pattern in patterns)


def slack_message(notice: Notice) -> bytes:
    """Return an event as chats take it that know Slack's incoming webhooks."""
    return canonical_json({"text": notice.line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")})


def cloud_event(event: Event, state_id: str, at: str) -> bytes:
    """Return an event as a CloudEvent in the structured JSON format. Its id is the same whenever it is sent."""
    return canonical_json(
        {
            "specversion": "1.0",
            "id": event_id(event, state_id),
            "source": f"urn:sealrun:state:{state_id}",
            "type": event.kind if event.kind.startswith(_PREFIX) else _PREFIX + event.kind,
            "subject": event.subject,
            "time": at,
            "datacontenttype": "application/json",
            "data": dict(event.fields),
        }
    )


def event_id(event: Event, state_id: str) -> str:
    """Return what names an event, wherever and how often it is told."""
    return f"{state_id}-{event.number}"


def headers(
    message: str, timestamp: int, body: bytes, secret: str | None, content_type: str = CONTENT_TYPE
) -> dict[str, str]:
    """Return what goes along with a body: with a `secret` the signature that a receiver checks.

    The signature is HMAC-SHA256 over ``ID.TIMESTAMP.BODY``; a secret that starts with ``whsec_`` is base64 after that.
    """
    found = {"Content-Type": content_type, "webhook-id": message, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        signed = hmac.new(_key(secret), f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        found["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return found


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()


def next_try(tries: int) -> float:
    """Seconds to wait after so many failures in a row: five, then ever longer, up to an hour."""
    return float(min(_LONGEST_S, _FIRST_S * 2.0 ** min(max(tries, 1) - 1, 30)))
