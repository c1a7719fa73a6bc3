"""A quick start changes nothing: the same certificates are trusted, the same models found, one pool serves all."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import UnknownServiceError
from tests.servers.certificates import make_certificate

from sealrun.adapters.stores.s3 import S3Store
from sealrun.adapters.stores.s3_sessions import quick_session
from sealrun.adapters.stores.s3_starting import read_when_used
from sealrun.domain.address import Key
from sealrun.domain.errors import UnavailableError

KEY = Key("registry.json")
KEYS = {"key": "key", "secret": "secret"}
IMPORTING = """
import asyncio, ssl, sys
from sealrun.adapters.stores.s3_starting import load_s3fs
load_s3fs()
import aiohttp
assert "set_default_verify_paths" not in vars(ssl.SSLContext)
async def main():
    async with aiohttp.ClientSession() as session, session.get(sys.argv[1]) as answer:
        print(answer.status)
try:
    asyncio.run(main())
except aiohttp.ClientConnectorCertificateError:
    print("not trusted")
"""


class Secure(ThreadingHTTPServer):
    """Answers everything with nothing, over TLS, and counts the connections."""

    daemon_threads = True
    connections = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.names: list[str] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        connection = super().get_request()
        self.connections += 1
        return connection


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    server: Secure

    def do_GET(self) -> None:
        self.server.names.append(self.headers["User-Agent"])
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1, signed by nobody else, with its key."""
    return make_certificate(tmp_path / "certificate.pem")


@pytest.fixture
def server(certificate: Path) -> Iterator[Secure]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with Secure() as serving:
        serving.socket = context.wrap_socket(serving.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def known_of(context: ssl.SSLContext) -> int:
    """How many certificates it knows, without making it read any."""
    return ssl.SSLContext.cert_store_stats(context)["x509"]


def test_a_context_reads_certificates_when_it_is_used_and_not_before(certificate: Path) -> None:
    context = read_when_used(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.load_verify_locations(certificate)
    assert known_of(context) == 0

    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="127.0.0.1")

    assert known_of(context) == 1
    assert type(context) is ssl.SSLContext


def test_who_asks_a_context_for_its_certificates_is_told_all(certificate: Path) -> None:
    for ask in (lambda context: len(context.get_ca_certs()), lambda context: context.cert_store_stats()["x509_ca"]):
        usual, later = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
        read_when_used(later)
        for context in (usual, later):
            context.set_default_verify_paths()
            context.load_verify_locations(certificate)
        assert ask(later) == ask(usual)


def test_a_context_of_another_kind_is_left_alone() -> None:
    class Other(ssl.SSLContext):
        pass

    assert type(read_when_used(Other(ssl.PROTOCOL_TLS_CLIENT))) is Other


@pytest.mark.parametrize("trusted", [True, False])
def test_what_else_uses_aiohttp_trusts_what_the_machine_trusts(
    server: Secure, certificate: Path, *, trusted: bool
) -> None:
    environment = {**os.environ, **({"SSL_CERT_FILE": str(certificate)} if trusted else {})}
    argv = [sys.executable, "-c", IMPORTING, server.url]
    done = subprocess.run(argv, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ("200" if trusted else "not trusted")


def test_a_store_refuses_a_server_whose_certificate_nobody_vouches_for(server: Secure) -> None:
    store = S3Store("s3://bucket", {**KEYS, "endpoint_url": server.url, "config_kwargs": {"connect_timeout": 2}})
    with pytest.raises(UnavailableError):
        store.read(KEY)
    store.close()


def test_a_store_trusts_the_certificates_it_is_told_to_and_makes_one_connection(
    server: Secure, certificate: Path
) -> None:
    options = {**KEYS, "endpoint_url": server.url, "client_kwargs": {"verify": str(certificate)}}
    store = S3Store("s3://bucket", options)
    store.put(KEY, b"{}")  # by the client that repeats nothing
    assert store.read(KEY) == b""  # by the other one
    store.close()
    assert server.connections == 1


@pytest.mark.parametrize(
    ("config", "app", "beginning"),
    [({}, None, "sealrun/"), ({"user_agent": "mine"}, None, "mine"), ({}, "ours", "aiobotocore/")],
)
def test_servers_are_told_who_asks_as_the_user_wants_it(
    server: Secure, monkeypatch: pytest.MonkeyPatch, config: dict[str, str], app: str | None, beginning: str
) -> None:
    if app is not None:
        monkeypatch.setenv("AWS_SDK_UA_APP_ID", app)
    options = {**KEYS, "endpoint_url": server.url, "client_kwargs": {"verify": False}, "config_kwargs": config}
    store = S3Store("s3://bucket", options)
    store.put(KEY, b"{}")
    store.read(KEY)
    store.close()
    assert [name.startswith(beginning) and f"app/{app}" in f"{name} app/None" for name in server.names] == [True, True]


def test_models_are_those_that_botocore_reads() -> None:
    ours, theirs = (session.get_component("data_loader") for session in (quick_session({}), AioSession()))
    for service in ("s3", "sts"):
        for kind in ("service-2", "endpoint-rule-set-1"):
            assert ours.load_service_model(service, kind) == theirs.load_service_model(service, kind)
    assert ours.load_data("endpoints") == theirs.load_data("endpoints")
    assert ours.search_paths == theirs.search_paths


def test_a_service_that_is_unknown_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UnknownServiceError, match=r"s4.*\bs3\b.*\bsts\b"):
        quick_session({}).get_component("data_loader").load_service_model("s4", "service-2")


def test_models_of_the_users_own_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "s4" / "2026-11-21" / "service-2.json"
    model.parent.mkdir(parents=True)
    model.write_text('{"metadata": {"serviceId": "S4"}}')
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    found = asyncio.run(quick_session({}).get_service_data("s4"))
    assert found == {"metadata": {"serviceId": "S4"}}
