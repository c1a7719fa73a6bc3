"""Events as a mail: plain text, one or several of them. Nothing that an event says can become a header."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from sealrun.domain.oversight.alarming import advice
from sealrun.domain.oversight.notifying import Notice, one_line

_SUBJECT = 150


def compose(notices: Sequence[Notice], sender: str, to: Sequence[str], host: str) -> EmailMessage:
    """Return a mail about these events of a daemon on `host`. It names the last one, however often it is sent."""
    newest = notices[-1]
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(to)
    first = notices[0].line if len(notices) == 1 else f"{len(notices)} events: {_most_urgent(notices).line}"
    message["Subject"] = one_line(f"[sealrun {host}] {first}")[:_SUBJECT]
    message["Date"] = format_datetime(datetime.fromtimestamp(newest.event.at, UTC))
    message["Message-ID"] = f"<{newest.id}@sealrun.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(line for notice in notices for line in _lines(notice)) + "\n", cte="quoted-printable")
    return message


def _most_urgent(notices: Sequence[Notice]) -> Notice:
    def rank(notice: Notice) -> int:
        if notice.event.kind != "alarm.raised":
            return 0
        return 2 if notice.event.fields.get("severity") == "critical" else 1

    return max(notices, key=rank)


def _lines(notice: Notice) -> list[str]:
    event, lines = notice.event, [f"{notice.at}  {notice.line}"]
    if event.kind == "alarm.raised":
        lines += [f"  do: {advice(str(event.fields.get('alarm')))}", f"  runbook: {event.fields.get('help')}"]
    return lines
