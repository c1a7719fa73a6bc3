"""Runs of many small files through the real program: packed, deduplicated, read one by one and as a whole."""

from __future__ import annotations

import filecmp
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.deployment import Deployment, make_run, wait_for
from tests.servers.seaweedfs import SeaweedFS

SMALL = {f"part-{n // 40}/shard {n}.json": (f'{{"shard": {n}}}\n' * (1 + n % 50)).encode() for n in range(200)}
FILES = {**SMALL, "same as 3": SMALL["part-0/shard 3.json"], "model.bin": bytes(range(256)) * 8000, "empty": b""}


@pytest.fixture
def deployment(tmp_path: Path, seaweedfs_server: SeaweedFS) -> Deployment:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    return Deployment(
        tmp_path,
        registries={
            "main": {"url": str(tmp_path / "registry")},
            "plain": {"url": str(tmp_path / "plain"), "packs": False},
            "cloud": {
                "url": f"s3://{seaweedfs_server.create_bucket()}/prod",
                "storage_options": seaweedfs_server.storage_options,
                "packs": {"least": 10},
            },
        },
        watch={
            "name": "training",
            "path": str(outputs),
            "experiment": "train",
            "settle": "1s",
            "names": {"part-0/shard 0.json": "first.json"},
        },
    )


def arrived(deployment: Deployment, registry: str) -> bool:
    return len(deployment.runs(registry)) == 1


def packs_of(shown: dict[str, Any]) -> set[str]:
    return {file["key"] for file in shown["files"] if file["key"].startswith("store/packs/")}


def same(one: Path, other: Path) -> bool:
    compared = filecmp.dircmp(one, other)
    _, differ, errors = filecmp.cmpfiles(one, other, [*FILES], shallow=False)
    return not (compared.left_only or compared.right_only or differ or errors)


def test_a_daemon_packs_small_files_everywhere_but_where_it_is_told_not_to(deployment: Deployment) -> None:
    run = Path(deployment.watch["path"]) / "run-1"
    make_run(run, FILES)
    deployment.start()
    for name in deployment.registries:
        wait_for(f"the run in {name}", partial(arrived, deployment, name))
    for name in ("main", "cloud"):
        shown = deployment.json("show", "train@latest", "--registry", name)
        assert len(packs_of(shown)) == 1
        alone = {file["path"] for file in shown["files"] if file["key"].startswith("store/objects/")}
        assert alone == {"model.bin", "part-0/shard 0.json"}
    assert packs_of(deployment.json("show", "train@latest", "--registry", "plain")) == set()
    (pack,) = (deployment.root / "registry/store/packs").rglob("*.zip")
    with zipfile.ZipFile(pack) as archive:
        assert archive.testzip() is None
        # Each content once: without the shard that has a name, the copy of another, and the large file.
        assert len(archive.namelist()) == len(SMALL) - 1 + 1
    for name in deployment.registries:
        restored = deployment.root / f"restored-{name}"
        deployment.run("get", "train@latest", str(restored), "--registry", name)
        assert same(run, restored)
        printed = deployment.run("cat", "train@latest:part-1/shard 47.json", "--registry", name).stdout
        assert printed.encode() == FILES["part-1/shard 47.json"]
        assert deployment.run("cat", "first.json", "--registry", name).stdout.encode() == FILES["part-0/shard 0.json"]
        deployment.run("verify", "train@latest", "--registry", name)
        mended = deployment.json("repair", "--dry-run", "--registry", name)
        assert mended == {"hopeless": [], "quarantine": [], "rebuilds": [], "runs": []}
    deployment.stop()


def test_what_is_in_a_pack_is_not_stored_again(deployment: Deployment) -> None:
    run = Path(deployment.watch["path"]) / "run-1"
    make_run(run, FILES)
    deployment.run("publish", str(run), "--experiment", "train")
    (run / "part-0/shard 5.json").write_text("changed\n")
    again = deployment.json("publish", str(run), "--experiment", "train")
    for name, done in again["registries"].items():
        assert (done["new"], done["uploaded_bytes"]) == (True, len("changed\n")), name
    assert len(list((deployment.root / "registry/store/packs").rglob("*.zip"))) <= len(SMALL) // 64
    restored = deployment.root / "restored"
    for name in deployment.registries:
        deployment.run("get", "train@latest", str(restored / name), "--registry", name)
        assert (restored / name / "part-0/shard 5.json").read_text() == "changed\n"
