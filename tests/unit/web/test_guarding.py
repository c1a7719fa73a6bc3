"""Who may ask for what: decided from a request's headers alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.journal import FakeJournal

from sealrun.settings.http import Place, parse_place
from sealrun.web.guarding import METHODS, SESSION_S, Asked, Guard, Visitor, host_name
from sealrun.web.sessions import MOST, EndedSessions

TOKEN = "0123456789abcdef-token"  # noqa: S105 - invented
LOCAL = parse_place("127.0.0.1:9478")
NOW = 1_800_000_000.0
OPEN = ("/-/healthy", "/-/ready", "/login", "/static/page.css")


def asked(path: str = "/", method: str = "GET", host: str = "127.0.0.1:9478", **more: str) -> Asked:
    return Asked(method=method, path=path, host=host, **more)


def guard(token: str | None = TOKEN, place: Place = LOCAL, hosts: tuple[str, ...] = ()) -> Guard:
    return Guard(place, hosts, token)


def status(of: Guard, request: Asked) -> int | None:
    refusal = of.refuse(request, of.visitor(request, NOW))
    return None if refusal is None else refusal.status


@pytest.mark.parametrize("host", ["127.0.0.1:9478", "localhost:9478", "LOCALHOST", "localhost.", "[::1]:9478", "[::1]"])
def test_this_machine_has_many_names(host: str) -> None:
    assert status(guard(None), asked(host=host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:9478",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1:9478",
        "user@localhost",
        "localhost:port",
        "localhost/evil",
        "localhost@evil.example",
        "0x7f.1",
        "[::2]",
        "a b",
        "[",
        ":",
    ],
)
def test_a_name_that_was_pointed_at_our_address_is_none_of_ours(host: str) -> None:
    for token in (None, TOKEN):
        for path in ("/", *OPEN):
            assert status(guard(token), asked(path, host=host)) == 421


def test_names_of_the_settings_are_ours_with_any_port() -> None:
    wide = guard(hosts=("box.example", "2001:db8::7"), place=parse_place("192.0.2.7:80"))
    for host in ("box.example", "BOX.example:8443", "[2001:db8::7]:1", "192.0.2.7"):
        assert status(wide, asked("/-/healthy", host=host)) is None
    assert status(wide, asked("/-/healthy", host="192.0.2.8")) == 421


def test_who_listens_everywhere_is_reached_by_any_address_but_by_no_other_name() -> None:
    for place in ("0.0.0.0:9478", "[::]:9478"):
        everywhere = guard(place=parse_place(place))
        assert status(everywhere, asked("/-/ready", host="198.51.100.4:9478")) is None
        assert status(everywhere, asked("/-/ready", host="[2001:db8::1]")) is None
        assert status(everywhere, asked("/-/ready", host="evil.example")) == 421


def test_without_a_token_everything_is_read_and_nothing_is_changed() -> None:
    for path in ("/", "/runs", "/api/v1/overview", "/metrics", "/live", *OPEN):
        assert status(guard(None), asked(path)) is None
    for path in ("/actions/pause/registry/main", "/api/v1/actions/undo/run/a/b/c", "/logout", "/anything"):
        assert status(guard(None), asked(path, "POST")) == 403
        assert status(guard(None), asked(path, "POST", authorization=f"Bearer {TOKEN}")) == 403


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer �",
        f"Bearer,{TOKEN}",
    ],
)
def test_with_a_token_nobody_reads_or_changes_anything_without_it(authorization: str | None) -> None:
    given_ = {} if authorization is None else {"authorization": authorization}
    for path in ("/", "/runs", "/api/v1/overview", "/metrics", "/live", "/logout"):
        for method in sorted(METHODS):
            assert status(guard(), asked(path, method, **given_)) == 401
    for path in OPEN:
        assert status(guard(), asked(path, **given_)) is None


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
def test_the_token_opens_everything(authorization: str) -> None:
    for path in ("/", "/metrics", "/actions/pause/registry/main"):
        for method in sorted(METHODS):
            assert status(guard(), asked(path, method, authorization=authorization)) is None


def test_paths_that_only_look_like_open_ones_are_closed() -> None:
    for path in ("/-/healthy/", "/-/HEALTHY", "/-/", "/loginx", "/login/", "/static", "//static/page.css"):
        assert status(guard(), asked(path)) == 401


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", ""])
def test_other_methods_are_refused_whoever_asks(method: str) -> None:
    assert status(guard(None), asked(method=method)) == 405
    assert status(guard(), asked(method=method, authorization=f"Bearer {TOKEN}")) == 405


def test_a_session_counts_for_its_time_and_for_its_token_only() -> None:
    cookie = guard().new_session(NOW)
    for later in (0, 1, SESSION_S - 1, -3600):
        visitor = guard().visitor(asked(cookie=cookie), NOW + later)
        assert visitor.how == "session"
    assert guard().visitor(asked(cookie=cookie), NOW + SESSION_S).how is None
    assert guard("another-token-of-16").visitor(asked(cookie=cookie), NOW).how is None
    assert guard(None).visitor(asked(cookie=cookie), NOW).how is None
    assert TOKEN not in cookie


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f]{1,20}\.[0-9a-f]{64}", fullmatch=True))
def test_no_cookie_is_a_session_that_we_did_not_make(cookie: str) -> None:
    assert guard().visitor(asked(cookie=cookie), NOW) == Visitor()


def test_a_session_that_says_another_time_is_none() -> None:
    began, _, mac = guard().new_session(NOW).partition(".")
    at, _, nonce = began.partition("-")
    assert guard().visitor(asked(cookie=f"{int(at, 16) + 1:x}-{nonce}.{mac}"), NOW).how is None
    assert guard().visitor(asked(cookie=f"0{began}.{mac}"), NOW).how is None
    assert guard().visitor(asked(cookie=f"{at}-{nonce[:-1]}x.{mac}"), NOW).how is None


def test_a_wrong_token_is_not_made_up_for_by_a_session() -> None:
    cookie = guard().new_session(NOW)
    assert guard().visitor(asked(cookie=cookie, authorization="Bearer wrong"), NOW).how is None


def test_a_form_belongs_to_one_session() -> None:
    one, other = (guard().visitor(asked(cookie=guard().new_session(at)), NOW) for at in (NOW, NOW + 1))
    assert guard().csrf_matches(one, one.csrf)
    for wrong in (other.csrf, "", None, "\udcff", (one.csrf or "")[:-1]):
        assert not guard().csrf_matches(one, wrong)
    assert not guard().csrf_matches(Visitor(), None)
    assert not guard().csrf_matches(Visitor(), "")
    assert guard().csrf_matches(Visitor("bearer"), None)


@pytest.mark.parametrize("origin", ["http://127.0.0.1:9478", "https://127.0.0.1:9478", "HTTP://127.0.0.1:9478"])
def test_our_own_pages_may_ask(origin: str) -> None:
    for site in ({}, {"fetch_site": "same-origin"}):
        assert status(guard(), asked("/login", "POST", origin=origin, **site)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://127.0.0.1:8888",
        "http://localhost:9478",
        "http://127.0.0.1",
        "file://127.0.0.1:9478",
        "http://127.0.0.1:9478.evil.example",
        "http://evil@127.0.0.1:9478",
        "127.0.0.1:9478",
    ],
)
def test_a_page_of_another_origin_changes_nothing_not_even_with_the_token(origin: str) -> None:
    for path in ("/login", "/actions/pause/registry/main"):
        assert status(guard(), asked(path, "POST", origin=origin, authorization=f"Bearer {TOKEN}")) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_web_page_changes_reads_and_embeds_nothing_but_may_link(site: str) -> None:
    def ask(method: str, mode: str, dest: str) -> int | None:
        return status(guard(None), asked(method=method, fetch_site=site, fetch_mode=mode, fetch_dest=dest))

    assert ask("POST", "navigate", "document") == 403
    assert ask("GET", "cors", "empty") == 403
    assert ask("GET", "no-cors", "script") == 403
    assert ask("GET", "no-cors", "image") == 403
    assert ask("GET", "navigate", "iframe") == 403
    assert ask("GET", "navigate", "object") == 403
    assert ask("GET", "navigate", "document") is None


def test_a_guard_shows_no_secret() -> None:
    assert TOKEN not in repr(guard())


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.b:80", "a.b"), ("[::1]:80", "::1"), ("a.", "a"), ("a:x", None), ("", None), ("a/b", None), ("a?b", None)],
)
def test_a_host_header_is_a_name_and_perhaps_a_port(host: str, name: str | None) -> None:
    assert host_name(host) == name


def test_a_session_that_was_ended_is_none_though_its_cookie_is_kept() -> None:
    ours = guard()
    one, other = ours.new_session(NOW), ours.new_session(NOW)
    assert one != other
    ours.end_session(one, NOW + 5)
    ours.end_session(one, NOW + 6)
    ours.end_session("forged", NOW + 6)
    assert ours.visitor(asked(cookie=one), NOW + 7).how is None
    assert ours.visitor(asked(cookie=other), NOW + 7).how == "session"


def test_an_ended_session_stays_so_over_a_restart_and_few_are_remembered() -> None:
    facts: Any = FakeJournal().facts
    ended = EndedSessions(facts)
    for number in range(MOST + 10):
        ended.end(f"cookie {number}", 1000 + number, 0)
    again = EndedSessions(facts)
    assert all(again.has_ended(f"cookie {number}", 1000 + number) for number in range(MOST + 10))
    assert len(facts.fact("sessions-ended")["cookies"]) == MOST
    assert again.has_ended("of somebody else, as old", 1009)
    assert not again.has_ended("newer", 1010)
    again.end("last", 10_000, 5000)
    assert list(facts.fact("sessions-ended")["cookies"].values()) == [10_000]
