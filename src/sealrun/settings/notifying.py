"""``[[notify]]``: whom to tell of what, checked; URLs are kept as secrets, since many hold a token."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit, urlunsplit

from sealrun.settings.checking import duration_of
from sealrun.settings.expanding import Secret, Surroundings
from sealrun.settings.resolved import MailSettings, NotifySettings, PingSettings
from sealrun.settings.schema import MailTable, NotifyTable, SecretTable

_WAYS = ("url", "mail", "command", "ping")
_ONLY_WITH = {
    "secret": "url",
    "format": "url",
    "timeout": "command",
    "ping_fail": "ping",
    "interval": "ping",
}
_DEFAULT_ON = ("alarm.*",)
_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]\x00-\x1f\x7f]+@[^\s@<>,;:\"\\()\[\]\x00-\x1f\x7f]+\Z")
_HOST = re.compile(r"[A-Za-z0-9._:-]+\Z")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LEAST_PING_S = 1.0


def resolve_targets(tables: Sequence[NotifyTable], around: Surroundings) -> tuple[NotifySettings, ...]:
    """Return the targets, named after what they are and a digest of where: a name stays when other targets change."""
    found: list[NotifySettings] = []
    for number, table in enumerate(tables, 1):
        setting = f"[[notify]] number {number}"
        target = _target(table, setting, around)
        if any(other.name == target.name for other in found):
            way = next(way for way in _WAYS if getattr(table, way))
            raise around.wrong(f"{setting}: {way}", "is that of another [[notify]]; write all its events there")
        found.append(target)
    return tuple(found)


def _target(table: NotifyTable, setting: str, around: Surroundings) -> NotifySettings:
    ways = [way for way in _WAYS if getattr(table, way)]
    if len(ways) != 1:
        raise around.wrong(setting, f"needs exactly one of {', '.join(_WAYS)}")
    for name, way in _ONLY_WITH.items():
        if getattr(table, name) is not None and ways != [way]:
            raise around.wrong(f"{setting}: {name}", f"goes with {way} only")
    if table.on is not None and not all(table.on):
        raise around.wrong(f"{setting}: on", "an empty pattern matches nothing; run.*, or * for everything")
    on = _DEFAULT_ON if table.on is None else tuple(table.on)
    if table.url is not None:
        return _webhook(table, table.url, on, setting, around)
    if table.mail is not None:
        mail = _mail(table.mail, f"{setting}: mail", around)
        name = f"mail-{mail.server}-{_digest(mail.server, str(mail.port), mail.sender, *mail.to)}"
        return NotifySettings(name=name, on=on, severity=table.severity, mail=mail)
    if table.command:
        timeout_s = 30.0 if table.timeout is None else duration_of(table.timeout, f"{setting}: timeout", around)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", table.command[0].rpartition("/")[2]) or "command"
        name = f"{name}-{_digest(*table.command)}"
        command = tuple(table.command)
        return NotifySettings(name=name, on=on, severity=table.severity, command=command, timeout_s=timeout_s)
    if table.on is not None:
        raise around.wrong(f"{setting}: on", "a ping tells of no events: leave it away")
    return _ping(table, setting, around)


def _webhook(
    table: NotifyTable, written: str | SecretTable, on: tuple[str, ...], setting: str, around: Surroundings
) -> NotifySettings:
    url = _secret(written, f"{setting}: url", around)
    host = _host_of(url, f"{setting}: url", around)
    secret = None if table.secret is None else _secret(table.secret, f"{setting}: secret", around)
    if secret is not None:
        _check_secret(secret.reveal(), setting, around)
    return NotifySettings(
        name=f"{host}-{_digest(url.reveal())}",
        on=on,
        severity=table.severity,
        url=url,
        secret=secret,
        format=table.format or "cloudevents",
    )


def _ping(table: NotifyTable, setting: str, around: Surroundings) -> NotifySettings:
    if table.ping is None:
        raise around.wrong(setting, "has no ping")
    url = _secret(table.ping, f"{setting}: ping", around)
    host = _host_of(url, f"{setting}: ping", around)
    if table.ping_fail is None:
        parts: SplitResult = urlsplit(url.reveal())
        fail_url = Secret(urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail")), "settings")
    else:
        fail_url = _secret(table.ping_fail, f"{setting}: ping_fail", around)
        _host_of(fail_url, f"{setting}: ping_fail", around)
    interval_s = 300.0 if table.interval is None else duration_of(table.interval, f"{setting}: interval", around)
    if interval_s < _LEAST_PING_S:
        raise around.wrong(f"{setting}: interval", "is less than a second")
    ping = PingSettings(url=url, fail_url=fail_url, interval_s=interval_s)
    return NotifySettings(name=f"ping-{host}-{_digest(url.reveal())}", on=(), severity=table.severity, ping=ping)


def _mail(table: MailTable, setting: str, around: Surroundings) -> MailSettings:
    to = (table.to,) if isinstance(table.to, str) else tuple(table.to)
    if not to:
        raise around.wrong(f"{setting}.to", "names nobody")
    for where, address in [(f"{setting}.from", table.sender), *((f"{setting}.to", each) for each in to)]:
        if not _ADDRESS.match(address) or not address.isascii():
            raise around.wrong(where, f"{address!r} is not an address such as ops@example.org")
    if not _HOST.match(table.server):
        raise around.wrong(f"{setting}.server", f"{table.server!r} is not the name of a server")
    if (table.user is None) != (table.password is None):
        raise around.wrong(setting, "user and password go together")
    if table.user is not None and table.security == "none":
        raise around.wrong(f"{setting}.security", '"none" would show the password to everybody on the way')
    password = None if table.password is None else _secret(table.password, f"{setting}.password", around)
    return MailSettings(
        to=to,
        sender=table.sender,
        server=table.server,
        port=_PORTS[table.security] if table.port is None else table.port,
        security=table.security,
        ca=None if table.ca is None else str(around.path(table.ca)),
        user=table.user,
        password=password,
        digest_s=duration_of(table.digest, f"{setting}.digest", around),
    )


def _host_of(url: Secret, setting: str, around: Surroundings) -> str:
    try:
        parts = urlsplit(url.reveal())
        host, _ = parts.hostname, parts.port
    except ValueError:  # its text holds what stands where a port should: perhaps a password
        raise around.wrong(setting, "is not an http or https URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise around.wrong(setting, "is not an http or https URL")
    return host


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _secret(value: str | SecretTable, setting: str, around: Surroundings) -> Secret:
    return around.secret(value, setting) if isinstance(value, SecretTable) else Secret(value, "settings")


def _check_secret(text: str, setting: str, around: Surroundings) -> None:
    if not text:
        raise around.wrong(f"{setting}: secret", "is empty")
    if text.startswith("whsec_"):
        try:
            base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except ValueError as error:
            raise around.wrong(f"{setting}: secret", "is not base64 after whsec_") from error
