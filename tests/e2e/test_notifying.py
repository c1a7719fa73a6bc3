"""The daemon tells a real HTTP server what happens; what the settings hide stays hidden."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from tests.conformance.libraries import a_library
from tests.e2e.test_deriving import Lab, a_daemon, eventually

from sealrun.adapters.telling.webhooks import post
from sealrun.domain.errors import ConfigurationError
from sealrun.settings import load_settings

KEY = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Server:
    """Takes what is posted; answers with `status`."""

    def __init__(self) -> None:
        self.status = 204
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                if outer.status < 300:
                    outer.got.append((self.path, dict(self.headers), body))
                self.send_response(outer.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the base's name

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def subjects(self, kind: str) -> list[str]:
        said: list[dict[str, Any]] = [json.loads(body) for _, _, body in self.got]
        return [event["subject"] for event in said if event["type"] == kind]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(a_library("directory", tmp_path))


def test_the_daemon_tells_what_it_published_signed_also_after_the_receiver_was_away(lab: Lab, server: Server) -> None:
    outbox = lab.library.room / "outbox"
    outbox.mkdir()
    lab.environ["HOOK"] = f"{server.url}/hooks/a-token-in-the-path"
    lab.rules(
        f'[[watch]]\npath = "{outbox}"\nsettle = "1s"\n'
        f'[[notify]]\non = ["run.*"]\nurl = {{ env = "HOOK" }}\nsecret = "{KEY}"\n'
    )
    server.status = 503
    with a_daemon(lab):
        eventually(lambda: '"never told"' not in lab("notify", "--json").stdout)
        (outbox / "one").mkdir()
        (outbox / "one/a").write_text("1")
        eventually(lambda: "failing" in lab("notify").stdout)
        server.status = 204
        eventually(lambda: len(server.subjects("sealrun.run.published")) == 1)
    path, headers, body = server.got[0]
    assert path == "/hooks/a-token-in-the-path"
    Webhook(KEY).verify(body, headers)
    assert server.subjects("sealrun.run.published")[0].startswith("outbox/")
    shown = lab("notify").stdout + lab("config", "show").stdout + lab("config", "show", "--json").stdout
    assert "127.0.0.1-" in shown
    assert "a-token-in-the-path" not in shown
    assert KEY not in shown


def test_a_target_can_be_tried(lab: Lab, server: Server) -> None:
    lab.rules(f'[[notify]]\non = ["*"]\nurl = "{server.url}/x?y=z"\n')
    assert lab("notify", "--test").returncode == 0
    assert server.got[0][0] == "/x?y=z"
    assert json.loads(server.got[0][2])["type"] == "sealrun.test"
    server.status = 401
    refused = lab("notify", "--test")
    assert refused.returncode == 1
    assert "answered 401" in refused.stdout


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/secret", "127.0.0.1: ConnectionRefusedError"),
        ("http://name.invalid/secret", "name.invalid: gaierror"),
        ("ftp://host/secret", "ftp: is not http or https"),
        ("http://host:port/secret", "the port is not a number"),
    ],
)
def test_what_cannot_be_reached_is_told_without_the_url(url: str, reason: str) -> None:
    problem = post(url, {}, b"{}", "test")
    assert problem is not None
    assert reason in problem
    assert "secret" not in problem


def test_a_redirect_is_no_answer(server: Server) -> None:
    server.status = 302
    assert post(f"{server.url}/secret", {}, b"{}", "test") == "127.0.0.1: answered 302"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('on = ["*"]\nurl = "ftp://host/x"', "is not an http or https URL"),
        ('on = ["*"]\nurl = "http:///x"', "is not an http or https URL"),
        ('on = []\nurl = "http://host"', "on"),
        ('on = [""]\nurl = "http://host"', "an empty pattern"),
        ('on = ["*"]\nurl = "http://host"\nsecret = ""', "secret: is empty"),
        ('on = ["*"]\nurl = "http://host"\nsecret = "whsec_%"', "is not base64"),
        ('on = ["*"]\nurl = "http://host"\n[[notify]]\non = ["a"]\nurl = "http://host"', "another"),
    ],
)
def test_targets_that_cannot_be_meant_are_refused_without_showing_them(tmp_path: Path, table: str, reason: str) -> None:
    (tmp_path / "sealrun.toml").write_text(f"version = 1\n[[notify]]\n{table}\n")
    with pytest.raises(ConfigurationError, match=reason):
        load_settings(None, {}, tmp_path)
