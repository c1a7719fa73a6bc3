"""What is shown and deployed, judged by Prometheus' own tool."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.deployment import Deployment, make_run, wait_for

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy/prometheus"

pytestmark = pytest.mark.machine


def promtool(*arguments: str, stdin: bytes = b"") -> None:
    tool = shutil.which("promtool")
    assert tool is not None, "promtool is not installed: apt-get install prometheus"
    done = subprocess.run([tool, *arguments], input=stdin, capture_output=True, cwd=DEPLOYED, check=False, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert not done.stderr.strip(), done.stderr.decode()  # it only warns of names that break the conventions


def test_promtool_has_nothing_to_say_about_real_metrics(tmp_path: Path) -> None:
    make_run(tmp_path / "outbox/run-1", {"a": b"1"})
    (tmp_path / "outbox/broken").mkdir()
    (tmp_path / "outbox/broken/out").symlink_to("/etc")
    registry = {"url": str(tmp_path / "registry")}
    watch = {"name": "outbox", "path": str(tmp_path / "outbox"), "experiment": "e", "settle": "0s"}
    here = Deployment(tmp_path, {"main": registry}, watch)
    here.write_settings(f'[metrics]\ntextfile = "{tmp_path}/sealrun.prom"')
    here.run("scan", "--once", check=None)
    promtool("check", "metrics", stdin=(tmp_path / "sealrun.prom").read_bytes())


def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")


def test_every_alert_fires_when_it_should_and_not_when_all_is_well() -> None:
    promtool("test", "rules", "alerts.test.yml")


def test_every_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    panels = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert len(expressions) > 50
    rules = [
        {"record": f"expression:{number}", "expr": re.sub(r"\$\w+", ".*", text.replace("$__rate_interval", "5m"))}
        for number, text in enumerate(expressions)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    promtool("check", "rules", str(file))


def asked(port: int, what: str) -> list[dict[str, Any]]:
    """What Prometheus answers to a query; nothing as long as it does not answer."""
    with (
        suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{what}", timeout=10) as answer,
    ):
        data = json.loads(answer.read())["data"]
        found: list[dict[str, Any]] = data["result"] if "result" in data else data["groups"]
        return found
    return []


def judged(port: int) -> set[tuple[str, str]]:
    """Health and state of all alerts."""
    return {(rule["health"], rule["state"]) for group in asked(port, "rules") for rule in group["rules"]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_real_prometheus_scrapes_a_real_daemon_with_its_token(tmp_path: Path) -> None:
    tool = shutil.which("prometheus")
    assert tool is not None, "Prometheus is not installed: apt-get install prometheus"
    token = tmp_path / "token"
    token.write_text("0123456789abcdef-of-a-test")
    watch = {"name": "outbox", "path": str(tmp_path / "outbox"), "experiment": "e", "settle": "0s"}
    make_run(tmp_path / "outbox/run-1", {"a": b"1"})
    here = Deployment(tmp_path, {"main": {"url": str(tmp_path / "registry")}}, watch)
    daemons, port = free_port(), free_port()
    here.write_settings(f'[http]\nlisten = "127.0.0.1:{daemons}"\ntoken = {{ file = "{token}" }}')
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DEPLOYED / "alerts.yml")],
        "scrape_configs": [
            {
                "job_name": "sealrun",
                "authorization": {"credentials_file": str(token)},
                "static_configs": [{"targets": [f"127.0.0.1:{daemons}"]}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        server = subprocess.Popen([tool, *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            here.start()
            query = "query?query=sealrun_registry_runs_published_total"
            wait_for(
                "Prometheus has seen the run",
                lambda: [one["value"][1] for one in asked(port, query)] == ["1"],
            )
            assert [one["value"][1] for one in asked(port, "query?query=up")] == ["1"]
            wait_for("every rule is looked at, and nothing is wrong", lambda: judged(port) == {("ok", "inactive")})
        finally:
            server.terminate()
            server.wait(60)
            here.kill()
