"""Sending a mail through a server that the settings name: encrypted, checked, bounded in time."""

from __future__ import annotations

import logging
import smtplib
import socket
import ssl
from email.message import EmailMessage
from typing import Literal

import msgspec

_log = logging.getLogger("sealrun.notify")
_TIMEOUT_S = 15.0
_MOST_SAID = 300


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where mail is handed in. Holds the password in the clear: never printed."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    ca: str | None = None
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"<mail server {self.host}:{self.port}>"


def send_mail(server: MailServer, message: EmailMessage) -> str | None:
    """Hand in a mail; return None if the server took it for anybody, else why not, without any secret."""
    try:
        with _connected(server) as connection:
            if server.user is not None and server.password is not None:
                connection.login(server.user, server.password)
            refused = connection.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        return _problem(server, f"refuses every recipient: {code} {_text(said)}")
    except smtplib.SMTPResponseException as error:
        return _problem(server, f"{type(error).__name__}: {error.smtp_code} {_text(error.smtp_error)}")
    except smtplib.SMTPException as error:
        return _problem(server, f"{type(error).__name__}: {error}")
    except ssl.SSLError as error:
        return _problem(server, f"{type(error).__name__}: {error.reason or error}")
    except OSError as error:
        return _problem(server, f"{type(error).__name__}: {error.strerror or 'no answer'}")
    for address in refused:
        _log.warning("%s: takes no mail for %s", server.host, address)
    return None


def _connected(server: MailServer) -> smtplib.SMTP:
    here = socket.gethostname()
    if server.security == "none":
        return smtplib.SMTP(server.host, server.port, local_hostname=here, timeout=_TIMEOUT_S)
    context = ssl.create_default_context(cafile=server.ca)
    if server.security == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, local_hostname=here, timeout=_TIMEOUT_S, context=context)
    connection = smtplib.SMTP(server.host, server.port, local_hostname=here, timeout=_TIMEOUT_S)
    try:
        connection.starttls(context=context)
    except BaseException:
        connection.close()
        raise
    return connection


def _problem(server: MailServer, text: str) -> str:
    if server.password:  # a server that repeats what it was told; before it is cut, or a part of it might stay
        text = text.replace(server.password, "***")
    shown = "".join(letter if letter.isprintable() else " " for letter in text)[:_MOST_SAID]
    return f"{server.host}: {shown}"


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
