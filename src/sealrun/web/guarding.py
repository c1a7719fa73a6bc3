"""Who may ask for what: the name a request is for, the token, sessions, and where a change comes from.

Reading needs the token if there is one. Changing always needs it; without one nothing is changed over HTTP at all. A
browser that was told the token keeps a session: a cookie derived from the token, which ends by itself, with the token
and by signing out. Only the last is remembered (see `sessions`), so a restart ends no session, and brings none back.

Guarded against: a foreign web page that reads or changes something through somebody's browser (its own name pointed at
our address: the host check; requests across origins: the origin check, the CSRF token, SameSite cookies), guessing
(constant-time comparison, a pause after each wrong token), and the token in logs or addresses (it is only ever in a
header or a form's body). Not guarded against: whoever reads the traffic; TLS is a proxy's work.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from sealrun.settings.http import Place
from sealrun.web.sessions import EndedSessions

COOKIE = "sealrun"
SESSION_S = 7 * 24 * 3600
CSRF_FIELD = "csrf"
READING = frozenset({"GET", "HEAD"})
METHODS = READING | {"POST"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with that a browser sends `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
    "Server": "sealrun",
}
"""What every answer has, unless it says something else itself."""

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN_TO_ALL = frozenset({"/-/healthy", "/-/ready", "/login"})
_STATIC = "/static/"
_FRAMES = frozenset({"document", ""})


class Asked(NamedTuple):
    """What matters of a request. `fetch_*` are its ``Sec-Fetch-`` headers; a header that is not there is None."""

    method: str
    path: str
    host: str
    authorization: str | None = None
    cookie: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    fetch_mode: str | None = None
    fetch_dest: str | None = None


class Visitor(NamedTuple):
    """Who asks. `how` is how the token was shown, None if it was not; `csrf` belongs to the session's forms."""

    how: Literal["bearer", "session"] | None = None
    csrf: str | None = None


class Refusal(NamedTuple):
    """Why a request is not answered. A wrong token is answered slowly; `sign_in`: a browser may show the form."""

    status: int
    reason: str
    slowly: bool = False
    sign_in: bool = False


class Guard:
    """Decides; pure but for the secrets it holds. `repr` shows nothing."""

    def __init__(
        self, place: Place, hosts: tuple[str, ...], token: str | None, ended: EndedSessions | None = None
    ) -> None:
        """Guard what listens at `place`, and is also reached by the names `hosts`."""
        self._ended = EndedSessions() if ended is None else ended
        self._names = {*_LOOPBACK_NAMES, *hosts, place.host.lower()} - {""}
        self._any_address = place.reach == "everywhere"
        self._token = None if token is None else _digest(token)

    @property
    def has_token(self) -> bool:
        """Whether there is a token: without one nothing can be changed."""
        return self._token is not None

    def refuse(self, asked: Asked, visitor: Visitor) -> Refusal | None:
        """Why the request is refused, or None. What is in its body comes later: see `csrf_matches`."""
        if asked.method not in METHODS:
            return Refusal(405, f"{asked.method} is not answered here; use GET, HEAD or POST")
        if not self._is_our_name(asked.host):
            return Refusal(421, "this name is not one of ours; add it to `hosts` in [http] if it should be")
        if (reason := _crossing(asked)) is not None:
            return Refusal(403, reason)
        if asked.method in READING:
            return self._refuse_reading(asked, visitor)
        return None if asked.path == "/login" else self._refuse_changing(asked, visitor)

    def _refuse_reading(self, asked: Asked, visitor: Visitor) -> Refusal | None:
        if not self.has_token or visitor.how is not None:
            return None
        if asked.path in _OPEN_TO_ALL or asked.path.startswith(_STATIC):
            return None
        return self._unknown(asked)

    def _refuse_changing(self, asked: Asked, visitor: Visitor) -> Refusal | None:
        if not self.has_token:
            return Refusal(403, "changing something needs a `token` in [http] of the settings; the command line works")
        return self._unknown(asked) if visitor.how is None else None

    def _unknown(self, asked: Asked) -> Refusal:
        wrong = asked.authorization is not None
        reason = "that is not the token" if wrong else "this needs the token: sign in, or send it as a Bearer token"
        return Refusal(401, reason, slowly=wrong, sign_in=not wrong)

    def visitor(self, asked: Asked, now: float) -> Visitor:
        """Who asks, at the POSIX time `now`. A session that ended, or is of another token, is none."""
        if self._token is None:
            return Visitor()
        kind, _, given = (asked.authorization or "").partition(" ")
        if kind.lower() == "bearer" and self.knows(given.strip()):
            return Visitor("bearer")
        if asked.authorization is None and asked.cookie is not None and self._session_counts(asked.cookie, now):
            return Visitor("session", self._mac("csrf", asked.cookie))
        return Visitor()

    def knows(self, token: str) -> bool:
        """Tell whether that is the token, in a time that does not depend on how much of it is right."""
        return self._token is not None and hmac.compare_digest(_digest(token), self._token)

    def new_session(self, now: float) -> str:
        """Return the cookie of a session that begins now: no other one has the same."""
        began = f"{int(now):x}-{secrets.token_hex(8)}"
        return f"{began}.{self._mac('session', began)}"

    def end_session(self, cookie: str, now: float) -> None:
        """End the session with this cookie, for whoever has a copy of it, too. Durable on return."""
        if self._session_counts(cookie, now):
            self._ended.end(cookie, _began(cookie), int(now) - SESSION_S)

    def csrf_matches(self, visitor: Visitor, field: str | None) -> bool:
        """Tell whether a change was asked for by a form of ours. Who sends the token itself needs no form."""
        if visitor.how == "bearer":
            return True
        given = (field or "").encode("utf-8", "replace")
        return visitor.csrf is not None and hmac.compare_digest(visitor.csrf.encode(), given)

    def _session_counts(self, cookie: str, now: float) -> bool:
        began, _, mac = cookie.partition(".")
        if not hmac.compare_digest(self._mac("session", began).encode(), mac.encode("utf-8", "replace")):
            return False
        # A clock that was set back ends no session.
        return -SESSION_S < now - _began(cookie) < SESSION_S and not self._ended.has_ended(cookie, _began(cookie))

    def _mac(self, purpose: str, text: str) -> str:
        key = self._token or b""
        return hmac.new(key, f"sealrun {purpose} {text}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _is_our_name(self, host: str) -> bool:
        name = host_name(host)
        if name is None:
            return False
        return name in self._names or (self._any_address and _is_address(name))

    def __repr__(self) -> str:
        return "<guard>"


def _began(cookie: str) -> int:
    """When a session began, POSIX seconds; of a cookie that is ours."""
    return int(cookie.partition("-")[0], 16)


def host_name(host: str) -> str | None:
    """Return the name in a ``Host`` header, in lower case and without port and brackets; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname.rstrip(".")


def _crossing(asked: Asked) -> str | None:
    """Why a request comes from another origin than ours, as far as the browser says; others say nothing."""
    site = asked.fetch_site
    if site in {None, "same-origin", "none"}:
        pass
    elif asked.method not in READING:
        return "this was asked for by another web page"
    elif asked.fetch_mode != "navigate" or (asked.fetch_dest or "") not in _FRAMES:
        return "another web page wants to read or embed this"
    if asked.origin is None:
        return None
    origin = urlsplit(asked.origin) if "://" in asked.origin else None
    if origin is None or origin.scheme not in {"http", "https"} or origin.netloc.lower() != asked.host.lower():
        return "this was asked for by a page of another origin"
    return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
