"""Bad input and bad luck: each gives the specified clear answer, and the rest goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.deployment import Deployment, make_run, wait_for
from tests.servers.seaweedfs import SeaweedFS


def local(tmp_path: Path, **registries: dict[str, object]) -> Deployment:
    """A deployment on a directory, plus any other registries."""
    outputs = tmp_path / "outputs"
    outputs.mkdir(exist_ok=True)
    return Deployment(
        tmp_path,
        registries={"main": {"url": str(tmp_path / "registry")}, **registries},
        watch={"name": "training", "path": str(outputs), "experiment": "train", "settle": "1s"},
    )


def spoil_with_a_link(run: Path) -> None:
    (run / "passwords").symlink_to("/etc/passwd")


def spoil_with_a_fifo(run: Path) -> None:
    os.mkfifo(run / "pipe")


def spoil_with_a_name(run: Path) -> None:
    (Path(os.fsdecode(os.fsencode(run) + b"/bad-\xff-name"))).write_bytes(b"x")


@pytest.mark.parametrize(
    ("spoil", "word"), [(spoil_with_a_link, "passwords"), (spoil_with_a_fifo, "pipe"), (spoil_with_a_name, "UTF-8")]
)
def test_a_folder_that_no_run_can_be_is_rejected_with_the_reason_and_the_rest_goes_on(
    tmp_path: Path, spoil: object, word: str
) -> None:
    deployment = local(tmp_path)
    outputs = tmp_path / "outputs"
    bad = make_run(outputs / "bad", {"fine.txt": b"fine"}, marker=False)
    spoil(bad)  # type: ignore[operator] # one of the functions above
    (bad / "_SUCCESS").touch()
    make_run(outputs / "good", {"fine.txt": b"fine"})
    deployment.start()
    wait_for("the good run", lambda: len(deployment.runs("main")) == 1)
    wait_for("the rejection shows in status", lambda: "rejected" in deployment.asked("status").stdout)
    status = deployment.run("status").stdout
    deployment.stop()
    assert word in status
    assert [row["name"] for row in deployment.runs("main")] == ["good"]
    assert (bad / "fine.txt").read_bytes() == b"fine"


def test_a_full_disk_is_reported_and_the_run_is_published_when_there_is_room_again(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        deployment = local(tmp_path, tiny={"url": str(small / "registry")})
        make_run(tmp_path / "outputs" / "big", {"big.bin": os.urandom(8_000_000)})
        deployment.start()
        wait_for("the other registry has it", lambda: len(deployment.runs("main")) == 1)
        wait_for("status tells", lambda: "space" in deployment.asked("status").stdout.lower())
        assert deployment.runs("tiny") == []
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        deployment.stop()
        deployment.run("doctor", "--retry", check=None)
        deployment.start()
        wait_for("the small registry has it", lambda: len(deployment.runs("tiny")) == 1)
        deployment.stop()
        deployment.run("verify", "--all", "--registry", "tiny")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_wrong_credentials_are_named_without_showing_them_and_the_rest_goes_on(
    tmp_path: Path, seaweedfs_server: SeaweedFS
) -> None:
    options = {**seaweedfs_server.storage_options, "secret": "not-the-right-secret-at-all"}
    deployment = local(
        tmp_path, cloud={"url": f"s3://{seaweedfs_server.create_bucket()}/x", "storage_options": options}
    )
    make_run(tmp_path / "outputs" / "one", {"a": b"a"})
    deployment.start()
    wait_for("the other registry has it", lambda: len(deployment.runs("main")) == 1)
    wait_for("status tells", lambda: "credentials" in deployment.asked("status").stdout.lower())
    deployment.stop()
    done = deployment.run("ls", "train", "--registry", "cloud", check=12)
    assert "not-the-right-secret" not in done.stderr + done.stdout + deployment.log.read_text()


def test_an_unreachable_endpoint_is_answered_with_5_and_tried_again(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    options = {"key": "k", "secret": "s", "endpoint_url": f"http://127.0.0.1:{port}"}
    deployment = local(tmp_path, cloud={"url": "s3://bucket/x", "storage_options": options})
    make_run(tmp_path / "outputs" / "one", {"a": b"a"})
    deployment.start()
    wait_for("the other registry has it", lambda: len(deployment.runs("main")) == 1)
    deployment.stop()
    done = deployment.run("ls", "train", "--registry", "cloud", check=5)
    assert str(port) in done.stderr


def test_a_typo_in_the_settings_is_answered_with_78_and_a_suggestion(tmp_path: Path) -> None:
    deployment = local(tmp_path)
    deployment.write_settings('setle = "3s"')
    done = deployment.run("daemon", check=78)
    assert "setle" in done.stderr
    assert "settle" in done.stderr.replace("setle", "")
    assert str(deployment.settings) in done.stderr


def test_a_second_daemon_on_the_same_state_folder_is_refused_with_11(tmp_path: Path) -> None:
    deployment = local(tmp_path)
    first = deployment.start()
    wait_for("the first daemon is up", lambda: "watching" in deployment.log.read_text())
    done = deployment.run("daemon", check=11)
    assert str(first.pid) in done.stderr
    deployment.stop()


def test_a_reload_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    deployment = local(tmp_path)
    daemon = deployment.start()
    counts: list[int] = []
    for number in range(6):
        make_run(tmp_path / "outputs" / f"run-{number}", {"model.bin": bytes([number]) * 5000})
        wait_for("the run is published", lambda: len(deployment.runs("main")) > len(counts))
        counts.append(len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())))
        daemon.send_signal(1)
        wait_for("a reload", lambda: deployment.log.read_text().count("settings are reloaded") == len(counts))
    deployment.stop()
    assert max(counts[3:]) <= max(counts[:3]) + 1


def test_a_broken_reload_keeps_the_old_settings_and_a_good_one_takes_effect(tmp_path: Path) -> None:
    deployment = local(tmp_path)
    daemon = deployment.start()
    wait_for("the daemon is up", lambda: "watching" in deployment.log.read_text())
    deployment.write_settings("nonsense = true")
    daemon.send_signal(1)
    wait_for("the refusal is logged", lambda: "nonsense" in deployment.log.read_text())
    make_run(tmp_path / "outputs" / "one", {"a": b"a"})
    deployment.write_settings()
    wait_for("the old settings still work", lambda: len(deployment.runs("main")) == 1)
    more = tmp_path / "more"
    more.mkdir()
    extra = f'[[watch]]\nname = "more"\npath = "{more}"\nexperiment = "train"\nsettle = "1s"'
    deployment.write_settings(extra)
    daemon.send_signal(1)
    make_run(more / "two", {"b": b"b"})
    wait_for("the new watch works", lambda: len(deployment.runs("main")) == 2)
    deployment.stop()


def test_the_server_that_ignores_conditions_is_refused_unless_it_has_a_single_writer(tmp_path: Path) -> None:
    from tests.servers import rclone  # noqa: PLC0415 - only this test needs it

    with rclone.serving_s3() as server:
        table: dict[str, object] = {
            "url": f"s3://{server.create_bucket()}/x",
            "storage_options": server.storage_options,
        }
        run = make_run(tmp_path / "run", {"a": b"a"})
        refused = local(tmp_path, cloud=table).run(
            "publish", str(run), "--experiment", "e", "--registry", "cloud", check=1
        )
        assert "If-None-Match" in refused.stderr
        alone = local(tmp_path, cloud={**table, "single_writer": True})
        alone.run("publish", str(run), "--experiment", "e", "--registry", "cloud")
        alone.run("verify", "--all", "--registry", "cloud")


def test_a_file_that_cannot_be_read_rejects_its_run(tmp_path: Path) -> None:
    """The command runs without the privilege to read everything, which root has."""
    deployment = local(tmp_path)
    bad = make_run(tmp_path / "outputs" / "bad", {"secret.bin": b"x"})
    (bad / "secret.bin").chmod(0)
    make_run(tmp_path / "outputs" / "good", {"fine.txt": b"fine"})
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*unprivileged, sys.executable, "-m", "sealrun", "--config", str(deployment.settings), "scan", "--once"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "secret.bin" in done.stdout
    assert [row["name"] for row in deployment.runs("main")] == ["good"]
