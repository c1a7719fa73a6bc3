"""Real outputs, dropped in every usual way: each becomes exactly one sealed run in every registry."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.deployment import Deployment, copy_in, make_run, wait_for
from tests.servers.seaweedfs import SeaweedFS

FILES = {
    "metrics.json": b'{"loss": 0.1}\n',
    "model.bin": bytes(range(256)) * 5000,
    "deep/er/log.txt": b"line\n" * 1000,
    "with space/näme\n.txt": b"odd",
    "empty": b"",
}
SLOW_APPENDER = """
import sys, time, pathlib
run = pathlib.Path(sys.argv[1]); run.mkdir()
with (run / "log.txt").open("w") as log:
    for line in range(25):
        print(line, file=log, flush=True); time.sleep(0.2)
"""


@pytest.fixture
def deployment(tmp_path: Path, seaweedfs_server: SeaweedFS) -> Deployment:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    return Deployment(
        tmp_path,
        registries={
            "main": {"url": str(tmp_path / "registry")},
            "cloud": {
                "url": f"s3://{seaweedfs_server.create_bucket()}/prod",
                "storage_options": seaweedfs_server.storage_options,
            },
        },
        watch={"name": "training", "path": str(outputs), "experiment": "train", "settle": "3s"},
    )


def rsync(source: Path, target: Path) -> None:
    """Copy as rsync does, with rsync itself where there is one: every file under a hidden name first, then renamed."""
    if shutil.which("rsync"):
        subprocess.run(["rsync", "-a", f"{source}/", str(target)], check=True)
        return
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        hidden = place.with_name(f".{place.name}.Xk3jQ9")
        hidden.write_bytes(path.read_bytes())
        hidden.rename(place)


def drop_all(outputs: Path, staging: Path) -> set[str]:
    """Drop runs with and without markers by cp -r, mv, rsync, tar x and slow appends; return their names."""
    for name, marker in (("by-cp", True), ("by-cp-quiet", False), ("by-mv", True), ("by-mv-quiet", False)):
        source = make_run(staging / name, {**FILES, "who": name.encode()}, marker=marker)
        if "cp" in name:
            copy_in(source, outputs / name)
        else:
            shutil.move(source, outputs / name)
    source = make_run(staging / "by-rsync", {**FILES, "who": b"rsync"})
    rsync(source, outputs / source.name)
    source = make_run(staging / "by-tar", {**FILES, "who": b"tar"})
    with tarfile.open(staging / "run.tar", "w") as archive:
        archive.add(source, "by-tar")
    subprocess.run(["tar", "xf", str(staging / "run.tar"), "-C", str(outputs)], check=True)
    subprocess.run([sys.executable, "-c", SLOW_APPENDER, str(outputs / "by-append")], check=True)
    return {"by-cp", "by-cp-quiet", "by-mv", "by-mv-quiet", "by-rsync", "by-tar", "by-append"}


def has(deployment: Deployment, registry: str, names: set[str]) -> bool:
    return {row["name"] for row in deployment.runs(registry)} >= names


def test_every_way_of_dropping_a_run_gives_one_sealed_run_in_both_registries(
    deployment: Deployment, tmp_path: Path
) -> None:
    outputs = Path(str(deployment.watch["path"]))
    deployment.start()
    expected = drop_all(outputs, tmp_path / "staging")
    for registry in ("main", "cloud"):
        wait_for(f"{expected} in {registry}", partial(has, deployment, registry, expected))
    deployment.stop()
    for registry in ("main", "cloud"):
        rows = deployment.runs(registry)
        assert sorted(row["name"] for row in rows) == sorted(expected)
        deployment.run("verify", "--all", "--registry", registry)
        for row in rows:
            restored = tmp_path / f"restored-{registry}-{row['name']}"
            deployment.run("get", f"train/{row['run_id']}", str(restored), "--registry", registry)
            assert subprocess.run(["diff", "-r", restored, outputs / row["name"]], check=False).returncode == 0
    assert {row["run_id"] for row in deployment.runs("main")} == {row["run_id"] for row in deployment.runs("cloud")}


def test_what_arrived_while_the_daemon_was_down_is_caught_up(deployment: Deployment, tmp_path: Path) -> None:
    outputs = Path(str(deployment.watch["path"]))
    make_run(outputs / "before", FILES)
    deployment.start()
    wait_for("before", lambda: len(deployment.runs("main")) == 1)
    deployment.stop()
    copy_in(make_run(tmp_path / "staging" / "meanwhile", {**FILES, "who": b"2"}), outputs / "meanwhile")
    deployment.start()
    wait_for("meanwhile", lambda: len(deployment.runs("cloud")) == 2)
    deployment.stop()


def test_a_run_that_changes_after_it_was_sealed_becomes_a_new_revision(deployment: Deployment) -> None:
    outputs = Path(str(deployment.watch["path"]))
    run = make_run(outputs / "evolving", FILES)
    deployment.start()
    wait_for("the first revision", lambda: len(deployment.runs("main")) == 1)
    (first,) = deployment.runs("main")
    (run / "metrics.json").write_bytes(b'{"loss": 0.05}\n')
    wait_for("the second revision", lambda: len(deployment.runs("main")) == 2)
    deployment.stop()
    second = next(row for row in deployment.runs("main") if row["run_id"] != first["run_id"])
    assert second["supersedes"] == first["run_id"]
    assert second["tree_digest"] != first["tree_digest"]
    deployment.run("verify", "--all", "--registry", "main")


def test_a_registry_that_is_down_loses_nothing_and_holds_up_nobody_else(
    deployment: Deployment, seaweedfs_server: SeaweedFS
) -> None:
    outputs = Path(str(deployment.watch["path"]))
    deployment.start()
    make_run(outputs / "first", FILES)
    wait_for("both registries have the first run", lambda: len(deployment.runs("cloud")) == 1)
    seaweedfs_server.stop()
    make_run(outputs / "second", {**FILES, "who": b"second"})
    wait_for("the directory goes on", lambda: len(deployment.runs("main")) == 2)
    deployment.run("ls", "train", "--registry", "cloud", check=5)
    seaweedfs_server.start()
    wait_for("the server catches up", lambda: len(deployment.runs("cloud")) == 2)
    deployment.stop()
