"""From nothing to a published run on a real S3 server, by the commands of the first minutes alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.builders.commands import go_to
from tests.docs.pages import ROOT, fences, reader_environment, shell
from tests.servers.seaweedfs import SeaweedFS
from tests.unit.cli.test_beginning import Folder


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    go_to(tmp_path, monkeypatch)
    return Folder(tmp_path, capsys)


def give_keys(monkeypatch: pytest.MonkeyPatch, key: str, secret: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)


def test_init_scan_and_doctor_work_on_s3_and_doctor_tells_bad_credentials_apart(
    project: Folder, seaweedfs_server: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{seaweedfs_server.create_bucket()}/runs"
    give_keys(monkeypatch, seaweedfs_server.access_key, seaweedfs_server.secret_key)
    project.hydra()
    (project.path / "outputs/2026-01-17/14-30-00/_SUCCESS").touch()
    answer = project("init", ".", "--registry", url, "--endpoint-url", seaweedfs_server.endpoint_url)
    assert answer.code == 0, answer.out + answer.err
    # Another test's daemon may have taken the port that was free when the settings were written.
    wrong = re.findall(r"^(?:warning|error) +(\w+)", answer.out, re.MULTILINE)
    assert set(wrong) <= {"http"}, answer.out
    assert wrong or "checked    nothing is wrong" in answer.out
    assert len(project("scan", "--once", "--json").json()["published"]) == 1
    assert project("doctor").code == 0

    for key, secret, said in (
        (seaweedfs_server.access_key, "not-the-secret", "credentials are wrong"),
        ("nobody", "not-the-secret", "credentials are wrong"),
        (seaweedfs_server.reader.access_key, seaweedfs_server.reader.secret_key, "credentials do not permit it"),
    ):
        give_keys(monkeypatch, key, secret)
        answer = project("doctor", "--json")
        assert answer.code == 1
        (finding,) = [each for each in json.loads(answer.out)["findings"] if each["level"] == "error"]
        assert said in finding["detail"]
        assert finding["do"]


def test_init_on_a_server_that_refuses_leaves_nothing_behind_and_works_once_it_does_not(
    project: Folder, seaweedfs_server: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{seaweedfs_server.create_bucket()}/runs"
    given = ("init", ".", "--registry", url, "--endpoint-url", seaweedfs_server.endpoint_url)
    give_keys(monkeypatch, "nobody", "nothing")
    assert project(*given).code == 12
    assert not (project.path / "sealrun.toml").exists()
    give_keys(monkeypatch, seaweedfs_server.access_key, seaweedfs_server.secret_key)
    assert project(*given).code == 0


def test_the_road_in_the_readme_leads_to_a_published_run(tmp_path: Path, seaweedfs_server: SeaweedFS) -> None:
    """The fence as it stands; systemd is a stand-in, and a scan does what the service would."""
    (script,) = [fence.text for fence in fences(ROOT / "README.md") if fence.mark == "run: s3"]
    script = script.replace("YOUR-KEY", seaweedfs_server.access_key)
    script = script.replace("YOUR-SECRET", seaweedfs_server.secret_key)
    script = script.replace("https://s3.example", seaweedfs_server.endpoint_url)
    script = script.replace("my-bucket", seaweedfs_server.create_bucket())
    script = script.replace("service install --user", "service install --user --dry-run")  # systemd need not run here
    environment = reader_environment(tmp_path / "home")
    for name in ("systemctl", "loginctl"):
        program = tmp_path / "home/bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "$HOME/asked"\n')
        program.chmod(0o755)
    (tmp_path / "home/project/results/run-1").mkdir(parents=True)
    (tmp_path / "home/project/results/run-1/_SUCCESS").touch()
    (tmp_path / "home/project/results/run-1/metrics.json").write_text('{"loss": 0.1}')
    said = shell(f"{script}sealrun scan --once\nsealrun ls project", tmp_path / "home", environment)
    assert "found      results/*: 1 folder, _SUCCESS markers by run-1/_SUCCESS" in said
    assert "checked    nothing is wrong" in said
    assert "run-1" in said.splitlines()[-1]
    assert "systemctl --user enable --now sealrun" in (tmp_path / "home/asked").read_text()
    assert "next: systemctl --user enable --now sealrun" in said
