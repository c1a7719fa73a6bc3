"""Four daemons with four state folders, one bucket and one watched folder: no duplicates, no errors, dense pointers."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from tests.e2e.deployment import Deployment, make_run, wait_for
from tests.servers.seaweedfs import SeaweedFS

RUNS = 8


def test_four_daemons_on_one_folder_and_one_bucket_make_each_run_once(
    tmp_path: Path, seaweedfs_server: SeaweedFS
) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    url = f"s3://{seaweedfs_server.create_bucket()}/shared"
    daemons = [
        Deployment(
            tmp_path,
            registries={"cloud": {"url": url, "storage_options": seaweedfs_server.storage_options}},
            watch={"name": "training", "path": str(outputs), "experiment": "train", "settle": "1s"},
            state=f"state-{number}",
            name=f"settings-{number}.toml",
        )
        for number in range(4)
    ]
    for daemon in daemons:
        daemon.start()
    for number in range(RUNS):
        make_run(outputs / f"run-{number}", {"a": str(number).encode() * 1000, "b": b"shared" * 1000})

    def done(daemon: Deployment) -> bool:
        status = json.loads(daemon.asked("status", "--json").stdout)
        return all(registry["queued"] == 0 for registry in status["registries"]) and len(daemon.runs("cloud")) == RUNS

    for daemon in daemons:
        wait_for(f"{daemon.state} is done", partial(done, daemon))
    for daemon in daemons:
        daemon.stop()
        assert "ERROR" not in daemon.log.read_text()
        assert "Traceback" not in daemon.log.read_text()
    rows = daemons[0].runs("cloud")
    assert sorted(row["name"] for row in rows) == [f"run-{number}" for number in range(RUNS)]
    history = daemons[0].rows("pointer", "history", "train", "latest", "--registry", "cloud")
    numbers = [generation["generation"] for generation in history]
    assert numbers == list(range(len(numbers), 0, -1))
    orders = [(generation["target"]["finished_at"], generation["target"]["run_id"]) for generation in history]
    assert orders == sorted(orders, reverse=True)
    assert len(set(orders)) == len(orders)
    daemons[0].run("verify", "--all", "--registry", "cloud")
