"""A build that many processes ask for happens once: on a directory, on S3, with kill -9 at any moment.

With ``SEALRUN_TEST_ASKERS=1000`` so many processes ask, there and on S3.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.e2e.askers import PLACES
from tests.servers.seaweedfs import SeaweedFS

from sealrun.cli.main import run

MANY = int(os.environ.get("SEALRUN_TEST_ASKERS", "60"))
FAR = int(os.environ.get("SEALRUN_TEST_ASKERS", "12"))


def environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "SEALRUN_CACHE": str(folder / "cache"),
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }


_STARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    while _STARTED:
        process = _STARTED.pop()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also one that was stopped, where a test has failed
        process.wait()


def askers(folder: Path, count: int, *options: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.askers", str(count), *options],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if {"--fails", "--dies-each"} & set(options) else None,
        start_new_session=True,
    )
    _STARTED.append(process)
    return process


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


def on_seaweedfs(server: SeaweedFS) -> dict[str, object]:
    return {"url": f"s3://{server.create_bucket()}/registry", "storage_options": server.storage_options}


def nothing_is_left(folder: Path) -> None:
    """Say that no builder's room is there, but those of who was killed, and no half of anything in the registry."""
    assert list(folder.glob("**/scratch/*/")) == []
    assert list(folder.glob("registry/attempts/*/intent.json")) == []


def test_of_many_processes_one_builds_and_all_get_that(tmp_path: Path) -> None:
    write_settings(tmp_path, {"url": "registry"})  # which is not there yet: one of them makes it
    process = askers(tmp_path, MANY, "--seconds=0.3")
    assert process.wait(600) == 0
    check_one_answer(tmp_path, MANY)
    assert (tmp_path / "calls").read_text() == "."
    nothing_is_left(tmp_path)


def test_of_many_processes_on_many_machines_one_builds_and_all_get_that(tmp_path: Path) -> None:
    write_settings(tmp_path, {"url": str(tmp_path / "registry")})
    process = askers(tmp_path, MANY, "--seconds=0.3", "--machines=7", f"--at-once={max(20, MANY // 5)}")
    assert process.wait(600) == 0
    check_one_answer(tmp_path, MANY)
    assert (tmp_path / "calls").read_text() == "."
    nothing_is_left(tmp_path)


def test_of_many_processes_one_builds_on_s3_too(tmp_path: Path, seaweedfs_server: SeaweedFS) -> None:
    write_settings(tmp_path, on_seaweedfs(seaweedfs_server))
    process = askers(tmp_path, FAR, "--s3", "--seconds=0.3", "--machines=5", "--at-once=20")
    assert process.wait(1800) == 0
    check_one_answer(tmp_path, FAR)
    assert (tmp_path / "calls").read_text() == "."
    assert list(tmp_path.glob("**/scratch/*/")) == []


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, path
        time.sleep(0.02)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("far", [False, True], ids=["directory", "seaweedfs"])
def test_when_the_builder_is_killed_another_one_takes_over(
    tmp_path: Path, seaweedfs_server: SeaweedFS, place: str, *, far: bool
) -> None:
    settings = on_seaweedfs(seaweedfs_server) if far else {"url": str(tmp_path / "registry")}
    write_settings(tmp_path, settings)
    count = 4 if far else 12
    process = askers(tmp_path, count, f"--dies={place}", "--machines=2", "--lease=2", *(["--s3"] if far else []))
    assert process.wait(120) == 1  # who was killed
    said = answers(tmp_path)
    assert len(said) == count - 1
    assert len({(urn, content) for urn, _, content in said}) == 1
    again = place != "returning"  # then it was told already, and nobody builds
    assert (tmp_path / "calls").read_text() == ("." * (1 + again))
    assert [reused for _, reused, _ in said].count("False") == again


def test_whatever_write_of_a_builder_is_its_last_all_others_get_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(tmp_path, {"url": "registry"})
    assert askers(tmp_path, 1, "--configs=99").wait(60) == 0  # the registry is there
    deaths = 24
    killed = askers(tmp_path, deaths, "--dies-each", f"--configs={deaths}", "--lease=1").wait(120)
    assert 8 <= killed < deaths  # so some lived, and there is no write that nobody died at
    for path in tmp_path.glob("answer-*"):
        path.unlink()
    assert askers(tmp_path, 2 * deaths, f"--configs={deaths}", "--lease=1").wait(120) == 0
    for number in range(deaths):
        one, other = ((tmp_path / f"answer-{each}").read_text().split() for each in (number, number + deaths))
        assert (one[0], one[2]) == (other[0], other[2])
    monkeypatch.chdir(tmp_path)
    assert run(["verify", "--all"]) == 0


def test_the_room_of_a_killed_builder_is_removed_by_the_next_build_here(tmp_path: Path) -> None:
    write_settings(tmp_path, {"url": "registry"})
    assert askers(tmp_path, 1, "--dies=building").wait(60) == 1
    assert len(list(tmp_path.glob("**/scratch/*/"))) == 1
    assert askers(tmp_path, 1, "--lease=1").wait(60) == 0
    assert list(tmp_path.glob("**/scratch/*/")) == []


@pytest.mark.parametrize("machines", [1, 3])
def test_a_build_that_fails_is_called_once_and_everybody_who_waits_is_told_why(tmp_path: Path, machines: int) -> None:
    write_settings(tmp_path, {"url": str(tmp_path / "registry")})
    assert askers(tmp_path, 30, "--fails", f"--machines={machines}").wait(120) == 30
    said = [path.read_text() for path in tmp_path.glob("answer-*")]
    assert (tmp_path / "calls").read_text() == "."
    assert said.count("ValueError the third column is missing") == 1
    told = [text for text in said if text.startswith("BuildFailedError")]
    assert len(told) == 29
    assert all("failed with ValueError: the third column is missing" in text for text in told)
    for path in (*tmp_path.glob("answer-*"), tmp_path / "calls"):
        path.unlink()
    assert askers(tmp_path, 3).wait(60) == 0  # who asks later tries again
    check_one_answer(tmp_path, 3)


def test_a_builder_that_was_stopped_too_long_returns_what_the_other_built(tmp_path: Path) -> None:
    write_settings(tmp_path, {"url": "registry"})
    slow = askers(tmp_path, 1, "--seconds=0.5", "--lease=2")
    wait_for(tmp_path / "calls", slow)
    os.killpg(slow.pid, signal.SIGSTOP)
    fast = tmp_path / "fast"
    fast.mkdir()
    write_settings(fast, {"url": str(tmp_path / "registry")})  # another machine: it shares nothing but the registry
    assert askers(fast, 4, "--lease=2").wait(120) == 0
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
    builder = askers(tmp_path, 1, "--seconds=0.05", "--lease=2")
    wait_for(tmp_path / "calls", builder)
    time.sleep(0.0 if at == "the build" else 0.08)
    os.killpg(builder.pid, signal.SIGKILL)
    builder.wait()
    for path in tmp_path.glob("answer-*"):
        path.unlink()
    assert askers(tmp_path, 2, "--lease=2").wait(60) == 0
    assert len({answer[0] for answer in answers(tmp_path)}) == 1
    monkeypatch.chdir(tmp_path)
    assert run(["verify", "--all"]) == 0
