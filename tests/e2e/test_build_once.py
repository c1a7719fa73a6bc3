"""A build that many processes ask for happens once: on a directory, on S3, with kill -9 in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.servers.seaweedfs import SeaweedFS

from sealrun.cli.main import run


def environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "SEALRUN_CACHE": str(folder / "cache"),
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }


def askers(folder: Path, count: int, seconds: float = 0.0, **environ: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.askers", str(count), str(seconds)],
        cwd=folder,
        env=environment(folder) | environ,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def answers(folder: Path) -> list[list[str]]:
    return [path.read_text().split() for path in sorted(folder.glob("answer-*"))]


def check_one_answer(folder: Path, count: int) -> None:
    said = answers(folder)
    assert len(said) == count
    assert len({(urn, content) for urn, _, content in said}) == 1
    assert [reused for _, reused, _ in said].count("False") == 1


def write_settings(folder: Path, settings: Mapping[str, object]) -> None:
    registry = "\n".join(f"{key} = {_toml(value)}" for key, value in settings.items())
    (folder / "sealrun.toml").write_text(f"version = 1\n[registry.main]\n{registry}\n")


def test_of_many_processes_one_builds_and_all_get_that(tmp_path: Path) -> None:
    write_settings(tmp_path, {"url": "registry"})  # which is not there yet: one of them makes it
    process = askers(tmp_path, 60, 0.3)
    assert process.wait(120) == 0
    check_one_answer(tmp_path, 60)
    assert (tmp_path / "calls").read_text() == "."


def test_of_many_processes_one_builds_on_s3_too(tmp_path: Path, seaweedfs_server: SeaweedFS) -> None:
    url = f"s3://{seaweedfs_server.create_bucket()}/registry"
    write_settings(tmp_path, {"url": url, "storage_options": seaweedfs_server.storage_options})
    process = askers(tmp_path, 12, 0.3)
    assert process.wait(180) == 0
    check_one_answer(tmp_path, 12)
    assert (tmp_path / "calls").read_text() == "."


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, path
        time.sleep(0.02)


def test_when_the_builder_is_killed_another_one_takes_over(tmp_path: Path) -> None:
    write_settings(tmp_path, {"url": "registry"})
    builder = askers(tmp_path, 1, 3600)
    wait_for(tmp_path / "calls", builder)
    os.killpg(builder.pid, signal.SIGKILL)
    builder.wait()
    process = askers(tmp_path, 12)
    assert process.wait(120) == 0
    check_one_answer(tmp_path, 12)
    assert (tmp_path / "calls").read_text() == ".."


def test_a_builder_that_was_stopped_too_long_returns_what_the_other_built(tmp_path: Path) -> None:
    write_settings(tmp_path, {"url": "registry"})
    slow = askers(tmp_path, 1, 0.5)
    wait_for(tmp_path / "calls", slow)
    os.killpg(slow.pid, signal.SIGSTOP)
    fast = tmp_path / "fast"
    fast.mkdir()
    write_settings(fast, {"url": str(tmp_path / "registry")})  # another machine: it shares nothing but the registry
    assert askers(fast, 4).wait(120) == 0
    check_one_answer(fast, 4)
    os.killpg(slow.pid, signal.SIGCONT)
    assert slow.wait(60) == 0
    assert [answer[0] for answer in answers(tmp_path)] == [answers(fast)[0][0]]
    assert answers(tmp_path)[0][2] == answers(fast)[0][2]


@pytest.mark.parametrize("at", ["the build", "a moment later"])
def test_whenever_the_builder_dies_the_registry_verifies_and_the_build_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    write_settings(tmp_path, {"url": "registry"})
    builder = askers(tmp_path, 1, 0.05)
    wait_for(tmp_path / "calls", builder)
    time.sleep(0.0 if at == "the build" else 0.08)
    os.killpg(builder.pid, signal.SIGKILL)
    builder.wait()
    for path in tmp_path.glob("answer-*"):
        path.unlink()
    assert askers(tmp_path, 2).wait(60) == 0
    assert len({answer[0] for answer in answers(tmp_path)}) == 1
    monkeypatch.chdir(tmp_path)
    assert run(["verify", "--all"]) == 0
