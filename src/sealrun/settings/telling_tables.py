"""``[[notify]]`` and ``[alarms]`` as they are written: who is told, and when something is worth it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sealrun.settings.tables import Duration, SecretTable, Size


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table: unknown keys are errors."""


class MailTable(_Table, frozen=True, kw_only=True):
    """``mail``: what is told by mail, and through which server."""

    to: Annotated[str | list[str], Meta(description="Who gets it.")]
    sender: Annotated[str, Meta(description="Whom it is from.")] = msgspec.field(name="from")
    server: Annotated[str, Meta(description="Name of the server that sends it.")]
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None, Meta(description="587, or 465 with tls, or 25 with none.")
    ] = None
    security: Annotated[
        Literal["starttls", "tls", "none"], Meta(description="How the connection is encrypted; the server is checked.")
    ] = "starttls"
    ca: Annotated[str | None, Meta(description="File of certificates to check the server by, not the system's.")] = None
    user: Annotated[str | None, Meta(description="Who we are to that server.")] = None
    password: Annotated[str | SecretTable | None, Meta(description="Proves it.")] = None
    digest: Annotated[Duration, Meta(description="What happens within so long goes into one mail.")] = "1m"


class NotifyTable(_Table, frozen=True, kw_only=True):
    """``[[notify]]``: whom to tell what happened: by one of url, mail, command and ping."""

    on: Annotated[
        Annotated[list[str], Meta(min_length=1)] | None,
        Meta(description="Kinds of events: run.published, run.*, …; default: alarm.*"),
    ] = None
    severity: Annotated[
        Literal["warning", "critical"] | None, Meta(description="Of alarms only those that are at least so bad.")
    ] = None
    url: Annotated[str | SecretTable | None, Meta(description="Where a JSON object is posted to.")] = None
    secret: Annotated[str | SecretTable | None, Meta(description="Signs what is posted.")] = None
    format: Annotated[
        Literal["cloudevents", "slack"] | None, Meta(description='What is posted; "slack" is {"text": "…"}.')
    ] = None
    mail: MailTable | None = None
    command: Annotated[
        list[str], Meta(description="Is run for each event, which it gets on its standard input as JSON.")
    ] = []
    timeout: Annotated[Duration | None, Meta(description="A command that takes longer is ended; 30s unless set.")] = (
        None
    )
    ping: Annotated[str | SecretTable | None, Meta(description="Asked for again and again while no alarm stands.")] = (
        None
    )
    ping_fail: Annotated[
        str | SecretTable | None, Meta(description="Asked for while one stands; ping with /fail unless set.")
    ] = None
    interval: Annotated[Duration | None, Meta(description="How often to ping; 5m unless set.")] = None


class AlarmsTable(_Table, frozen=True, kw_only=True):
    """``[alarms]``: when trouble becomes an alarm, and when that is over."""

    unreachable_after: Annotated[
        Duration, Meta(description="A registry that is away, or a timer that fails, for so long is an alarm.")
    ] = "15m"
    clear_after: Annotated[
        Duration, Meta(description="What comes and goes has to be fine for so long until its alarm is over.")
    ] = "2m"
    low_space: Annotated[
        Size | None, Meta(description='A disk with less free is an alarm: "10GiB" or "5%"; default: 1 GiB, or 1 %.')
    ] = None
    interval: Annotated[Duration, Meta(description="How often the daemon looks.")] = "30s"
