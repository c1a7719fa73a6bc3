"""Moments as people and records read and write them."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(when: datetime) -> str:
    """Return an aware moment as RFC 3339 in UTC, to the second: what records and listings hold."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown_time(seconds: float) -> str:
    """Return POSIX seconds as RFC 3339 in UTC."""
    return rfc3339(datetime.fromtimestamp(seconds, UTC))


def read_time(text: str | None) -> float | None:
    """Return what was shown as POSIX seconds; None for none, and for what is no time."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None
