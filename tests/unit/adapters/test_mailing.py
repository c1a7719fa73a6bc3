"""Mail to a real server, with STARTTLS, TLS and passwords; what events say never becomes a header."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.servers.mail import PASSWORD, USER, Security, serving_mail

from sealrun.adapters.telling import mailing
from sealrun.adapters.telling.mailing import MailServer, send_mail
from sealrun.domain.oversight.mailing import compose
from sealrun.domain.oversight.notifying import Event, Notice, notice_of

WRONG = "not this one"
SENDER, TO = "sealrun@example.org", ("ops@example.org", "lab@example.org")


def notice(number: int = 1, kind: str = "run.published", subject: str = "train/r1", **fields: object) -> Notice:
    return notice_of(Event(number, 1768660000.0 + number, kind, subject, fields), "state")


def alarm(number: int = 1, subject: str = "main", severity: str = "critical") -> Notice:
    fields = {"alarm": "registry-full", "severity": severity, "reason": "no space left"}
    return notice(number, "alarm.raised", subject, **fields, help="docs/runbook.md#registry-full")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_arrives_through_an_encrypted_connection_with_a_password(tmp_path: Path, security: Security) -> None:
    login = security == "starttls"  # the server takes passwords after STARTTLS only
    with serving_mail(tmp_path, security, demand_login=login) as there:
        user, password = (USER, PASSWORD) if login else (None, None)
        server = MailServer(
            host=there.host, port=there.port, security=security, ca=str(there.ca), user=user, password=password
        )
        assert send_mail(server, compose([alarm(), notice(2)], SENDER, TO, "host")) is None
        ((sender, to, raw),) = there.inbox.got
        (mail,) = there.inbox.mails
    assert (sender, to) == (SENDER, list(TO))
    assert raw.isascii()
    assert mail["Subject"].strip() == "[sealrun host] 2 events: ALARM (critical) registry-full main: no space left"
    assert mail["To"] == ", ".join(TO)
    assert mail["Message-ID"] == "<state-2@sealrun.invalid>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == [
        "2026-01-17T14:26:41Z  ALARM (critical) registry-full main: no space left",
        "  do: make room there: sealrun gc --registry NAME --dry-run; then: sealrun doctor --retry",
        "  runbook: docs/runbook.md#registry-full",
        "2026-01-17T14:26:42Z  run.published train/r1",
    ]
    assert PASSWORD not in repr(server)


def test_a_server_without_encryption_is_used_only_where_that_is_said(tmp_path: Path) -> None:
    with serving_mail(tmp_path, "none", demand_login=False) as there:
        plain = MailServer(host=there.host, port=there.port, security="none")
        assert send_mail(plain, compose([notice()], SENDER, TO, "host")) is None
        careful = MailServer(host=there.host, port=there.port, security="starttls")
        problem = send_mail(careful, compose([notice()], SENDER, TO, "host"))
        assert problem is not None
        assert "STARTTLS" in problem
        assert len(there.inbox.got) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_password_is_told(tmp_path: Path) -> None:
    with serving_mail(tmp_path) as there:
        server = MailServer(host=there.host, port=there.port, security="starttls", user=USER, password=PASSWORD)
        problem = send_mail(server, compose([notice()], SENDER, TO, "host"))
        assert problem is not None
        assert "CERTIFICATE_VERIFY_FAILED" in problem
        assert there.inbox.logins == []


def test_what_is_in_the_way_is_named_without_the_password(tmp_path: Path) -> None:
    mail = compose([notice()], SENDER, TO, "host")
    with serving_mail(tmp_path) as there:
        wrong = MailServer(
            host=there.host, port=there.port, security="starttls", ca=str(there.ca), user=USER, password=WRONG
        )
        problem = send_mail(wrong, mail)
        assert problem is not None
        assert "SMTPAuthenticationError: 535" in problem
        assert WRONG not in problem
        right = MailServer(
            host=there.host, port=there.port, security="starttls", ca=str(there.ca), user=USER, password=PASSWORD
        )
        there.inbox.answer = f"451 later, {PASSWORD}\x07"
        assert send_mail(right, mail) == "127.0.0.1: SMTPDataError: 451 later, *** "
        there.inbox.answer = "250 OK"
        lost = send_mail(right, compose([notice()], SENDER, ["nobody@example.org"], "host"))
        assert lost == "127.0.0.1: refuses every recipient: 550 no such user"
        assert send_mail(right, compose([notice()], SENDER, ["nobody@example.org", *TO], "host")) is None
        assert there.inbox.got[-1][1] == list(TO)
    gone = send_mail(MailServer(host="127.0.0.1", port=there.port, security="none"), mail)
    assert gone == "127.0.0.1: ConnectionRefusedError: Connection refused"
    unknown = send_mail(MailServer(host="name.invalid", port=25, security="none"), mail)
    assert unknown is not None
    assert unknown.startswith("name.invalid: gaierror")


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealrun.adapters.telling.mailing._TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = MailServer(host="127.0.0.1", port=silent.getsockname()[1], security="none")
        problem = send_mail(server, compose([notice()], SENDER, TO, "host"))
    assert problem is not None
    assert problem.startswith("127.0.0.1: ")


@given(st.text(min_size=1), st.text())
def test_nothing_that_an_event_says_becomes_a_header_or_another_mail(subject: str, reason: str) -> None:
    evil = f"{subject}\r\nBcc: everybody@example.org\r\n\r\n{reason}\r\n.\r\nMAIL FROM:<x>"
    fields: dict[str, object] = {"alarm": evil, "severity": evil, "reason": evil, "help": "x"}
    mails = [
        compose([notice(1, "alarm.raised", evil, **fields)], SENDER, TO, "host"),
        compose([notice(1, "run.rejected", evil, reason=evil), alarm(2)], SENDER, TO, "host"),
    ]
    for mail in mails:
        raw = mail.as_bytes()
        head, _, body = raw.partition(b"\r\n\r\n")
        names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))}
        assert names == {
            b"from",
            b"to",
            b"subject",
            b"date",
            b"message-id",
            b"auto-submitted",
            b"content-type",
            b"content-transfer-encoding",
            b"mime-version",
        }
        assert body.isascii()
        assert b"\r\n.\r\n" not in body


def test_a_password_that_a_server_repeats_does_not_show_where_its_answer_is_cut_either() -> None:
    server = MailServer(host="h", port=25, security="tls", user=USER, password=PASSWORD)
    for before in range(280, 301):
        shown = mailing._problem(server, "x" * before + PASSWORD)
        assert PASSWORD[:4] not in shown
