"""Targets of the settings, told by the journal's events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sealrun import __version__
from sealrun.adapters.clock import SystemClock
from sealrun.adapters.webhooks import post
from sealrun.ports import Journal
from sealrun.services.notifying import Notifier, NotifyTarget
from sealrun.settings.resolved import NotifySettings

_AGENT = f"sealrun/{__version__}"


def notifier(journal: Journal) -> Notifier:
    """Return what tells of a journal's events."""
    return Notifier(journal.events, journal.facts, journal.state_id, SystemClock())


def targets(settings: Sequence[NotifySettings]) -> list[NotifyTarget]:
    """Return targets that can be reached. Secrets are revealed here."""
    return [
        NotifyTarget(
            each.name,
            each.on,
            partial(_post, each.url.reveal()),
            None if each.secret is None else each.secret.reveal(),
        )
        for each in settings
    ]


def _post(url: str, headers: dict[str, str], body: bytes) -> str | None:
    return post(url, headers, body, _AGENT)
