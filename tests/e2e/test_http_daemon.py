"""The real daemon, asked over HTTP as curl asks, paused and resumed, killed and reloaded."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.builders.clocks import quiet_now
from tests.e2e.deployment import PATIENCE_S, Deployment, make_run, wait_for

TOKEN = "0123456789abcdef-e2e"  # noqa: S105 - invented
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Served(Deployment):
    """A deployment with ``[http]`` and a token."""

    port = 0

    def listen(self, port: int, *, more: str = "") -> None:
        self.port = port
        (self.root / "token").write_text(TOKEN + "\n")
        self.write_settings(f'[http]\nlisten = "127.0.0.1:{port}"\ntoken = {{ file = "token" }}\n{more}')

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] = BEARER, body: str | None = None
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            kind = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, {**headers, **kind})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers(self, path: str = "/-/healthy") -> bool:
        try:
            return self.ask("GET", path, {})[0] == 200
        except OSError:
            return False

    def overview(self) -> dict[str, Any]:
        status, text = self.ask("GET", "/api/v1/overview")
        assert status == 200, text
        found: dict[str, Any] = json.loads(text)
        return found

    def registry(self) -> dict[str, Any]:
        found: dict[str, Any] = self.overview()["registries"][0]
        return found

    def up(self) -> None:
        self.start()
        wait_for("the daemon is ready", lambda: self.answers("/-/ready"))


def a_deployment(root: Path) -> Served:
    (root / "outbox").mkdir()
    watch = {"path": str(root / "outbox"), "experiment": "training", "settle": "1s"}
    deployment = Served(root, {"main": {"url": str(root / "registry")}}, watch)
    deployment.listen(free_port())
    return deployment


def test_a_paused_registry_keeps_its_queue_through_a_kill_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    served = a_deployment(tmp_path)
    served.up()
    assert served.ask("GET", "/", {"Accept": "*/*"})[0] == 401
    status, said = served.ask("POST", "/api/v1/actions/pause/registry/main", body='{"reason": "moving"}')
    assert (status, json.loads(said)) == (200, {"did": "registry main is paused"})
    make_run(tmp_path / "outbox/run-1", {"a.txt": b"first"})
    wait_for("the run is sealed and queued", lambda: served.registry()["queued"] == 1)
    served.kill()
    served.up()
    registry = served.registry()
    assert (registry["queued"], registry["published"]) == (1, 0)
    assert (registry["paused"]["cause"], registry["paused"]["reason"]) == ("person", "moving (http)")
    assert "paused    since" in served.run("status").stdout
    assert served.runs("main") == []
    assert served.rows("resume", "--registry", "main") == [
        {"kind": "registry", "name": "main", "pause": None, "changed": True}
    ]
    wait_for("the run is published", lambda: len(served.runs("main")) == 1)
    assert served.registry()["paused"] is None
    kinds = [event["kind"] for event in served.json("status")["events"]]
    assert {"registry.paused", "registry.resumed", "run.published"} <= set(kinds)
    served.stop()


def test_a_paused_watch_is_not_looked_at_and_catches_up_when_it_is_resumed(tmp_path: Path) -> None:
    served = a_deployment(tmp_path)
    served.run("pause", "--watch", "outbox", "--for", "1h")
    served.up()
    make_run(tmp_path / "outbox/run-1", {"a.txt": b"first"})
    (watch,) = served.overview()["watches"]
    assert watch["paused"]["cause"] == "person"
    assert watch["counts"] == {}
    status, _ = served.ask("POST", "/api/v1/actions/resume/watch/outbox")
    assert status == 200
    wait_for("the run is published", lambda: len(served.runs("main")) == 1)
    served.stop()


def test_new_settings_move_the_page_and_wrong_ones_do_not(tmp_path: Path) -> None:
    served = a_deployment(tmp_path)
    served.up()
    (daemon,) = served.daemons
    before, after = served.port, free_port()
    served.listen(before, more="nonsense = 1\n")
    daemon.send_signal(signal.SIGHUP)
    wait_for("the alarm stands", lambda: [a["kind"] for a in served.overview()["alarms"]] == ["settings-refused"])
    served.listen(after)
    daemon.send_signal(signal.SIGHUP)
    wait_for("it answers there", served.answers)
    wait_for("the alarm is over", lambda: not served.overview()["alarms"])
    served.port = before
    wait_for("it does not answer here any more", lambda: not served.answers())
    served.write_settings()
    daemon.send_signal(signal.SIGHUP)
    served.port = after
    wait_for("it answers nowhere", lambda: not served.answers())
    served.stop()


def test_a_taken_port_stops_no_run_and_is_an_alarm(tmp_path: Path) -> None:
    served = a_deployment(tmp_path)
    with socket.create_server(("127.0.0.1", served.port)):
        served.start()
        make_run(tmp_path / "outbox/run-1", {"a.txt": b"first"})
        wait_for("the run is published", lambda: len(served.runs("main")) == 1)
        wait_for("the alarm stands", lambda: "http-unavailable" in served.asked("status").stdout)
    served.stop()


def test_listening_to_the_world_without_a_token_is_refused_before_anything_begins(tmp_path: Path) -> None:
    served = a_deployment(tmp_path)
    served.write_settings('[http]\nlisten = "0.0.0.0:0"\n')
    assert "set a token" in served.run("daemon", check=78).stderr
    served.write_settings('[http]\ntoken = { file = "nowhere" }\n')
    assert "[http] token" in served.run("daemon", check=78).stderr


def test_a_limit_holds_an_upload_back_and_a_reload_lets_it_go(tmp_path: Path) -> None:
    served = a_deployment(tmp_path)
    served.registries = {"main": {"url": str(tmp_path / "registry"), "limit": "16 kB/s"}}
    served.listen(served.port)
    served.up()
    assert served.registry()["limit"] == 16_000
    make_run(tmp_path / "outbox/run-1", {"a.bin": b"x" * 40_000_000})  # at that limit this takes 40 minutes
    wait_for("it is on its way", lambda: bool(served.registry()["in_flight"]))
    served.registries = {"main": {"url": str(tmp_path / "registry")}}
    served.listen(served.port)
    served.daemons[0].send_signal(signal.SIGHUP)
    wait_for("the run is published", lambda: len(served.runs("main")) == 1)
    served.stop()


def test_in_quiet_hours_runs_are_sealed_and_wait(tmp_path: Path) -> None:
    served = a_deployment(tmp_path)
    served.registries = {"main": {"url": str(tmp_path / "registry"), "quiet_hours": quiet_now()}}
    served.listen(served.port)
    served.up()
    make_run(tmp_path / "outbox/run-1", {"a.txt": b"first"})
    wait_for("the run is sealed and queued", lambda: served.registry()["queued"] == 1)
    assert served.registry()["paused"]["cause"] == "quiet-hours"
    served.run("resume")  # ends no quiet hours
    assert served.registry()["published"] == 0
    served.registries = {"main": {"url": str(tmp_path / "registry")}}
    served.listen(served.port)
    served.daemons[0].send_signal(signal.SIGHUP)
    wait_for("the run is published", lambda: len(served.runs("main")) == 1)
    served.stop()


def test_nothing_secret_is_in_the_log_or_the_status(tmp_path: Path) -> None:
    served = a_deployment(tmp_path)
    served.up()
    served.ask("GET", f"/?token={TOKEN}")
    served.ask("GET", "/", {"Authorization": f"Bearer {TOKEN}-wrong"})
    served.ask("POST", "/login", {"Content-Type": "application/x-www-form-urlencoded"}, f"token={TOKEN}")
    served.ask("POST", "/api/v1/actions/rescan/watch/outbox")
    shown = served.run("config", "show").stdout + served.run("status").stdout
    served.stop()
    assert TOKEN not in served.log.read_text() + shown
    assert re.search(r"answering on http://127\.0\.0\.1:\d+/", served.log.read_text())
