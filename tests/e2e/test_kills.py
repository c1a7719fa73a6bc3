"""kill -9 at random moments while runs keep arriving and the S3 server comes and goes: nothing is lost."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from pathlib import Path

from tests.e2e.deployment import Deployment, make_run, wait_for
from tests.servers.seaweedfs import SeaweedFS

KILLS = int(os.environ.get("SEALRUN_TEST_KILLS", "15"))
RUNS = max(6, KILLS // 3)


def has_all(deployment: Deployment, registry: str) -> bool:
    return len(deployment.runs(registry)) >= RUNS


def test_after_many_kills_every_run_is_sealed_once_everywhere(tmp_path: Path, seaweedfs_server: SeaweedFS) -> None:
    seed = int(os.environ.get("SEALRUN_TEST_SEED", str(random.randrange(1 << 32))))
    print(f"SEALRUN_TEST_SEED={seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    deployment = Deployment(
        tmp_path,
        registries={
            "main": {"url": str(tmp_path / "registry")},
            "cloud": {
                "url": f"s3://{seaweedfs_server.create_bucket()}/prod",
                "storage_options": seaweedfs_server.storage_options,
            },
        },
        watch={"name": "training", "path": str(outputs), "experiment": "train", "settle": "1s"},
    )
    arrivals = iter(range(RUNS))
    down = False
    for kill in range(KILLS):
        deployment.start()
        number = next(arrivals, None)
        if number is not None:
            shared = random.Random(number // 2).randbytes(200_000)
            make_run(
                outputs / f"run-{number:03d}", {"shared": shared, "own": str(number).encode(), "sub/x": b"x" * number}
            )
        if chance.random() < 0.2:
            seaweedfs_server.start() if down else seaweedfs_server.stop()
            down = not down
        time.sleep(chance.uniform(0.1, 3.0))
        deployment.kill()
        assert kill < KILLS
    if down:
        seaweedfs_server.start()
    deployment.start()
    for registry in ("main", "cloud"):
        wait_for(f"all runs in {registry}", partial(has_all, deployment, registry))
    deployment.stop()
    for registry in ("main", "cloud"):
        names = sorted(row["name"] for row in deployment.runs(registry))
        assert names == [f"run-{number:03d}" for number in range(RUNS)]
        deployment.run("verify", "--all", "--registry", registry)
