"""Pauses that people ask for: durable facts in the journal, so that commands and a daemon see each other's.

A registry that is paused gets nothing new: no delivery begins, and what is in flight is finished. A watch that is
paused is not looked at: nothing in it is read or sealed, and what is being sealed is finished. Both keep until somebody
resumes, or until a time that was said, through restarts. Mirrors, collection, verification and commands
(`sealrun publish`) go on: they are paused by nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.board import Pause
from sealrun.domain.oversight.quiet_hours import Quiet
from sealrun.domain.ready import ready
from sealrun.domain.runs.declarations import parse_time
from sealrun.ports import Clock, Facts, Journal

_log = logging.getLogger("sealrun.pausing")
Kind = Literal["registry", "watch"]
ASK_AGAIN_S = 5.0
"""How soon a daemon notices that another process resumed something. A pause counts for the very next delivery."""
_FORM = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST_S = 10 * 365 * 86400.0
_MOST_REASON = 300


class _Fact(msgspec.Struct, frozen=True, kw_only=True):
    since: str
    by: str
    reason: str = ""
    until: str | None = None


def paused_registry(facts: Facts, name: str, now: datetime) -> Pause | None:
    """Why nobody shall deliver to a registry now, as a person said; None if nobody did, or its time is over."""
    return _paused(facts, "registry", name, now)


def paused_watch(facts: Facts, name: str, now: datetime) -> Pause | None:
    """Why nothing of a watch shall be sealed now, as a person said; None if nobody did, or its time is over."""
    return _paused(facts, "watch", name, now)


def held_registry(facts: Facts, name: str, quiet: Quiet | None, now: datetime) -> Pause | None:
    """Why no delivery to a registry begins now: a person's pause, else quiet hours."""
    paused = paused_registry(facts, name, now)
    if paused is not None or quiet is None:
        return paused
    until = quiet.until(now)
    return None if until is None else Pause(cause="quiet-hours", until=until.strftime(_FORM))


def pause(
    journal: Journal, clock: Clock, kind: Kind, name: str, *, by: str, for_s: float | None = None, reason: str = ""
) -> Pause:
    """Pause until somebody resumes, or for so many seconds; durable on return. A second pause replaces the first.

    Recorded as ``registry.paused`` or ``watch.paused``, with who asked for it (`by`) and why.
    """
    now = clock.now()
    if for_s is not None and not 0 < for_s <= _LONGEST_S:
        raise UsageError("a pause is for more than nothing and at most ten years; leave the time away for no end")
    until = None if for_s is None else (now + timedelta(seconds=for_s)).astimezone(UTC).strftime(_FORM)
    said = " ".join(reason.split())[:_MOST_REASON]
    fact = _Fact(since=now.astimezone(UTC).strftime(_FORM), by=by, reason=said, until=until)
    journal.facts.set_fact(_key(kind, name), msgspec.to_builtins(fact))
    fields = {"registry": name} if kind == "registry" else {}
    more = {field: text for field, text in (("reason", said), ("until", until)) if text}
    journal.events.record(f"{kind}.paused", name, by=by, **fields, **more)
    _log.info("%s %s is paused by %s%s", kind, name, by, "" if until is None else f" until {until}")
    return _shown(fact)


def resume(journal: Journal, clock: Clock, kind: Kind, name: str, *, by: str) -> bool:
    """End a pause, durably on return; False, and nothing else, if there was none that still counts."""
    key = _key(kind, name)
    counted = _paused(journal.facts, kind, name, clock.now()) is not None
    if journal.facts.fact(key) is not None:
        journal.facts.set_fact(key, None)
    if counted:
        fields = {"registry": name} if kind == "registry" else {}
        journal.events.record(f"{kind}.resumed", name, by=by, **fields)
        _log.info("%s %s is resumed by %s", kind, name, by)
    return counted


class Hold:
    """Whether one registry or one watch is paused now. Asked often, from any thread: it reads one fact."""

    def __init__(self, find: Callable[[datetime], Pause | None], clock: Clock) -> None:
        """Ask `find` about the present."""
        self._find = find
        self._clock = clock

    def left_s(self, most: float = ASK_AGAIN_S) -> float:
        """How long it is paused from now on, at most `most` seconds: then ask again. 0 if it is not paused."""
        pause = self._find(self._clock.now())
        if pause is None:
            return 0.0
        until = None if pause.until is None else _moment(pause.until)
        return most if until is None else min(most, max(0.0, (until - self._clock.now()).total_seconds()) + 0.001)


def _paused(facts: Facts, kind: Kind, name: str, now: datetime) -> Pause | None:
    found = facts.fact(_key(kind, name))
    if found is None:
        return None
    fact = msgspec.convert(found, ready(_Fact))
    over = fact.until is not None and fact.until <= now.astimezone(UTC).strftime(_FORM)
    return None if over else _shown(fact)


def _shown(fact: _Fact) -> Pause:
    reason = f"{fact.reason} ({fact.by})" if fact.reason else f"by {fact.by}"
    return Pause(cause="person", since=fact.since, until=fact.until, reason=reason)


def _moment(text: str) -> datetime | None:
    known = parse_time(text)
    return None if known is None else datetime.strptime(known, _FORM).replace(tzinfo=UTC)


def _key(kind: Kind, name: str) -> str:
    return f"paused:{kind}:{name}"
