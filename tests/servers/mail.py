"""A mail server on this machine: STARTTLS or TLS with a certificate of its own, passwords, and everything it took."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from tests.servers.certificates import make_certificate
from tests.servers.process import free_ports

USER, PASSWORD = "sealrun", "a password that is shown nowhere"
Security = Literal["starttls", "tls", "none"]


class Inbox:
    """What was taken: who it was said to be from and to, and the mails as they came."""

    def __init__(self) -> None:
        self.got: list[tuple[str, list[str], bytes]] = []
        self.answer = "250 OK"
        self.logins: list[bytes] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        if self.answer.startswith("250"):
            body = envelope.content
            assert isinstance(body, bytes)
            self.got.append((envelope.mail_from or "", list(envelope.rcpt_tos), body))
        return self.answer

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(body, policy=policy.default) for _, _, body in self.got]

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _way: str, data: Any) -> AuthResult:  # noqa: ANN401 - aiosmtpd's
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


class MailServer:
    """Where it listens, how to check it, and its inbox."""

    def __init__(self, port: int, ca: Path, inbox: Inbox) -> None:
        self.host, self.port, self.ca, self.inbox = "127.0.0.1", port, ca, inbox


@contextmanager
def serving_mail(folder: Path, security: Security = "starttls", *, demand_login: bool = True) -> Iterator[MailServer]:
    """Run a server; its certificate is written into `folder`, which exists."""
    ca = make_certificate(folder / "ca.pem")
    inbox = Inbox()
    context = None
    if security != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ca)
    login: dict[str, Any] = {"authenticator": inbox.authenticate, "auth_required": True} if demand_login else {}
    more: dict[str, Any] = {"tls_context": context, "require_starttls": True} if security == "starttls" else {}
    if security == "tls":
        more = {"ssl_context": context}
    (port,) = free_ports(1)
    controller = Controller(inbox, hostname="127.0.0.1", port=port, ready_timeout=60, **login, **more)
    controller.start()
    try:
        yield MailServer(port, ca, inbox)
    finally:
        controller.stop()
