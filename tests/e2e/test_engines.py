"""Bulk work gives the same results wherever it runs, and survives the loss of a worker."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from tests.e2e.deployment import Deployment, make_run

from sealrun.adapters.engines import open_engine
from sealrun.bootstrap.engine_tasks import SealTask, seal_folder
from sealrun.domain.errors import ConfigurationError, UnavailableError
from sealrun.domain.run import Completion
from sealrun.services.sealing import SealRequest
from sealrun.services.spreading import spread

REQUEST = SealRequest(experiment="old", completion=Completion(method="command", evidence="test", confidence="declared"))
ENGINES = ["threads", "processes", "dask", "tests.e2e.test_engines:an_executor"]


def an_executor() -> Executor:
    """What a setting may name."""
    return ThreadPoolExecutor(2)


def many_runs(folder: Path, count: int, size: int = 1000) -> list[str]:
    for number in range(count):
        make_run(folder / f"run-{number:03}", {"data.bin": bytes([number]) * size, "n.txt": str(number).encode()})
    return sorted(map(str, folder.iterdir()))


def sealed_on(engine: Executor, folders: list[str]) -> dict[str, bytes | None]:
    answers = spread(engine, seal_folder, (SealTask(path, REQUEST) for path in folders), 8)
    return {task.path: answer.run.run_json if answer.run else None for task, answer in answers}


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_seals_alike(tmp_path: Path, name: str) -> None:
    folders = many_runs(tmp_path, 20)
    (tmp_path / "run-007" / "pipe").symlink_to("/etc/passwd")
    here = {path: seal_folder(SealTask(path, REQUEST)).run for path in folders}
    with open_engine(name, 2) as engine:
        there = sealed_on(engine, folders)
    assert there == {path: run.run_json if run else None for path, run in here.items()}
    assert [path for path, run in there.items() if run is None] == [str(tmp_path / "run-007")]


def test_dask_goes_on_when_a_worker_is_killed(tmp_path: Path) -> None:
    folders = many_runs(tmp_path, 60, size=2 << 20)
    with open_engine("dask", 2) as engine:
        client = cast("Any", engine)._client
        workers: dict[str, int] = client.run(os.getpid)
        done: dict[str, bytes | None] = {}
        for task, answer in spread(engine, seal_folder, (SealTask(path, REQUEST) for path in folders), 8):
            if not done:
                os.kill(next(iter(workers.values())), signal.SIGKILL)
            done[task.path] = answer.run.run_json if answer.run else None
        assert set(client.run(os.getpid).values()) != set(workers.values())
    with open_engine("threads", 2) as engine:
        assert done == sealed_on(engine, folders)


def test_an_engine_that_cannot_be_had_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no engine 'nonsense'; there are: threads"), open_engine("nonsense"):
        pass
    for name in ("no_such_module:make", "os:no_such_function", "os:getcwd"):
        with pytest.raises(ConfigurationError, match="xecutor"), open_engine(name):
            pass
    with pytest.raises(UnavailableError, match="no Dask scheduler answers"), open_engine("dask:tcp://127.0.0.1:9"):
        pass


def test_folders_that_were_there_before_are_imported_once(tmp_path: Path) -> None:
    old = tmp_path / "old"
    many_runs(old, 12)
    (old / "run-003" / "leads-out").symlink_to("/etc/passwd")
    (tmp_path / "outputs").mkdir()
    deployment = Deployment(
        tmp_path,
        registries={"main": {"url": str(tmp_path / "registry")}, "other": {"url": str(tmp_path / "other")}},
        watch={"name": "w", "path": str(tmp_path / "outputs"), "experiment": "old"},
    )
    assert len(deployment.rows("import", str(old), "--experiment", "old", "--dry-run")) == 12
    assert deployment.runs("main") == []
    first = deployment.run("import", str(old), "--experiment", "old", "--engine", "processes", "--json", check=3)
    assert first.stdout.count('"ref": "old/') == 11
    assert "leads-out" in next(line for line in first.stdout.splitlines() if "rejected" in line)
    (old / "run-003" / "leads-out").unlink()
    again = deployment.rows("import", str(old), "--experiment", "old")
    new = [row for row in again if row["registries"]["main"]["new"]]
    assert [Path(row["path"]).name for row in new] == ["run-003"]
    for registry in ("main", "other"):
        assert len(deployment.runs(registry)) == 12
        deployment.run("verify", "--all", "--registry", registry)
    deployment.run("import", str(tmp_path / "absent"), "--experiment", "old", check=2)
