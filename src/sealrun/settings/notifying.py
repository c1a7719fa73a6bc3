"""``[[notify]]``: whom to tell of what, checked; URLs are kept as secrets, since many hold a token."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from urllib.parse import urlsplit

from sealrun.settings.expanding import Secret, Surroundings
from sealrun.settings.resolved import NotifySettings
from sealrun.settings.schema import NotifyTable, SecretTable


def resolve_targets(tables: Sequence[NotifyTable], around: Surroundings) -> tuple[NotifySettings, ...]:
    """Return the targets, named after host and digest of their URLs: a name stays when other targets change."""
    found: list[NotifySettings] = []
    for number, table in enumerate(tables, 1):
        setting = f"[[notify]] number {number}"
        url = _secret(table.url, f"{setting}: url", around)
        parts = urlsplit(url.reveal())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise around.wrong(f"{setting}: url", "is not an http or https URL")
        if not all(table.on):
            raise around.wrong(f"{setting}: on", "an empty pattern matches nothing; run.*, or * for everything")
        secret = None if table.secret is None else _secret(table.secret, f"{setting}: secret", around)
        if secret is not None:
            _check_secret(secret.reveal(), setting, around)
        digest = hashlib.sha256(url.reveal().encode()).hexdigest()[:8]
        name = f"{parts.hostname}-{digest}"
        if any(target.name == name for target in found):
            raise around.wrong(f"{setting}: url", "is that of another [[notify]]; write all its events there")
        found.append(NotifySettings(name, tuple(table.on), url, secret))
    return tuple(found)


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
