"""Secrets never show: some are planted wherever one can come from, everything goes wrong, all bytes are searched."""

from __future__ import annotations

import base64
import html
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.e2e.deployment import PATIENCE_S, make_run
from tests.e2e.planted import Canaries, Machine, machine_of
from tests.servers.seaweedfs import SeaweedFS

_MOST_PAGES = 40
_ASKED_BY_STRANGERS = 8
_LEAST_PAGES = 15
_SAID = ("/wrong", "/prod", "/away", "/tls", "ftp://", "127.0.0.1")
"""What a daemon speaks of that has tried every registry."""


def _look_at_pages(machine: Machine) -> int:
    """Ask the daemon's server for all it has, with the token, without, and with another; return how much that was."""
    token = (machine.root / "http.txt").read_text()
    ahead = [
        "/",
        "/metrics",
        "/-/healthy",
        "/-/ready",
        "/login",
        "/runs?registry=wrong",
        "/api/v1/openapi.json",
        "/nothing-there?token=x",
    ]
    seen: set[str] = set()
    while ahead and len(seen) < _MOST_PAGES:
        path = ahead.pop(0)
        if path in seen:
            continue
        seen.add(path)
        body = _answer(machine, path, {"Authorization": f"Bearer {token}"})
        ahead += [html.unescape(link) for link in re.findall(r'(?:href|src)="(/[^"#]*)"', body)]
        ahead += re.findall(r'"(/api/v1/[^"{}]*)": ?{', body)
        if len(seen) < _ASKED_BY_STRANGERS:
            _answer(machine, path, {})
            _answer(machine, path, {"Authorization": "Bearer wrong-wrong-wrong"})
    return len(seen)


def _answer(machine: Machine, path: str, headers: Mapping[str, str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", machine.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        said = f"{answer.status} {answer.getheaders()}\n".encode()
        streams = "event-stream" in (answer.getheader("Content-Type") or "")
        body = b"" if streams else answer.read()  # a stream ends with the daemon
    finally:
        connection.close()
    machine.keep(f"GET {path}", said + body)
    return body.decode(errors="replace")


def _let_a_daemon_fail(machine: Machine) -> None:
    """Run a daemon that says all it can, until each registry has failed and each target was told of it in vain."""
    with (machine.output / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "sealrun", "-vv", "--config", str(machine.settings), "daemon"],
            cwd=machine.root,
            env=dict(machine.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            said = (machine.output / "daemon.log").read_text(errors="replace")
            if all(word in said for word in _SAID):
                break
            time.sleep(0.5)
        else:
            pytest.fail(
                f"the daemon did not try everything: {[word for word in _SAID if word not in said]}: {said[-3000:]}"
            )
        machine.run("status", "--json")
        assert _look_at_pages(machine) > _LEAST_PAGES
        machine.keep("cmdline", Path(f"/proc/{daemon.pid}/cmdline").read_bytes())
        for thread in Path(f"/proc/{daemon.pid}/task").iterdir():
            machine.keep("comm", (thread / "comm").read_bytes())
        daemon.send_signal(signal.SIGHUP)
        machine.run("status")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(PATIENCE_S)


@pytest.mark.slow
@pytest.mark.timeout(900)  # servers that do not answer are asked again and again, with pauses
def test_no_secret_shows_whatever_goes_wrong(tmp_path: Path, seaweedfs_server: SeaweedFS) -> None:
    machine = machine_of(tmp_path, seaweedfs_server)
    make_run(tmp_path / "outputs" / "run-1", {"metrics.json": b'{"loss": 0.5}\n'})
    make_run(tmp_path / "outputs" / "run-2", {"metrics.json": b'{"loss": 0.4}\n'})
    machine.run("config", "show")
    machine.run("config", "show", "--json")
    machine.run("doctor", "--json")
    _let_a_daemon_fail(machine)
    for name in ("wrong", "inside"):
        machine.run("ls", "e", "--registry", name, "--json")
    for name in ("wrong", "refused"):
        machine.run("publish", "outputs/run-1", "--experiment", "e", "--registry", name)
    machine.run("gc")
    machine.run("notify", "--test")
    machine.run("notify", "--json")
    machine.run("ls", "e", "--registry", f"ftp://user:{machine.canaries.plain('--registry')}@127.0.0.1:1/x")
    machine.run("ls", "e", "--registry", f"nothing://user:{machine.canaries.plain('--registry of no scheme')}@host/x")
    machine.run("ls", "e", "--registry", f"s3://{machine.canaries.plain('--registry of S3')}:x@host/x")
    machine.run("status", "--json")
    program = "import os, sys; print('fine'); sys.exit(len(os.environ['DATABASE_PASSWORD']) % 2)"
    recorded = ("--root", "recorded") if "--root" in machine.run("exec", "--help") else ()
    machine.run(
        "exec", *recorded, "--pipeline-id", "p", "--required-env", "SERVICE_TOKEN", "--", sys.executable, "-c", program
    )
    shown = {name: found for name, body in machine.emitted() if (found := machine.canaries.found_in(body))}
    assert shown == {}


@pytest.mark.parametrize(
    "broken",
    [
        "version = 1\n[registry.a]\nurl = 's3://b'\nstorage_options = { secret = CANARY }\n",
        "version = 1\n[registry.a]\nurl = 's3://b'\nstorage_options = 'CANARY'\n",
        "version = 1\n[registry.a]\nurl = 's3://CANARY:x@b'\n",
        "version = 1\n[registry.a]\nurl = 'sftp://u:CANARY@[b/x'\n",
        "version = 1\n[registry.a]\nurl = 'nothing://u:CANARY@b/x'\n",
        "version = 1\n[registry.a]\nurl = 'ftp://u:CANARY@b/x::s3://y'\n",
        "version = 1\n[[notify]]\non = ['x']\nurl = 'https://user:CANARY'\n",
        "version = 1\n[[notify]]\non = ['x']\nurl = 'https://[user:CANARY'\n",
        "version = 1\n[[notify]]\non = ['x']\nurl = 'ftp://u:CANARY@h'\n",
        "version = 1\n[[notify]]\non = ['x']\nurl = 'https://h'\nsecret = 'CANARY'\n",
        "version = 1\n[[notify]]\non = ['x']\nurl = 'https://h'\nsecret = ['CANARY']\n",
        "version = 1\n[[notify]]\nping = 'https://u:CANARY'\n",
        "version = 1\n[http]\ntoken = 'CANARY'\n",
        "version = 1\n[http]\ntoken = { file = 'short' }\n",
        "version = 1\n[registry.a]\nurl = 's3://b'\nstorage_options = { secret = { env = 'X', fiel = 'CANARY' } }\n",
    ],
)
def test_settings_that_are_refused_show_no_secret(tmp_path: Path, broken: str) -> None:
    canaries = Canaries()
    (tmp_path / "sealrun.toml").write_text(broken.replace("CANARY", canaries.plain("settings")))
    (tmp_path / "short").write_text(canaries.plain("token")[:15])
    said = b""
    for arguments in (("config", "validate"), ("config", "show"), ("status",), ("ls", "e"), ("doctor",)):
        done = subprocess.run(
            [sys.executable, "-m", "sealrun", "-vv", *arguments],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            check=False,
        )
        said += done.stdout + done.stderr
    assert canaries.found_in(said) == set()
    assert canaries.cores["token"][:15].encode() not in said


def test_the_search_finds_a_secret_however_it_is_written() -> None:
    canaries = Canaries()
    secret = canaries.plant("here")
    for written in (
        secret.encode(),
        json.dumps(secret).encode(),
        base64.b64encode(b"x" + secret.encode()),
        base64.urlsafe_b64encode(b"xy" + secret.encode()),
        secret.encode().hex().encode(),
    ):
        assert canaries.found_in(b"..." + written) == {"here"}
    assert canaries.found_in(b"c4n4ry") == set()
