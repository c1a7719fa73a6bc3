"""Sessions that somebody signed out of, until they would have ended by themselves. Bounded, and outlives a restart."""

from __future__ import annotations

import hashlib
import threading

import msgspec

from sealrun.domain.ready import ready
from sealrun.ports import Facts

_FACT = "sessions-ended"
MOST = 256


class _Ended(msgspec.Struct, frozen=True):
    """Digests of cookies, each with when its session began; and until when all that began earlier are ended, too."""

    before: int = 0
    cookies: dict[str, int] = msgspec.field(default_factory=dict)


class EndedSessions:
    """What is remembered of them. Any thread; to ask costs no reading.

    Where there are too many, the oldest are remembered together: whatever began until then is ended, though nobody
    signed out of it. A session is ended too early, never too late.
    """

    def __init__(self, facts: Facts | None = None) -> None:
        """Remember in `facts`; without any, only as long as this object lives."""
        self._facts = facts
        self._lock = threading.Lock()
        known = None if facts is None else facts.fact(_FACT)
        self._ended = _Ended() if known is None else msgspec.convert(known, ready(_Ended))

    def has_ended(self, cookie: str, began: int) -> bool:
        """Tell whether the session with this cookie was ended."""
        return began <= self._ended.before or _digest(cookie) in self._ended.cookies

    def end(self, cookie: str, began: int, expired: int) -> None:
        """End a session; what began before `expired` has ended by itself. Durable on return, and harmless twice."""
        with self._lock:
            cookies = {key: at for key, at in self._ended.cookies.items() if at > expired} | {_digest(cookie): began}
            newest = sorted(cookies.items(), key=lambda item: item[1], reverse=True)
            before = max([self._ended.before, *(at for _, at in newest[MOST:])])
            self._ended = _Ended(before, dict(newest[:MOST]))
            if self._facts is not None:
                self._facts.set_fact(_FACT, msgspec.to_builtins(self._ended))


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()[:32]
