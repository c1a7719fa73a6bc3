"""The server itself, asked over its socket by browsers, programs, and people who mean harm."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import logging
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web
from tests.builders.boards import InventedBoard
from tests.builders.sites import TOKEN, APulse, Site, a_site

from sealrun.adapters.machine.clock import SystemClock
from sealrun.domain.errors import (
    ConflictError,
    DigestMismatchError,
    NoRegistryError,
    NotFoundError,
    SealrunError,
    UnavailableError,
    UsageError,
)
from sealrun.settings.http import Place
from sealrun.web import pages
from sealrun.web.actions import ACTIONS
from sealrun.web.actions import routes as action_routes
from sealrun.web.gate import MOST_BYTES
from sealrun.web.guarding import HEADERS, Guard
from sealrun.web.loop import off_loop
from sealrun.web.serving import BACKLOG, MOST_CONNECTIONS, Server, make_app

_PATIENCE_S = 60.0
_FORM = "application/x-www-form-urlencoded"
_BROWSER = {"Accept": "text/html,application/xhtml+xml"}


class AnActor:
    """`web.actions.Acting` that remembers what it was asked for, or fails."""

    def __init__(self) -> None:
        self.did: list[tuple[object, ...]] = []
        self.error: SealrunError | None = None

    def __getattr__(self, verb: str) -> object:
        def act(*asked: object) -> str:
            if self.error is not None:
                raise self.error
            self.did.append((verb, *asked))
            return f"{verb} is done"

        return act


def failing(error: Exception) -> web.RouteDef:
    async def answer(request: web.Request) -> web.Response:
        def fail() -> web.Response:
            raise error

        return await off_loop(request, fail)

    return web.get("/fails", answer)


@pytest.fixture
def actor() -> AnActor:
    return AnActor()


@pytest.fixture
def site(actor: AnActor) -> Iterator[Site]:
    routes = [*pages.routes(), *action_routes(actor)]  # type: ignore[arg-type] # it does whatever it is asked for
    with a_site(InventedBoard(runs=12), routes, token=TOKEN) as running:
        yield running


@pytest.fixture
def open_site() -> Iterator[Site]:
    with a_site(InventedBoard(runs=12), [*pages.routes(), *action_routes(AnActor())]) as running:  # type: ignore[arg-type] # as above
        yield running


# ---------------------------------------------------------------- what every answer has


@pytest.mark.parametrize(
    "path", ["/", "/-/healthy", "/-/ready", "/login", "/nowhere", "/api/v1/nowhere", "/static/page.css"]
)
def test_every_answer_forbids_what_browsers_would_allow(site: Site, path: str) -> None:
    for headers in ({}, site.bearer, {**_BROWSER, **site.bearer}):
        answer = site.get(path, headers)
        for name in HEADERS.keys() - {"Cache-Control"}:
            assert answer.headers[name] == HEADERS[name], (path, name)
        assert "Cache-Control" in answer.headers
        assert "aiohttp" not in str(answer.headers)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_probes_say_why_and_need_no_token(site: Site) -> None:
    assert (site.get("/-/healthy").status, site.get("/-/healthy").text) == (200, "healthy\n")
    assert (site.get("/-/ready").status, site.get("/-/ready").text) == (200, "ready\n")
    site.pulse.ill, site.pulse.busy = ("delivery-main has ended",), ("starting", "registry main was not tried yet")
    assert (site.get("/-/healthy").status, site.get("/-/healthy").text) == (503, "delivery-main has ended\n")
    assert (site.get("/-/ready").status, site.get("/-/ready").text) == (
        503,
        "starting\nregistry main was not tried yet\n",
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("no such name"), 400),
        (NotFoundError("no such run"), 404),
        (NoRegistryError("nothing there"), 503),
        (UnavailableError("connection refused"), 503),
        (ConflictError("somebody was faster"), 409),
        (DigestMismatchError("not the bytes"), 500),
    ],
)
def test_an_error_is_a_problem_a_page_or_a_line_whoever_asks(error: SealrunError, status: int) -> None:
    route = failing(error)
    with a_site(InventedBoard(runs=0), [route, web.get("/api/v1/fails", route.handler)]) as site:
        problem = site.get("/api/v1/fails")
        assert (problem.status, problem.headers["Content-Type"]) == (status, "application/problem+json")
        assert problem.json()["detail"] == str(error)
        assert problem.json()["status"] == status
        page = site.get("/fails", _BROWSER)
        assert (page.status, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
        assert str(error) in page.text
        line = site.get("/fails", {"Accept": "*/*"})
        assert (line.status, line.text) == (status, f"{error}\n")


def test_what_was_not_foreseen_is_logged_and_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    with a_site(InventedBoard(runs=0), [failing(RuntimeError("password=hunter2"))]) as site:
        answer = site.get("/fails", {"Accept": "*/*"})
    assert (answer.status, "hunter2" in answer.text) == (500, False)
    assert "RuntimeError" in caplog.text


def test_probes_are_answered_while_every_page_waits_for_a_registry_that_hangs() -> None:
    released, waiting = threading.Event(), threading.Semaphore(0)

    async def answer(request: web.Request) -> web.Response:
        def hang() -> None:
            waiting.release()
            released.wait(_PATIENCE_S)

        await off_loop(request, hang)
        return web.Response()

    with a_site(InventedBoard(runs=0), [web.get("/hangs", answer)]) as site:
        pages_ = [threading.Thread(target=site.get, args=("/hangs",)) for _ in range(12)]
        for page in pages_:
            page.start()
        for _ in range(8):
            assert waiting.acquire(timeout=_PATIENCE_S)
        assert (site.get("/-/healthy").status, site.get("/-/ready").status) == (200, 200)
        released.set()
        for page in pages_:
            page.join(_PATIENCE_S)


# ---------------------------------------------------------------- signing in, and forms


def test_a_browser_is_sent_to_the_form_and_back_and_keeps_no_token(site: Site) -> None:
    sent = site.get("/runs?registry=main&page=2", _BROWSER)
    assert (sent.status, sent.headers["Location"]) == (303, "/login?next=/runs%3Fregistry%3Dmain%26page%3D2")
    form = site.get(sent.headers["Location"], _BROWSER)
    assert 'value="/runs?registry=main&amp;page=2"' in form.text
    done = site.post("/login", {"token": TOKEN, "next": "/runs?registry=main&page=2"})
    assert (done.status, done.headers["Location"]) == (303, "/runs?registry=main&page=2")
    cookie = done.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert site.get("/", {**_BROWSER, "Cookie": cookie.partition(";")[0]}).status == 200


def test_programs_are_told_what_is_missing_instead(site: Site) -> None:
    for path in ("/api/v1/overview", "/", "/metrics", "/live"):
        answer = site.get(path, {"Accept": "*/*"})
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="sealrun"')


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN.upper(), "\N{SNOWMAN}"])
def test_a_wrong_token_opens_nothing(site: Site, token: str) -> None:
    answer = site.post("/login", {"token": token})
    assert (answer.status, "Set-Cookie" in answer.headers) == (401, False)
    assert "not the token" in answer.text


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "evil",
        "/a\r\nSet-Cookie: a=b",
        "/a b",
        "",
    ],
)
def test_nobody_is_sent_elsewhere_by_signing_in_or_by_a_form(site: Site, elsewhere: str) -> None:
    answer = site.post("/login", {"token": TOKEN, "next": elsewhere})
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    acted = site.post("/actions/rescan/watch/outbox", {"next": elsewhere}, site.bearer)
    assert (acted.status, acted.headers["Location"]) == (303, "/")


def test_signing_out_forgets_the_session_in_the_browser(site: Site) -> None:
    browser = site.sign_in()
    csrf = _csrf(site, browser)
    assert site.post("/logout", {}, browser).status == 403
    answer = site.post("/logout", {"csrf": csrf}, browser)
    assert answer.status == 303
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert site.post("/actions/rescan/watch/outbox", {"csrf": csrf}, browser).status == 401  # whoever kept the cookie


def _csrf(site: Site, browser: Mapping[str, str]) -> str:
    _, _, rest = site.get("/", {**_BROWSER, **browser}).text.partition('name="csrf" value="')
    csrf = rest.partition('"')[0]
    assert len(csrf) == 64
    return csrf


def test_a_form_of_ours_acts_and_one_of_anybody_else_does_not(site: Site, actor: AnActor) -> None:
    browser = site.sign_in()
    csrf = _csrf(site, browser)
    path, given = "/actions/pause/registry/main", {"reason": "because", "for": "2h", "next": "/registries/main"}
    for wrong in (given, {**given, "csrf": ""}, {**given, "csrf": csrf[:-1]}, {**given, "csrf": "0" * 64}):
        assert site.post(path, wrong, browser).status == 403
    foreign = {**browser, "Origin": "http://evil.example"}
    assert site.post(path, {**given, "csrf": csrf}, foreign).status == 403
    assert site.post(path, {**given, "csrf": csrf}, {**browser, "Sec-Fetch-Site": "cross-site"}).status == 403
    assert site.post(path, {**given, "csrf": csrf}, {"Origin": site.url}).status == 401
    assert site.get(path, browser).status == 405
    assert actor.did == []
    done = site.post(path, {**given, "csrf": csrf}, browser)
    assert (done.status, done.headers["Location"]) == (303, "/registries/main")
    ((verb, kind, name, said),) = actor.did
    assert (verb, kind, name) == ("pause", "registry", "main")
    assert said == {**given, "csrf": csrf}


def test_every_action_is_there_for_forms_and_for_programs_and_needs_the_token(site: Site, actor: AnActor) -> None:
    for path in ACTIONS:
        filled = path.replace("{", "").replace("}", "")
        for below in ("/actions", "/api/v1/actions"):
            assert site.ask("POST", f"{below}/{filled}").status == 401
            assert site.ask("POST", f"{below}/{filled}", {"Authorization": "Bearer wrong"}).status == 401
        assert site.ask("POST", f"/actions/{filled}", site.bearer).status == 303
        program = site.ask("POST", f"/api/v1/actions/{filled}", site.bearer)
        assert (program.status, set(program.json())) == (200, {"did"})
    assert len(actor.did) == 2 * len(ACTIONS)


def test_an_action_that_fails_says_why(site: Site, actor: AnActor) -> None:
    actor.error = NotFoundError("there is no registry 'mian'")
    problem = site.ask("POST", "/api/v1/actions/retry/registry/mian", site.bearer)
    assert (problem.status, problem.json()["detail"]) == (404, "there is no registry 'mian'")
    page = site.post("/actions/retry/registry/mian", {}, {**site.bearer, **_BROWSER})
    assert (page.status, "no registry" in page.text) == (404, True)


def test_without_a_token_nothing_is_changed_and_the_page_says_so(open_site: Site) -> None:
    assert open_site.get("/", _BROWSER).status == 200
    for headers in ({}, {"Authorization": "Bearer anything"}, {"Cookie": "sealrun=1.2"}):
        for path in ("/actions/pause/registry/main", "/api/v1/actions/pause/registry/main", "/logout"):
            assert open_site.ask("POST", path, headers).status == 403
        assert open_site.post("/login", {"token": "anything"}, headers).status == 403


# ---------------------------------------------------------------- requests that mean harm


def test_a_name_that_was_pointed_at_us_is_refused_before_anything_else(open_site: Site) -> None:
    for path in ("/", "/-/healthy", "/metrics", "/static/page.css", "/api/v1/overview"):
        assert open_site.get(path, {"Host": f"evil.example:{open_site.port}"}).status == 421


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "PROPFIND"])
def test_only_three_methods_are_answered(site: Site, method: str) -> None:
    for path in ("/", "/runs", "/actions/pause/registry/main"):
        answer = site.ask(method, path, {**site.bearer, "Origin": site.url})
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(", ")) <= {"GET", "HEAD", "POST"}


def test_head_is_get_without_its_body(site: Site) -> None:
    for path in ("/", "/-/healthy", "/static/page.css", "/nowhere"):
        whole, head = site.get(path, site.bearer), site.ask("HEAD", path, site.bearer)
        assert (head.status, head.body) == (whole.status, b"")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/static/../../../../etc/passwd",
            "/static/%2e%2e/%2e%2e/templates/base.html",
            "/static/..%2f..%2fserving.py",
        ),
        *("/static/page.css%00.png", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/..\\..\\serving.py"),
        *("/../../../etc/passwd", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/", "/static/%ff%fe", "/%00"),
    ],
)
def test_no_path_leads_out_of_what_is_served(site: Site, path: str) -> None:
    answer = site.get(path, site.bearer)
    assert answer.status in {400, 404}
    assert "root:" not in answer.text
    assert "{% block" not in answer.text


def test_a_body_that_is_too_large_or_of_no_known_kind_is_refused(site: Site, actor: AnActor) -> None:
    path = "/api/v1/actions/pause/registry/main"
    json = {**site.bearer, "Content-Type": "application/json"}
    large = b'{"reason": "' + b"x" * MOST_BYTES + b'"}'
    assert site.ask("POST", path, json, large).status == 413
    assert site.ask("POST", path, {**site.bearer, "Content-Type": _FORM}, b"a=" + b"x" * MOST_BYTES).status == 413
    for kind in ("text/plain", "multipart/form-data; boundary=a", "application/xml"):
        assert site.ask("POST", path, {**site.bearer, "Content-Type": kind}, b"a=b").status == 415
    for body in (b"[]", b"{", b'{"reason": {"a": 1}}', b'{"reason": [1]}', b"\xff", b'{"a": "\\ud800"}', b"[" * 5000):
        assert site.ask("POST", path, json, body).status == 400, body[:20]
    packed = {**json, "Content-Encoding": "gzip"}
    assert site.ask("POST", path, packed, gzip.compress(b'{"reason": "small"}')).status == 400
    assert site.ask("POST", path, packed, gzip.compress(b" " * (MOST_BYTES * 100))).status == 400
    assert actor.did == []


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
    ],
    ids=["headers", "header", "line", "smuggling", "length", "name", "tls", "short"],
)
def test_what_is_no_proper_request_is_refused_and_the_connection_closed(site: Site, raw: bytes) -> None:
    with socket.create_connection((site.host, site.port), timeout=_PATIENCE_S) as connection:
        connection.sendall(raw)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answer += chunk
    assert answer.startswith(b"HTTP/1.") or answer == b""
    assert b" 400 " in answer.split(b"\r\n")[0] or answer == b""
    assert site.get("/-/healthy").status == 200


def test_a_request_without_a_host_is_refused(site: Site) -> None:
    with socket.create_connection((site.host, site.port), timeout=_PATIENCE_S) as connection:
        connection.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert connection.recv(65536).startswith((b"HTTP/1.0 421", b"HTTP/1.0 400"))


def test_many_slow_connections_are_bounded_and_cost_the_others_nothing_for_long(site: Site) -> None:
    slow: list[socket.socket] = []
    try:
        for _ in range(MOST_CONNECTIONS + BACKLOG + 20):
            connection = socket.create_connection((site.host, site.port), timeout=_PATIENCE_S)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            slow.append(connection)
        closed = 0
        for connection in slow[MOST_CONNECTIONS + BACKLOG :]:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
            closed += 1
        assert closed == 20
        for connection in slow[: BACKLOG + 30]:
            connection.close()
        assert _until_answered(site) == 200
    finally:
        for connection in slow:
            connection.close()


def test_a_client_that_is_slow_on_purpose_is_cut_off() -> None:
    with a_site(InventedBoard(runs=0), token=TOKEN, idle_s=0.5, arrival_s=0.5) as site:
        _be_slow(site)


def _be_slow(site: Site) -> None:
    with socket.create_connection((site.host, site.port), timeout=_PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    with socket.create_connection((site.host, site.port), timeout=_PATIENCE_S) as connection:
        head = f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: {_FORM}\r\nContent-Length: 100\r\n\r\ntok"
        connection.sendall(head.encode())
        assert b" 408 " in connection.recv(65536).split(b"\r\n")[0]


def _until_answered(site: Site) -> int:
    for _ in range(600):
        try:
            return site.get("/-/healthy").status
        except (ConnectionError, http.client.HTTPException):
            threading.Event().wait(0.1)
    raise AssertionError("never answered")


def test_nothing_secret_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        browser = site.sign_in()
        site.post("/login", {"token": "a-wrong-token-of-somebody"})
        site.get("/?token=in-the-address", site.bearer)
        site.get("/", {"Authorization": "Bearer a-wrong-token-of-somebody"})
        site.post("/actions/pause/registry/main", {"csrf": "wrong-csrf"}, browser)
        with socket.create_connection((site.host, site.port), timeout=_PATIENCE_S) as connection:
            connection.sendall(
                f"GET / HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nBad Header: {TOKEN}\r\n\r\n".encode()
            )
            connection.recv(65536)
    for secret in (TOKEN, browser["Cookie"].partition("=")[2], "a-wrong-token", "in-the-address", "wrong-csrf"):
        assert secret not in caplog.text


def test_nobody_writes_lines_of_their_own_into_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="sealrun"), caplog.at_level(logging.DEBUG, logger="sealrun.http"):
        site.get("/%0a2026-01-01%20INFO%20sealrun:%20all%20is%20well%0d", {"Accept": "*/*"})
        site.get("/%0aforged", {"Host": "evil.example\\nforged"})
    assert "refused" in caplog.text
    assert not any("\n" in record.getMessage() or "\r" in record.getMessage() for record in caplog.records)


# ---------------------------------------------------------------- starting and stopping


def a_server(place: Place, reports: list[str | None], retry_s: float = 0.1) -> Server:
    def app() -> web.Application:
        return make_app(InventedBoard(runs=0), APulse(), Guard(place, (), None), SystemClock(), [])

    return Server(place, app, report=reports.append, retry_s=retry_s)


def test_a_place_that_is_taken_is_reported_once_and_tried_again() -> None:
    reports: list[str | None] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = a_server(Place(host="127.0.0.1", port=port), reports)
        server.start()
        assert not server.wait(0.5)
        assert server.address is None
    try:
        assert server.wait(_PATIENCE_S)
        assert str(server.address) == f"127.0.0.1:{port}"
    finally:
        assert server.stop(_PATIENCE_S)
    first, *rest = reports
    assert f"cannot listen on 127.0.0.1:{port}" in (first or "")
    assert rest == [None]


def test_a_server_that_never_got_its_place_stops_all_the_same() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = a_server(Place(host="127.0.0.1", port=taken.getsockname()[1]), [], retry_s=3600)
        server.start()
        assert server.stop(_PATIENCE_S)
        assert server.stop(_PATIENCE_S)


def test_a_server_that_was_never_started_stops() -> None:
    assert a_server(Place(host="127.0.0.1", port=0), []).stop(_PATIENCE_S)


def test_stopping_waits_for_no_client_and_no_listener() -> None:
    with a_site(InventedBoard(runs=0)) as site:
        idle = socket.create_connection((site.host, site.port), timeout=_PATIENCE_S)
        idle.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"retry:" in _read_until(idle, b"retry:")
        assert site.server.stop(_PATIENCE_S)
        while idle.recv(65536):
            pass
        idle.close()


def _read_until(connection: socket.socket, mark: bytes) -> bytes:
    found = b""
    while mark not in found:
        chunk = connection.recv(65536)
        assert chunk
        found += chunk
    return found


def test_a_unix_socket_is_for_its_owner_and_group_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    reports: list[str | None] = []
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # left behind by a crash
    server = a_server(Place(socket=str(path)), reports)
    server.start()
    try:
        assert server.wait(_PATIENCE_S)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert _ask_unix(path, "localhost").startswith(b"HTTP/1.1 200")
        assert _ask_unix(path, "evil.example").startswith(b"HTTP/1.1 421")
        second = a_server(Place(socket=str(path)), reports)
        second.start()
        assert not second.wait(0.3)
        assert second.stop(_PATIENCE_S)
        assert _ask_unix(path, "localhost").startswith(b"HTTP/1.1 200")
    finally:
        assert server.stop(_PATIENCE_S)
    assert not path.exists()
    assert any("somebody else listens there" in (reason or "") for reason in reports)


def _ask_unix(path: Path, host: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE_S)
        connection.connect(str(path))
        connection.sendall(f"GET /-/healthy HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return _read_until(connection, b"\r\n\r\n")


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    reports: list[str | None] = []
    server = a_server(Place(socket=str(path)), reports)
    server.start()
    assert not server.wait(0.3)
    assert server.stop(_PATIENCE_S)
    assert path.read_text() == "data"
    assert reports
