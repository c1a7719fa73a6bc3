"""Targets of the settings, told by the journal's events. Secrets are revealed here."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from functools import partial

import msgspec

from sealrun import __version__
from sealrun.adapters.machine.clock import SystemClock
from sealrun.adapters.machine.timers import every
from sealrun.adapters.telling.webhooks import ask, post
from sealrun.bootstrap.daemon.chores import Chores
from sealrun.domain.oversight.metering import ENDS, NOTIFICATIONS
from sealrun.domain.oversight.notifying import Notice
from sealrun.ports import Journal, Meters
from sealrun.services.oversight.notifying import Channel, Notifier, NotifyTarget, Told, WebhookChannel
from sealrun.services.oversight.pinging import Pinger, PingTarget
from sealrun.settings.resolved import MailSettings, NotifySettings, PingSettings

_AGENT = f"sealrun/{__version__}"
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_MOST = 4000
_OFTEN_S = 5.0
_log = logging.getLogger("sealrun.daemon")


def notifier(journal: Journal) -> Notifier:
    """Return what tells of a journal's events."""
    return Notifier(journal.events, journal.facts, journal.state_id, SystemClock())


def pinger(journal: Journal) -> Pinger:
    """Return what says that all is well, or is not, by a journal's alarms."""
    return Pinger(journal, SystemClock())


def targets(settings: Sequence[NotifySettings]) -> list[NotifyTarget]:
    """Return targets of events that can be reached."""
    return [
        NotifyTarget(
            each.name,
            each.on,
            _channel(each),
            each.severity,
            each.mail.digest_s if each.mail is not None else 0.0,
        )
        for each in settings
        if each.ping is None
    ]


def ping_targets(settings: Sequence[NotifySettings]) -> list[PingTarget]:
    """Return targets that are pinged."""
    return [
        PingTarget(each.name, each.ping.interval_s, partial(_ping, each.ping), each.severity)
        for each in settings
        if each.ping is not None
    ]


def add_telling(timers: Chores, journal: Journal, told: Sequence[NotifySettings], meters: Meters) -> None:
    """Have timers tell whom the settings name: of events, and how it is."""
    if of_events := counted(targets(told), meters):
        tell = partial(notifier(journal).round, of_events, timers.advance)
        timers.add("notify", every(_OFTEN_S), lambda: _log_problems(tell()))
    if pings := counted_pings(ping_targets(told), meters):
        often = every(min(_OFTEN_S, *(each.interval_s for each in pings)))
        timers.add("ping", often, partial(pinger(journal).round, pings, timers.advance))


def _log_problems(told: Sequence[Told]) -> None:
    for each in told:
        if each.problem is not None:
            _log.info("%s was not told, and is again later: %s", each.name, each.problem)


class _Counted:
    """`Channel` whose attempts are counted by how they ended."""

    def __init__(self, channel: Channel, name: str, meters: Meters) -> None:
        self._channel = channel
        self._ended = {outcome: meters.counter(NOTIFICATIONS, target=name, outcome=outcome) for outcome in ENDS}

    def tell(self, notices: Sequence[Notice]) -> str | None:
        problem = self._channel.tell(notices)
        self._ended["ok" if problem is None else "failed"](1)
        return problem


def counted(told: Sequence[NotifyTarget], meters: Meters) -> list[NotifyTarget]:
    """Return the targets, with every attempt to tell them counted."""
    return [msgspec.structs.replace(each, channel=_Counted(each.channel, each.name, meters)) for each in told]


def counted_pings(told: Sequence[PingTarget], meters: Meters) -> list[PingTarget]:
    """Return the targets, with every ping counted."""

    def count(each: PingTarget) -> PingTarget:
        ended = {outcome: meters.counter(NOTIFICATIONS, target=each.name, outcome=outcome) for outcome in ENDS}

        def send(well: bool, text: str) -> str | None:  # noqa: FBT001 - what a `Pinger` calls
            problem = each.send(well, text)
            ended["ok" if problem is None else "failed"](1)
            return problem

        return msgspec.structs.replace(each, send=send)

    return [count(each) for each in told]


def _channel(each: NotifySettings) -> Channel:
    if each.mail is not None:
        return MailChannel(each.mail)
    if each.command:
        return CommandChannel(each.command, each.timeout_s)
    url = "" if each.url is None else each.url.reveal()
    secret = None if each.secret is None else each.secret.reveal()
    return WebhookChannel(partial(_post, url), SystemClock(), secret, slack=each.format == "slack")


class MailChannel:
    """`Channel` that sends one mail about what it is told at once."""

    def __init__(self, settings: MailSettings) -> None:
        """Send through the server of the settings."""
        self._settings = settings

    def tell(self, notices: Sequence[Notice]) -> str | None:
        """Send one mail; see `Channel`."""
        from sealrun.adapters.telling.mailing import MailServer, send_mail  # noqa: PLC0415 - only who is told by mail needs it
        from sealrun.domain.oversight.mailing import compose  # noqa: PLC0415 - as above

        said = self._settings
        server = MailServer(
            host=said.server,
            port=said.port,
            security=said.security,
            ca=said.ca,
            user=said.user,
            password=None if said.password is None else said.password.reveal(),
        )
        return send_mail(server, compose(notices, said.sender, said.to, socket.gethostname()))


class CommandChannel:
    """`Channel` that runs a command for each event."""

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        """Run `command`, for at most `timeout_s` seconds."""
        self._command = command
        self._timeout_s = timeout_s

    def tell(self, notices: Sequence[Notice]) -> str | None:
        """Run it for each, as long as it succeeds; see `Channel`."""
        from sealrun.adapters.telling.notify_commands import run_notification  # noqa: PLC0415 - only who has a command needs it

        for notice in notices:
            problem = run_notification(self._command, notice.body, environment_of(notice), self._timeout_s)
            if problem is not None:
                return problem
        return None


def environment_of(notice: Notice) -> dict[str, str]:
    """Return what a command is told beside its standard input. What an event does not have is empty."""
    fields = notice.event.fields
    said = {name: fields.get(name.lower()) for name in ("ALARM", "SEVERITY", "REASON", "HELP", "REGISTRY", "WATCH")}
    known = {"ID": notice.id, "TYPE": notice.event.kind, "SUBJECT": notice.event.subject, "TIME": notice.at, **said}
    return {f"SEALRUN_EVENT_{name}": "" if value is None else str(value)[:_MOST] for name, value in known.items()}


def _post(url: str, headers: dict[str, str], body: bytes) -> str | None:
    return post(url, headers, body, _AGENT)


def _ping(settings: PingSettings, well: bool, text: str) -> str | None:  # noqa: FBT001 - what a `PingTarget` calls
    if well:
        return ask("GET", settings.url.reveal(), {}, None, _AGENT)
    return ask("POST", settings.fail_url.reveal(), _TEXT, f"{text}\n".encode(), _AGENT)
