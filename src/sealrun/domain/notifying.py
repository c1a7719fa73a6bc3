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


def wanted(event: Event, patterns: Sequence[str]) -> bool:
    """Tell whether a target wants an event: ``run.published``, ``run.*``, ``*``."""
    return any(fnmatchcase(event.kind, pattern) for pattern in patterns)


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


def headers(message: str, timestamp: int, body: bytes, secret: str | None) -> dict[str, str]:
    """Return what goes along with a body: with a `secret` the signature that a receiver checks.

    The signature is HMAC-SHA256 over ``ID.TIMESTAMP.BODY``; a secret that starts with ``whsec_`` is base64 after that.
    """
    found = {"Content-Type": CONTENT_TYPE, "webhook-id": message, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        signed = hmac.new(_key(secret), f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        found["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return found


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()


def next_try(tries: int) -> float:
    """Seconds to wait after so many failures in a row: five, then ever longer, up to an hour."""
    return float(min(_LONGEST_S, _FIRST_S * 2.0 ** min(max(tries, 1) - 1, 30)))
