"""Bulk work gives the same results wherever it runs, and survives the loss of a worker."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from tests.e2e.deployment import Deployment, make_run
from tests.servers.seaweedfs import SeaweedFS

from sealrun.adapters.content.engines import open_engine
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.registries import RegistrySpec, open_reader
from sealrun.bootstrap.verbs.engine_tasks import SealTask, seal_folder, verifying_engine
from sealrun.domain.errors import ConfigurationError, UnavailableError
from sealrun.domain.runs.run import Completion
from sealrun.services.mending.portions import Depth
from sealrun.services.mending.verifying import Verifier
from sealrun.services.mending.verifying_apart import Engine, SpreadVerifier
from sealrun.services.threads.spreading import spread
from sealrun.services.watching.sealing import SealRequest

REQUEST = SealRequest(experiment="old", completion=Completion(method="command", evidence="test", confidence="declared"))
ENGINES = ["threads", "processes", "dask", "parsl", "tests.e2e.test_engines:an_executor"]


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


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A registry of 40 runs that share bytes, some of them retired, with objects and packs, one of each damaged."""
    root = tmp_path_factory.mktemp("grown")
    old = root / "old"
    for number, folder in enumerate(map(Path, many_runs(old, 40, size=300_000))):
        (folder / "shared.bin").write_bytes(bytes([number % 5]) * 400_000)
        (folder / "notes.txt").write_text(f"notes {number}\n" * 100)
    (root / "outputs").mkdir()
    deployment = Deployment(
        root,
        registries={"main": {"url": str(root / "registry"), "packs": {"below": "64KiB", "least": 2}}},
        watch={"name": "w", "path": str(root / "outputs"), "experiment": "old"},
    )
    deployment.run("import", str(old), "--experiment", "old")
    runs = [row["run_id"] for row in deployment.runs("main")]
    for run_id in runs[:3]:
        deployment.run("retire", f"old/{run_id}", "--why", "a test")
    for kind in ("objects", "packs"):
        stored = (root / "registry" / "store" / kind).rglob("*")
        victim = max(path for path in stored if path.is_file() and path.stat().st_size)
        body = bytearray(victim.read_bytes())
        body[len(body) // 3] ^= 1
        victim.chmod(0o600)
        victim.write_bytes(body)
    return deployment


def test_every_engine_verifies_and_marks_alike(grown: Deployment) -> None:
    verified = json.loads(grown.run("verify", "--all", "--json", check=20).stdout)
    assert {damage["kind"] for damage in verified["damages"]} == {"bytes"}
    foretold = grown.rows("gc", "--dry-run", "--grace", "0")
    assert foretold[-1]["summary"]["objects"]
    for name in ENGINES:
        again = grown.run("verify", "--all", "--engine", name, "--jobs", "2", "--json", check=20)
        assert json.loads(again.stdout) == verified, name
        assert grown.rows("gc", "--dry-run", "--grace", "0", "--engine", name, "--jobs", "2") == foretold, name
    ref = next(damage["ref"] for damage in verified["damages"])
    alone = grown.run("verify", ref, "--json", check=20).stdout
    assert grown.run("verify", ref, "--engine", "processes", "--json", check=20).stdout == alone
    looked = grown.run("verify", "--experiment", "old", "--no-bytes", "--json").stdout
    assert grown.run("verify", "--experiment", "old", "--no-bytes", "--engine", "threads", "--json").stdout == looked


def test_workers_reach_a_bucket_with_the_settings_credentials(tmp_path: Path, seaweedfs_server: SeaweedFS) -> None:
    old = tmp_path / "old"
    many_runs(old, 10, size=200_000)
    (tmp_path / "outputs").mkdir()
    url, options = f"s3://{seaweedfs_server.create_bucket()}/x", seaweedfs_server.storage_options
    deployment = Deployment(
        tmp_path,
        registries={"main": {"url": url, "storage_options": options}},
        watch={"name": "w", "path": str(tmp_path / "outputs"), "experiment": "old"},
    )
    deployment.run("import", str(old), "--experiment", "old")
    verified = deployment.json("verify", "--all")
    assert (verified["runs"], verified["damages"]) == (10, [])
    assert deployment.json("verify", "--all", "--engine", "processes", "--jobs", "2") == verified
    foretold = deployment.rows("gc", "--dry-run", "--grace", "0")
    assert deployment.rows("gc", "--dry-run", "--grace", "0", "--engine", "processes", "--jobs", "2") == foretold


def test_a_registry_is_verified_whole_when_a_worker_is_killed_midway(grown: Deployment) -> None:
    spec = RegistrySpec(name="main", url=grown.registries["main"]["url"])
    reader = open_reader(spec, SystemClock(), SystemEntropy())
    expected = Verifier(reader).everything()
    killed: list[int] = []
    with open_engine("dask", 2) as engine:
        workers: dict[str, int] = cast("Any", engine)._client.run(os.getpid)

        def kill_one(_read: int) -> None:
            if not killed:
                killed.append(next(iter(workers.values())))
                os.kill(killed[0], signal.SIGKILL)

        where = verifying_engine(engine, spec, reader, Depth())
        report = SpreadVerifier(reader, where, Depth(), kill_one).everything()
        assert set(cast("Any", engine)._client.run(os.getpid).values()) != set(workers.values())
    assert killed
    assert report == expected


def test_an_engine_without_workers_is_no_damage(grown: Deployment) -> None:
    spec = RegistrySpec(name="main", url=grown.registries["main"]["url"])
    reader = open_reader(spec, SystemClock(), SystemEntropy())
    with open_engine("processes", 1) as engine:
        where = verifying_engine(engine, spec, reader, Depth())
        dying = Engine(where.executor, cast("Any", _die), where.width)
        with pytest.raises(UnavailableError, match="the engine lost a worker"):
            SpreadVerifier(reader, dying, Depth()).everything()


def _die(_portion: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


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
